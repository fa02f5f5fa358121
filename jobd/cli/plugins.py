"""`jobd plugins`: which kinds the daemon can run, and which it cannot, with the reason.

Not here: what works without a daemon (plugins_check.py, plugins_new.py).
"""

import click

from jobd.cli.errors import say
from jobd.cli.options import Environ, connect, output_option, socket_option
from jobd.cli.output import Column, View, plain
from jobd.cli.plugins_check import check
from jobd.cli.plugins_new import new
from jobd.client import Answer
from jobd.wire.handlers import Handler, HandlerList

VIEW: View[Handler] = View(
    items="handlers",
    name=lambda handler: handler.kind,
    columns=(
        Column("KIND", lambda handler: handler.kind),
        Column("PLUGIN", lambda handler: f"{handler.distribution} {handler.version}"),
        Column("LANE", lambda handler: handler.lane),
        Column("QUEUE", lambda handler: handler.queue),
        Column("WHAT IT DOES", lambda handler: handler.description),
        Column("TARGET", lambda handler: handler.target, wide=True),
        Column("TIMEOUT", lambda handler: _or_default(handler.timeout_seconds), wide=True),
        Column("ATTEMPTS", lambda handler: _or_default(handler.max_attempts), wide=True),
    ),
)


def _or_default(value: float | None) -> str:
    return "default" if value is None else f"{value:g}"


@click.group()
def plugins() -> None:
    """See, check, write and reload plugins: the installed packages that bring handlers."""


@plugins.command(epilog="Example: jobd plugins ls -o json | jq '.handlers[].args_schema'")
@output_option("table", "How to print them.")
@socket_option
@click.pass_obj
def ls(environ: Environ, *, output: str, socket: str | None) -> None:
    """List the kinds that can be submitted, and those that did not load."""
    with connect(environ, socket) as client:
        answer = client.handlers()
    _print(answer, output)


@plugins.command(epilog="Example: pip install -e ./my-plugin && jobd plugins reload")
@output_option("table", "How to print what is installed then.")
@socket_option
@click.pass_obj
def reload(environ: Environ, *, output: str, socket: str | None) -> None:
    """Have the daemon load the plugins again, new and changed ones, and list them.

    What starts from then on runs the new code, in new workers; jobs that run end as they
    began. A plugin that does not load is named, and only its kinds are not available.
    """
    with connect(environ, socket) as client:
        answer = client.reload_handlers()
    _print(answer, output)


def _print(answer: Answer[HandlerList], output: str) -> None:
    VIEW.print_list(answer.value.handlers, answer.body, output)
    if output not in ("table", "wide"):
        return
    for failed in answer.value.load_errors:
        where = f"{failed.kind} ({failed.distribution}, {failed.target})"
        say(f"jobd: not available: {plain(where)}: {plain(failed.message)}")


plugins.add_command(check)
plugins.add_command(new)
