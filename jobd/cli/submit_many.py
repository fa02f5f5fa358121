"""`jobd submit -f`: from a file of lines to a batch of jobs.

Not here: one job (submit.py), what a line may say (the daemon judges it).
"""

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from jobd.cli.errors import outcome_unknown, say
from jobd.cli.exits import Exit
from jobd.cli.options import Environ, connect
from jobd.cli.output import Column, View, plain
from jobd.client import Answer, Client
from jobd.client.batches import BatchTimedOut
from jobd.wire.batches import BatchDetail

SHOWN_ERRORS = 10

TOGETHER = frozenset(
    {
        *("from_file", "atomic", "wait_for_it", "wait_timeout_s", "callback_url"),
        *("idempotency_key", "output", "socket"),
    }
)
"""Parameters of `jobd submit` that mean something for a batch."""

VIEW: View[BatchDetail] = View(
    items="batches",
    name=lambda batch: batch.batch_id,
    columns=(
        Column("BATCH", lambda batch: batch.batch_id),
        Column("STATUS", lambda batch: batch.status),
        Column("LINES", lambda batch: str(batch.total), right=True),
        Column("REJECTED", lambda batch: str(batch.rejected), right=True),
        Column("WAITING", lambda batch: str(_waiting(batch)), right=True),
        Column("PROCESSING", lambda batch: str(batch.jobs.processing), right=True),
        Column("COMPLETED", lambda batch: str(batch.jobs.completed), right=True),
        Column("FAILED", lambda batch: str(batch.jobs.failed), right=True),
        Column("CANCELLED", lambda batch: str(batch.jobs.cancelled), right=True),
    ),
)


def submit_many(ctx: click.Context, environ: Environ) -> Exit:
    """Submit the lines of a file (`-`: stdin), print the batch, and return how it ended.

    Takes the parameters of `jobd submit`; UsageError when one is given that is for one job.
    """
    _refuse_others(ctx)
    options = ctx.params
    with connect(environ, options["socket"]) as client:
        batch = _submit(client, options)
        code = Exit.USAGE if batch.value.rejected else Exit.OK
        if options["wait_for_it"]:
            batch = _wait(client, batch.value.batch_id, options["wait_timeout_s"])
            code = Exit.JOB_UNSUCCESSFUL if batch.value.partial else Exit.OK
    output = "table" if options["wait_for_it"] else "name"
    VIEW.print_one(batch.value, batch.body, options["output"] or output)
    return code


def _refuse_others(ctx: click.Context) -> None:
    given = (
        param
        for param in ctx.command.params
        if param.name is not None
        and param.name not in TOGETHER
        and ctx.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE
        and param.expose_value
    )
    for param in given:
        what = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
        raise click.UsageError(f"{what} is for one job; with -f each line says it for itself")


def _submit(client: Client, options: Mapping[str, Any]) -> Answer[BatchDetail]:
    source: str = options["from_file"]
    key = options["idempotency_key"] or secrets.token_hex(16)
    try:
        batch = client.batches.submit(
            sys.stdin.buffer.read() if source == "-" else Path(source),
            atomic=options["atomic"],
            callback_url=options["callback_url"],
            idempotency_key=key,
        )
    except KeyboardInterrupt:
        outcome_unknown(key)
        raise
    except OSError as error:
        raise click.UsageError(f"-f {source}: {error.strerror}") from error
    _say_rejected(batch.value)
    return batch


def _wait(client: Client, batch_id: str, timeout_s: float | None) -> Answer[BatchDetail]:
    say(f"jobd: submitted {batch_id}")
    try:
        return client.batches.wait(batch_id, timeout_s=timeout_s)
    except KeyboardInterrupt:
        say(f"jobd: batch {batch_id} goes on.")
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
    except BatchTimedOut:
        say(f"jobd: the wait timed out, batch {batch_id} goes on.")
        raise click.exceptions.Exit(Exit.WAIT_TIMED_OUT) from None


def _waiting(batch: BatchDetail) -> int:
    return batch.jobs.scheduled + batch.jobs.queued + batch.jobs.retrying


def _say_rejected(batch: BatchDetail) -> None:
    if not batch.rejected:
        return
    say(f"jobd: {batch.rejected} of {batch.total} lines were rejected")
    for error in batch.errors[:SHOWN_ERRORS]:
        where = f" {error.pointer}" if error.pointer else ""
        say(f"  line {error.line}{plain(where)}: {error.code}: {plain(error.detail)}")
    if len(batch.errors) > SHOWN_ERRORS or batch.errors_truncated:
        say("  … more: jobd submit -o json prints the first 100")
