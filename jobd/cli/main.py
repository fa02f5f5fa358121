"""The command `jobd`: the group of commands, and how each of its ends becomes an exit code.

A command's module is imported when the command is run: `jobd ls` must not pay for what
`jobd serve` needs. The environment enters here and is handed on as the context's object.

Not here: what the exit codes are (exits.py).
"""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence

import click

from jobd import __version__
from jobd.cli.curl import NotSent
from jobd.cli.errors import report, say
from jobd.cli.exits import Exit, of_error
from jobd.cli.output import plain
from jobd.client import ClientError

_COMMANDS = {
    "serve": "jobd.cli.serve:serve",
    "submit": "jobd.cli.submit:submit",
    "ls": "jobd.cli.jobs:ls",
    "show": "jobd.cli.jobs:show",
    "logs": "jobd.cli.logs:logs",
    "wait": "jobd.cli.jobs:wait",
    "watch": "jobd.cli.watch:watch",
    "result": "jobd.cli.jobs:result",
    "cancel": "jobd.cli.jobs:cancel",
    "retry": "jobd.cli.jobs:retry",
    "rm": "jobd.cli.jobs:rm",
    "top": "jobd.cli.top:top",
    "queues": "jobd.cli.queues:queues",
    "plugins": "jobd.cli.plugins:plugins",
    "webhooks": "jobd.cli.webhooks:webhooks",
    "token": "jobd.cli.token:token",
    "service": "jobd.cli.service:service",
    "dev": "jobd.cli.dev:dev",
    "demo": "jobd.cli.demo:demo",
    "version": "jobd.cli.about:version",
    "help": "jobd.cli.about:help_",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        """Return the names in the order of a first encounter with jobd."""
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - as click calls it
        cmd_name: str,
    ) -> click.Command | None:
        """Import the module of the command, or return None when there is no such command."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  jobd demo                                           see it work
  jobd serve                                          start the daemon
  jobd submit import.csv '{"source": …}' --wait       run a job, print its result
  jobd ls --status failed                             see what went wrong
  jobd ls --status failed --curl                      the same call, for your own program
  jobd help exit-codes                                what a script can rely on""",
)
@click.version_option(__version__, prog_name="jobd", message="%(prog)s %(version)s")
def cli() -> None:
    """Run long jobs on this machine: durable, in worker processes, one daemon, no broker."""


def main() -> None:
    """Run the command line of this process and exit with its code."""
    sys.exit(run(sys.argv[1:], os.environ))


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command line and return its exit code; nothing is raised."""
    try:
        code = _invoke(arguments, environ)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader of our output has gone (`jobd ls | head`); nor can the rest be flushed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    return code


def _invoke(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    try:
        code = cli.main(
            list(arguments),
            prog_name="jobd",
            standalone_mode=False,
            obj=environ,
            color=False if environ.get("NO_COLOR") else None,
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return Exit.INTERRUPTED
    except NotSent:
        return Exit.OK
    except ClientError as error:
        report(error)
        return of_error(error)
    except UnicodeEncodeError as error:
        # an argument that is not UTF-8: it can be neither JSON nor part of a URL
        say(f"jobd: not text in UTF-8: {plain(error.object)}")
        return Exit.USAGE
    return code if isinstance(code, int) else Exit.OK
