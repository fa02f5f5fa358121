"""`jobd dev`: a daemon for who writes a plugin, that loads it again when one of its files changes.

Not here: the daemon (jobd/scratch.py), the watch (watching.py), which folders (dev_folders.py).
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import click

from jobd.cli.errors import say
from jobd.cli.exits import Exit
from jobd.cli.options import Environ
from jobd.cli.output import plain
from jobd.cli.watching import Watch
from jobd.client import Client, ClientError
from jobd.scratch import DidNotStart, ScratchDaemon, Settings
from jobd.wire.handlers import HandlerList

_DRAIN_S = 2


@click.command(
    epilog="""\b
Example, in the folder of a plugin that is installed with `pip install -e .`:
  jobd dev
and in another terminal:
  JOBD_SOCKET=.jobd/s jobd submit greet.lines --wait --arg path=$PWD/README.md --arg word=a"""
)
@click.option(
    "--into",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".jobd"),
    show_default=True,
    help="Where its state and its socket are; jobs are kept from one time to the next.",
)
@click.pass_obj
def dev(environ: Environ, *, folder: Path) -> int:
    """Run a daemon that reloads plugins as you write them, until Ctrl-C.

    Its log comes here. What starts after a change runs the new code; its handlers may open
    every file that you may.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    settings: Settings = {
        "files": {"allow_paths": ["/"]},
        "pool": {"drain_s": _DRAIN_S},
        "log": {"format": "text"},
    }
    daemon = ScratchDaemon(folder.absolute(), settings, environ, heard=_show)
    try:
        with Watch() as watch, daemon:
            _watch_all(watch)
            with Client(daemon.socket) as client:
                say(f"jobd dev: submit with JOBD_SOCKET={os.path.relpath(daemon.socket)}")
                _print(client.reload_handlers().value)
                _reload_for_ever(client, watch)
    except DidNotStart as error:
        say(f"jobd: {error}")
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.OK


def _reload_for_ever(client: Client, watch: Watch) -> NoReturn:
    while True:
        changed = watch.changed()
        _watch_all(watch)
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        say(f"jobd dev: {plain(changed[0].name)}{more} changed")
        try:
            _print(client.reload_handlers().value)
        except ClientError as error:
            say(f"jobd: {error}")


def _print(found: HandlerList) -> None:
    """Say what can be submitted; the daemon's log says what cannot, and why."""
    kinds = ", ".join(handler.kind for handler in found.handlers)
    say(f"jobd dev: loaded {plain(kinds) or 'nothing'}")


def _show(line: bytes) -> None:
    sys.stderr.write(plain(line.decode(errors="replace").rstrip("\n")) + "\n")


def _watch_all(watch: Watch) -> None:
    """Watch where the plugins are, also those that were installed a moment ago."""
    command = [sys.executable, "-P", "-m", "jobd.cli.dev_folders"]
    found = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this program
    packages, *plugins = map(Path, found.stdout.splitlines())
    watch.add([packages], below=False)
    watch.add(plugins)
