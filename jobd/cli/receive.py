"""`jobd webhooks listen` and `verify`: the receiver's side, for those who write one.

Neither asks the daemon anything. Not here: the server (listener.py), what a signature is
(domain/signing.py).
"""

import shlex
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from jobd.cli.errors import say
from jobd.cli.exits import Exit
from jobd.cli.output import plain
from jobd.domain.signing import ID_HEADER, TOLERANCE_S, NotGenuine, new_secret, sign, verify

if TYPE_CHECKING:
    from jobd.cli.listener import Arrival

F = TypeVar("F", bound=Callable[..., Any])

_PORT = 8899
_LAST_PORT = 65535
_NO_CONTENT = 204
_LOWEST = 200
_HIGHEST = 599
_SUBJECTS = ("job_id", "batch_id", "endpoint_id", "delivery_id")


def secret_options(command: F) -> F:
    """Add --secret and --secret-file, which `secret_of` reads."""
    typed = click.option("--secret", metavar="whsec_…", help="The secret; others may see it in ps.")
    read = click.option(
        "--secret-file",
        metavar="FILE",
        type=click.File("r", encoding="utf-8"),
        help="Read the secret from FILE, - for stdin.",
    )
    return typed(read(command))


def secret_of(secret: str | None, secret_file: Any) -> str | None:
    """Return the secret that was given, None for none. UsageError for what is no secret."""
    if secret is not None and secret_file is not None:
        raise click.UsageError("--secret and --secret-file exclude each other")
    if secret_file is not None:
        secret = secret_file.read().strip()
    if secret is None:
        return None
    try:
        sign([secret], "", 0, b"")
    except ValueError as error:
        raise click.UsageError(f"the secret cannot be used: {error}") from None
    return secret


@click.command(
    "verify",
    epilog="Example: jobd webhooks verify body.json --secret-file secret"
    " -H 'webhook-id: msg_…' -H 'webhook-timestamp: …' -H 'webhook-signature: v1,…'",
)
@click.argument("body", type=click.File("rb"), default="-")
@click.option(
    "-H", "--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="A header; repeat."
)
@secret_options
@click.option(
    "--tolerance",
    "tolerance_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=TOLERANCE_S,
    show_default=True,
    help="How far its time may be from now; more for one of a log.",
)
def verify_message(
    *,
    body: Any,
    headers: tuple[str, ...],
    secret: str | None,
    secret_file: Any,
    tolerance_s: float,
) -> int:
    """Check one message: BODY is a file with the bytes as they came, - for stdin.

    Says `genuine`, or what is wrong and exits 1.
    """
    given = secret_of(secret, secret_file)
    if given is None:
        raise click.UsageError("say which secret: --secret-file FILE, or --secret whsec_…")
    named = dict(_header(text) for text in headers)
    try:
        verify(given, named, body.read(), time.time(), tolerance_s=tolerance_s)
    except NotGenuine as error:
        say(f"jobd: not genuine: {plain(str(error))}")
        return Exit.FAILED
    said = {name.lower(): value for name, value in named.items()}
    click.echo(f"{plain(said[ID_HEADER])}: genuine")
    return Exit.OK


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"-H {text}: expected 'NAME: VALUE'")
    return name.strip(), value.strip()


@click.command(
    epilog="Examples: jobd webhooks listen · jobd webhooks listen --unix /run/app/hooks.sock"
    " --secret-file secret -o json"
)
@click.option(
    "--port",
    type=click.IntRange(0, _LAST_PORT),
    default=_PORT,
    show_default=True,
    help="Listen at this port of 127.0.0.1; 0 for any that is free.",
)
@click.option(
    "--unix",
    "path",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Listen on this unix socket in place of a port.",
)
@secret_options
@click.option(
    "--status",
    type=click.IntRange(_LOWEST, _HIGHEST),
    default=_NO_CONTENT,
    show_default=True,
    help="Answer so; 503 lets you see retries, 410 disables the endpoint.",
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many; else Ctrl-C ends it.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print them."
)
def listen(
    *,
    port: int,
    path: Path | None,
    secret: str | None,
    secret_file: Any,
    status: int,
    count: int | None,
    output: str,
) -> int:
    """Receive webhooks on this machine: check each, print it, answer it.

    Without a secret one is made; the line that registers this receiver has it. What is not
    genuine is printed too, and answered 400.
    """
    from jobd.cli.listener import Listener  # noqa: PLC0415 - a server, which most commands need not

    given = secret_of(secret, secret_file)
    used = given or new_secret()
    try:
        listener = Listener(path or port, used, status=status)
    except OSError as error:
        raise click.ClickException(f"cannot listen: {error.strerror or error}") from None
    with listener:
        _introduce(listener.url, path, used, known=given is not None)
        left = count
        while left is None or left > 0:
            _print(listener.next(), output)
            left = None if left is None else left - 1
    return Exit.OK


def _introduce(url: str, path: Path | None, secret: str, *, known: bool) -> None:
    """Say how the daemon comes to send here."""
    say(f"jobd: listening on {url}")
    shown = "--secret-file FILE" if known else f"--secret {secret}"
    say("Register it:")
    say(f"  jobd webhooks add {shlex.quote(url)} {shown}")
    say("The daemon must be allowed to send here, by its configuration:")
    say("  [webhooks]")
    if path is None:
        say("  allow_http = true")
        say('  allow_private = ["127.0.0.1/32"]')
    else:
        say(f"  allow_unix = [{msgspec.json.encode(str(path.absolute())).decode()}]")


def _print(arrival: "Arrival", output: str) -> None:
    if output == "json":
        click.echo(msgspec.json.encode(_document(arrival)))
        return
    said = _said(arrival.body)
    moment = datetime.fromtimestamp(arrival.at_s, UTC)
    words = (
        f"{moment:%H:%M:%S}",
        str(arrival.answered),
        _verdict(arrival),
        str(said.get("type", "")),
        arrival.message_id,
        f"attempt {arrival.attempt}" if arrival.attempt else "",
        _subject(said.get("data")),
    )
    click.echo("  ".join(plain(word) for word in words if word))


def _verdict(arrival: "Arrival") -> str:
    if arrival.fault is not None:
        return f"not genuine: {arrival.fault}"
    return "seen before" if arrival.again else "genuine"


def _subject(data: Any) -> str:
    """Return which job, batch or endpoint it tells of."""
    if not isinstance(data, dict):
        return ""
    return str(next((data[name] for name in _SUBJECTS if data.get(name)), ""))


def _document(arrival: "Arrival") -> dict[str, Any]:
    return {
        "received_at": datetime.fromtimestamp(arrival.at_s, UTC),
        "message_id": arrival.message_id,
        "attempt": arrival.attempt,
        "genuine": arrival.fault is None,
        "fault": arrival.fault,
        "seen_before": arrival.again,
        "status_code": arrival.answered,
        "body": _said(arrival.body) or arrival.body.decode("utf-8", "replace"),
    }


def _said(body: bytes) -> dict[str, Any]:
    """Return what the body says, nothing if it is no JSON object."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError):
        return {}
