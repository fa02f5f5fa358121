"""Options that several commands share, and the client they lead to."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from jobd.cli import curl
from jobd.cli.output import FORMATS
from jobd.client import Client
from jobd.config import client_socket

Environ = Mapping[str, str]
F = TypeVar("F", bound=Callable[..., Any])

_socket = click.option(
    "--socket",
    metavar="PATH|URL",
    help="The daemon's socket, or where it listens.  [default: $JOBD_URL, $JOBD_SOCKET, "
    "yours, the system's]",
)


def socket_option(command: F) -> F:
    """Add --socket, and --curl, which `connect` sees by itself."""
    return _socket(curl.curl_option(command))


save_option = click.option(
    "-O",
    "save_as",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result to FILE, whole or not at all.",
)


of_all_option = click.option(
    "--all", "of_all", is_flag=True, help="Everybody's; it takes the right to read."
)

limit_option = click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="At most so many.",
)


def output_option(default: str | None, text: str) -> Callable[[F], F]:
    """Return the option -o; json is the API's answer unchanged."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default=default,
        show_default=default is not None,
        help=text,
    )


def connect(environ: Environ, socket: str | None) -> Client:
    """Return a client of the daemon that --socket or the environment means, with $JOBD_TOKEN.

    With --curl its calls are printed: the first one raises NotSent, which ends the command.
    UsageError for a URL or a token that cannot be used.
    """
    target = socket or environ.get("JOBD_URL") or client_socket(environ)
    named_as_url = not socket and environ.get("JOBD_URL")
    token = environ.get("JOBD_TOKEN") or None
    dial = partial(curl.Printed, target) if curl.asked() else None
    try:
        if named_as_url or target.startswith(("http://", "https://")):
            return Client(url=target, token=token, dial=dial)
        return Client(target, token=token, dial=dial)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def pairs(values: tuple[str, ...], option: str) -> dict[str, str]:
    """Split `name=value` arguments. UsageError when one has no name or no `=`."""
    split: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{option} {value}: expected NAME=VALUE")
        split[name] = rest
    return split
