"""`jobd queues`: what is in each queue, its limit, pause and resume."""

import click

from jobd.cli.options import Environ, connect, output_option, socket_option
from jobd.cli.output import Column, View, seconds_text
from jobd.client import Answer
from jobd.wire.queues import Queue, QueuePatch


def _limit(queue: Queue) -> str:
    return "none" if queue.concurrency is None else str(queue.concurrency)


def _oldest(queue: Queue) -> str:
    seconds = queue.oldest_queued_seconds
    return "" if seconds is None else seconds_text(seconds)


VIEW: View[Queue] = View(
    items="queues",
    name=lambda queue: queue.name,
    columns=(
        Column("QUEUE", lambda queue: queue.name),
        Column(
            "STATE",
            lambda queue: "paused" if queue.paused else "open",
            colour=lambda queue: "yellow" if queue.paused else None,
        ),
        Column("LIMIT", _limit, right=True),
        Column("QUEUED", lambda queue: str(queue.queued), right=True),
        Column("PROCESSING", lambda queue: str(queue.processing), right=True),
        Column("OLDEST", _oldest, right=True),
    ),
)


def _concurrency(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """Return the limit that `--concurrency` means; None is none."""
    if value == "none":
        return None
    limit: int = click.IntRange(min=1)(value, parameter, context)
    return limit


@click.group()
def queues() -> None:
    """Look at the queues; pause and limit them."""


@queues.command(epilog="Example: jobd queues ls -o json | jq '.queues[] | select(.paused)'")
@output_option("table", "How to print them.")
@socket_option
@click.pass_obj
def ls(environ: Environ, *, output: str, socket: str | None) -> None:
    """List the queues and what is in them."""
    with connect(environ, socket) as client:
        answer = client.queues()
    VIEW.print_list(answer.value.queues, answer.body, output)


@queues.command(epilog="Example: jobd queues pause mail")
@click.argument("name")
@output_option("table", "How to print the queue.")
@socket_option
@click.pass_obj
def pause(environ: Environ, *, name: str, output: str, socket: str | None) -> None:
    """Start no more jobs of the queue NAME.

    What runs goes on, and submissions are taken. The queue stays paused over a restart.
    """
    with connect(environ, socket) as client:
        _print(client.pause_queue(name), output)


@queues.command(epilog="Example: jobd queues resume mail")
@click.argument("name")
@output_option("table", "How to print the queue.")
@socket_option
@click.pass_obj
def resume(environ: Environ, *, name: str, output: str, socket: str | None) -> None:
    """Start jobs of the queue NAME again."""
    with connect(environ, socket) as client:
        _print(client.resume_queue(name), output)


@queues.command("set", epilog="Example: jobd queues set mail --concurrency 2")
@click.argument("name")
@click.option(
    "--concurrency",
    metavar="N|none",
    callback=_concurrency,
    required=True,
    help="How many jobs of the queue may run at a time.",
)
@output_option("table", "How to print the queue.")
@socket_option
@click.pass_obj
def set_(
    environ: Environ,
    *,
    name: str,
    concurrency: int | None,
    output: str,
    socket: str | None,
) -> None:
    """Limit how many jobs of the queue NAME run at a time.

    What you set here stands above [queues.NAME] of the configuration, over a restart too.
    """
    with connect(environ, socket) as client:
        _print(client.set_queue(name, QueuePatch(concurrency=concurrency)), output)


def _print(answer: Answer[Queue], output: str) -> None:
    VIEW.print_one(answer.value, answer.body, output)
