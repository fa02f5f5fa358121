"""`jobd version` and `jobd help`: about jobd itself."""

import click

from jobd import __version__
from jobd.cli import curl
from jobd.cli.exits import MEANINGS
from jobd.cli.options import Environ, connect, socket_option
from jobd.client import ClientError


@click.command()
@socket_option
@click.pass_obj
def version(environ: Environ, *, socket: str | None) -> None:
    """Print the version of this program, and of the daemon if one answers."""
    if not curl.asked():
        click.echo(f"jobd {__version__}")
    with connect(environ, socket) as client:
        try:
            status = client.status().value
        except ClientError:
            return
    click.echo(
        f"daemon {status.version} at {client.address} "
        f"(Python {status.python}, SQLite {status.sqlite})"
    )


@click.command("help")
@click.argument("topic", required=False)
@click.pass_context
def help_(ctx: click.Context, topic: str | None) -> None:
    """Show the help of a command, or of the topic exit-codes."""
    root = ctx.find_root()
    if topic == "exit-codes":
        for code, meaning in MEANINGS.items():
            click.echo(f"{code:>3}  {meaning}")
        return
    if topic is None:
        click.echo(root.get_help())
        return
    command = (
        root.command.get_command(root, topic) if isinstance(root.command, click.Group) else None
    )
    if command is None:
        raise click.UsageError(f"no help on {topic}; topics: the commands, and exit-codes")
    with click.Context(command, info_name=topic, parent=root) as inner:
        click.echo(command.get_help(inner))
