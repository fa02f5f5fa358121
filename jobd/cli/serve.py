"""`jobd serve`: the daemon in the foreground."""

from pathlib import Path

import click

from jobd import config
from jobd.cli.errors import say
from jobd.cli.exits import Exit
from jobd.cli.options import Environ


@click.command(
    epilog="""\b
Examples:
  jobd serve
  jobd serve --state-dir /tmp/jobd --socket /tmp/jobd/jobd.sock
  jobd serve --listen 127.0.0.1:8480"""
)
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The settings file.  [default: $JOBD_CONFIG, yours, the system's]",
)
@click.option("--state-dir", metavar="DIR", help="Where the database and the files are kept.")
@click.option("--socket", metavar="PATH", help="Where to listen; at most 107 bytes long.")
@click.option("--listen", metavar="HOST:PORT", help="Listen there too, for callers with a token.")
@click.option(
    "--listen-without-tokens",
    is_flag=True,
    help="Do so although nobody has a token yet; until one is made, all are refused.",
)
@click.pass_obj
def serve(
    environ: Environ,
    *,
    config_path: Path | None,
    state_dir: str | None,
    socket: str | None,
    listen: str | None,
    listen_without_tokens: bool,
) -> int:
    """Run the daemon until SIGTERM or Ctrl-C, which let running jobs finish first."""
    flags = {
        "server.state_dir": state_dir,
        "server.socket": socket,
        "server.listen": listen,
        "server.listen_without_tokens": "true" if listen_without_tokens else None,
    }
    overrides = {setting: value for setting, value in flags.items() if value is not None}
    try:
        settings = config.load(config_path, environ, overrides)
    except config.ConfigError as error:
        say(f"jobd: {error}")
        return Exit.UNUSABLE
    from jobd import daemon  # noqa: PLC0415 - client commands must not import the daemon

    return daemon.serve(settings, environ)
