"""`jobd service`: jobd under systemd."""

import os
import sys
from pathlib import Path

import click

from jobd import resources

_SHIPPED_PROGRAM = "/usr/bin/jobd"
_NAME = "jobd"


@click.group()
def service() -> None:
    """Run jobd as a service."""


@service.command(
    epilog="""\b
Examples:
  jobd service unit | sudo tee /etc/systemd/system/jobd.service
  jobd service unit --user > ~/.config/systemd/user/jobd.service"""
)
@click.option("--user", "of_user", is_flag=True, help="For your own service manager.")
def unit(*, of_user: bool) -> None:
    """Print the systemd unit that runs this very installation.

    The system's unit runs it as the user jobd: sudo useradd --system jobd. What people may
    do with its socket is up to socket_mode and the group of that user.
    """
    name = "systemd/jobd-user.service" if of_user else "systemd/jobd.service"
    text = resources.path(name).read_text(encoding="utf-8")
    click.echo(text.replace(_SHIPPED_PROGRAM, command_line()), nl=False)


def command_line() -> str:
    """Return how a unit's ExecStart= calls this program."""
    called = Path(sys.argv[0]).absolute()
    if called.name == _NAME and os.access(called, os.X_OK):
        return quoted(str(called))
    return f"{quoted(sys.executable)} -P -m jobd"


def quoted(path: str) -> str:
    """Return a path as systemd.service(5) reads it back."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(char in escaped for char in " \t\\\"'") else escaped
