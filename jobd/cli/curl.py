"""`--curl`: the call that a command would make, as a curl command, in place of being made.

It is printed where it would be sent, so that it cannot be another one. A secret is never
printed: its place is taken by the variable that has it.

Not here: what is sent (client/).
"""

import contextlib
import http.client
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from jobd.client.uploads import FileBody

_ASKED = "jobd.curl"
_TOKEN = "$JOBD_TOKEN"  # noqa: S105 - the name of where it is
_LONGEST_ARGUMENT_BYTES = 100_000
"""Linux takes 128 KiB in one argument."""


class NotSent(Exception):  # noqa: N818 - named for what happened
    """The call was printed."""


def _remember(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - as click calls it
    ctx.meta[_ASKED] = value


curl_option = click.option(
    "--curl",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    help="Print the call as a curl command, and send nothing.",
)


def asked() -> bool:
    """Return whether this command line has --curl."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_ASKED))


def each(*calls: Callable[[], object]) -> None:
    """Have each of the calls printed, and not only the first."""
    for call in calls:
        with contextlib.suppress(NotSent):
            call()


class Printed(http.client.HTTPConnection):
    """Stands for a connection: what would be sent over it is printed, and NotSent raised.

    `target` is the path of a socket, or a URL, of which the host counts.
    """

    def __init__(self, target: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        parts = urlsplit(target)
        self._target = f"{parts.scheme}://{parts.netloc}" if _is_url(target) else target

    def connect(self) -> None:
        """Connect to nothing."""

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, Any] = {},
        *,
        encode_chunked: bool = False,  # noqa: ARG002 - as http.client calls it
    ) -> None:
        """Print the request. Raises NotSent."""
        body = body.path if isinstance(body, FileBody) else body
        click.echo(command(self._target, method, url, headers, body))
        raise NotSent


def command(
    target: str,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | Path | None = None,
) -> str:
    """Return the curl command that sends this, one line for a shell; a file's content for a Path.

    `target` is the path of a socket, or a URL that stands before `url`.
    A body that is too long for an argument stands in the lines below.
    """
    words, base = ["curl", "-sS"], target.rstrip("/")
    if not _is_url(target):
        words, base = [*words, "--unix-socket", shlex.quote(target)], "http://localhost"
    if headers.get("Accept") == "text/event-stream" or "follow=" in url:
        words.append("-N")
    words += _method(method, body)
    words += [
        f"-H {_header(name, value)}"
        for name, value in headers.items()
        if name != "Content-Length"  # curl says it
    ]
    below = ""
    if isinstance(body, Path):
        words.append(f"-T {shlex.quote(str(body.absolute()))}")
    elif body is not None:
        text = body.decode()
        if len(body) < _LONGEST_ARGUMENT_BYTES:
            words.append(f"--data-raw {shlex.quote(text)}")
        else:
            words.append("--data-binary @-")
            below = f" << 'END-OF-BODY'\n{text}\nEND-OF-BODY"
    words += _url(base, url)
    return " ".join(words) + below


def upload(target: str, path: Path, *, with_token: bool = False) -> str:
    """Return the curl command that uploads the file."""
    headers = {"Authorization": "Bearer"} if with_token else {}
    headers["Content-Type"] = "application/octet-stream"
    return command(target, "POST", "/v1/uploads", headers, path)


def _method(method: str, body: object) -> Iterable[str]:
    if method == "HEAD":
        return ["--head"]
    said_by_the_rest = method == ("POST" if isinstance(body, bytes) else "GET")
    return [] if said_by_the_rest else ["-X", method]


def _header(name: str, value: str) -> str:
    if name.lower() == "authorization":
        scheme, _, _ = value.partition(" ")
        return f'"{name}: {scheme} {_TOKEN}"'
    return shlex.quote(f"{name}: {value}")


def _is_url(target: str) -> bool:
    return target.startswith(("http://", "https://"))


def _url(base: str, url: str) -> Iterable[str]:
    path, mark, query = url.partition("?")
    pairs = query.split("&")
    shown = f"{base}{path}{mark}{'&'.join(map(_masked, pairs))}"
    # curl would make a way up of it
    dots = ["--path-as-is"] if {".", ".."} & set(unquote(path).split("/")) else []
    return [*dots, f'"{shown}"' if _TOKEN in shown else shlex.quote(shown)]


def _masked(pair: str) -> str:
    return f"access_token={_TOKEN}" if pair.startswith("access_token=") else pair
