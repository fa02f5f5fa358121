"""`jobd submit`: from a command line to a job."""

import re
import secrets
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from jobd.cli import jobview
from jobd.cli.errors import outcome_unknown
from jobd.cli.follow import follow, hand_over
from jobd.cli.options import (
    Environ,
    connect,
    output_option,
    pairs,
    save_option,
    socket_option,
)
from jobd.cli.uploading import existing, with_uploads
from jobd.client import Answer, Client
from jobd.wire.jobs import JobDetail
from jobd.wire.submission import SubmitRequest

_KEY = re.compile(r"[ !#-~]{1,255}")


def _moment(_ctx: click.Context, _param: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text} is no date and time") from error
    if moment.tzinfo is None:
        raise click.BadParameter(f"{text} has no zone; put a Z behind it for UTC")
    return moment


def _key(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    if text is not None and not _KEY.fullmatch(text):
        raise click.BadParameter("1 to 255 printable ASCII characters, no quotation mark")
    return text


@click.command(
    epilog="""\b
Examples:
  jobd submit import.csv --arg source=/data/a.csv --arg database=/data/a.db --arg table=a --wait
  jobd submit thumbs.make --file source=cat.jpg --wait
  jobd submit report.generate '{"month": "2026-01"}' --run-at 2026-02-01T06:00:00Z
  jq -n '{url: "https://x"}' | jobd submit fetch - --idempotency-key order-17
  jobd submit -f jobs.ndjson --wait"""
)
@click.argument("kind", required=False)
@click.argument("args_json", metavar="[ARGS_JSON|-]", required=False)
@click.option(
    "--arg",
    "named",
    metavar="NAME=VALUE",
    multiple=True,
    help="One of the args; VALUE is a string unless it is a JSON number, true, false, null, "
    "array or object. Wins over ARGS_JSON.",
)
@click.option(
    "--file",
    "files",
    metavar="NAME=PATH",
    multiple=True,
    help="One of the args: a file, which is uploaded unless the daemon has its content. Repeat.",
)
@click.option(
    "-f",
    "from_file",
    metavar="FILE",
    help="Submit a batch: a job a line, as the API takes it ('-': stdin). Without KIND.",
)
@click.option("--atomic", is_flag=True, help="With -f: queue all lines or none.")
@click.option("--wait", "wait_for_it", is_flag=True, help="Wait for the end, print the result.")
@click.option(
    "--wait-timeout",
    "wait_timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="With --wait: stop waiting after so long (exit 8); the job goes on.",
)
@save_option
@click.option("--queue", help="The queue.  [default: the handler's]")
@click.option(
    "--priority", type=click.IntRange(0, 9), default=5, show_default=True, help="0 first."
)
@click.option("--run-at", metavar="TIME", callback=_moment, help="Not before this: RFC 3339.")
@click.option(
    "--start-before",
    metavar="TIME",
    callback=_moment,
    help="Fail it if it has not started by then.",
)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="The limit of one attempt; above the handler's only for those who may operate.",
)
@click.option(
    "--idempotency-key",
    metavar="KEY",
    callback=_key,
    help="Your name for this submission: the same key again gives the same job.",
)
@click.option(
    "--callback-url",
    metavar="URL",
    help="Where a signed POST goes when the job has ended: https://…, or "
    "unix:/path.sock:/path if the daemon allows that socket.",
)
@click.option(
    "--metadata", metavar="NAME=VALUE", multiple=True, help="A note kept with the job; repeat."
)
@output_option(None, "Print the job in place of its id or result.")
@socket_option
@click.pass_context
def submit(  # noqa: PLR0913 - one parameter per option
    ctx: click.Context,
    *,
    kind: str | None,
    args_json: str | None,
    named: tuple[str, ...],
    files: tuple[str, ...],
    from_file: str | None,
    atomic: bool,
    wait_for_it: bool,
    wait_timeout_s: float | None,
    save_as: Path | None,
    queue: str | None,
    priority: int,
    run_at: datetime | None,
    start_before: datetime | None,
    timeout_s: float | None,
    idempotency_key: str | None,
    callback_url: str | None,
    metadata: tuple[str, ...],
    output: str | None,
    socket: str | None,
) -> int:
    """Submit a job and print its id, or with --wait its result.

    Once the id is printed the job is on disk: no crash loses it. With --wait, exits 7
    when the job ended failed or cancelled; Ctrl-C stops the wait, not the job.

    With -f a whole file of jobs is submitted: exits 2 when a line was rejected, and the
    others are queued.
    """
    environ: Environ = ctx.obj
    if from_file is not None:
        from jobd.cli.submit_many import submit_many  # noqa: PLC0415 - one job needs none of it

        return submit_many(ctx, environ)
    request = SubmitRequest(
        kind=_checked(kind, atomic=atomic, unsaved=save_as is not None and not wait_for_it),
        args=collect_args(args_json, named),
        priority=priority,
        run_at=run_at,
        start_before=start_before,
        timeout_seconds=timeout_s,
        queue=queue,
        callback_url=callback_url,
        metadata=pairs(metadata, "--metadata"),
    )
    paths = existing(pairs(files, "--file"))
    with connect(environ, socket) as client:
        request = with_uploads(client, request, paths)
        job = _sent(client, request, idempotency_key, wait_for_it=wait_for_it)
        if not wait_for_it:
            jobview.VIEW.print_one(job.value, job.body, output or "name")
            return 0
        job = follow(client, job, timeout_s=wait_timeout_s, socket=socket, submitted=True)
        hand_over(client, job, output=output, save_as=save_as)
    return 0


def _sent(
    client: Client, request: SubmitRequest, idempotency_key: str | None, *, wait_for_it: bool
) -> Answer[JobDetail]:
    # without Prefer the daemon waits 50 ms: a job that short needs no second request
    prefer = None if wait_for_it else "respond-async"
    key = idempotency_key or secrets.token_hex(16)
    try:
        return client.submit(request, idempotency_key=key, prefer=prefer)
    except KeyboardInterrupt:
        outcome_unknown(key)
        raise


def _checked(kind: str | None, *, atomic: bool, unsaved: bool) -> str:
    """Return the kind of the one job; UsageError when something makes no sense."""
    if unsaved:
        raise click.UsageError("-O needs --wait; or fetch it later with: jobd result JOB -O FILE")
    if atomic:
        raise click.UsageError("--atomic needs -f")
    if kind is None:
        raise click.UsageError("Missing argument 'KIND'.")
    return kind


def collect_args(args_json: str | None, named: tuple[str, ...]) -> dict[str, Any]:
    """Return the args object: ARGS_JSON (`-`: stdin), then each `name=value` over it."""
    args: Any = {}
    if args_json is not None:
        text = sys.stdin.buffer.read() if args_json == "-" else args_json
        try:
            args = msgspec.json.decode(text)
        except (ValueError, RecursionError) as error:
            raise click.UsageError(f"ARGS_JSON is not JSON: {error}") from error
    if not isinstance(args, dict):
        raise click.UsageError("ARGS_JSON must be a JSON object, {…}")
    return args | {name: arg_value(text) for name, text in pairs(named, "--arg").items()}


def arg_value(text: str) -> Any:
    """Return what `--arg name=text` means: a JSON value that is no string, else the text."""
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, str) else value
