"""The sockets and the server on them: bound first, served when the daemon is ready.

Not here: the routes (app.py), the limits of connections (connections.py), which hosts and
origins may call over TCP (origins.py).
"""

import asyncio
import contextlib
import errno
import logging
import os
import re
import socket
import stat
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import http_parser, web
from aiohttp.http_exceptions import HttpProcessingError

from jobd.api import problems
from jobd.api.connections import USUAL, Connection, Crowd, Patience
from jobd.api.origins import split_listen
from jobd.config import ConfigError
from jobd.domain.clock import Clock
from jobd.domain.errors import Unavailable
from jobd.domain.ids import IdSource

log = logging.getLogger(__name__)

BACKLOG = 1024
"""The default of 128 refuses part of a burst of 256 connects."""

CONNECTION_OPTIONS: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,
    "lingering_time": 2.0,
    "logger": log,
}
"""What each connection is given besides its own limits; a request's are the handlers'."""

RUNNER_OPTIONS: dict[str, Any] = {
    "handle_signals": False,
    "handler_cancellation": False,
    "shutdown_timeout": 5.0,
}

SERVER_LIMITS: dict[str, Any] = {**CONNECTION_OPTIONS, **RUNNER_OPTIONS, "keepalive_timeout": 15.0}
"""The same for a server of aiohttp's own, with no limit of connections."""

_C_PARSER = "aiohttp._http_parser"
_LAST_PORT = 65535


def _is_no_clients_fault(record: logging.LogRecord) -> bool:
    """Keep what aiohttp logs, but a client's bad bytes: of those one line, no traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError):
        return True
    reason = re.split(r"[\n?]", error.message, maxsplit=1)[0]  # behind a ? a token may stand
    log.info("A client sent what is no HTTP.", extra={"reason": reason})
    return False


log.addFilter(_is_no_clients_fault)


class SocketUnusable(Exception):  # noqa: N818 - the word the operator reads
    """The socket's path, or the port, is somebody else's."""


class ParserUnusable(Exception):  # noqa: N818 - the word the operator reads
    """aiohttp would read requests with its parser in Python."""


def check_parser() -> None:
    """Raise ParserUnusable without aiohttp's C parser: of the two, it is the one with no holes."""
    if http_parser.HttpRequestParser.__module__ != _C_PARSER:
        raise ParserUnusable(
            "aiohttp has no C parser here: AIOHTTP_NO_EXTENSIONS is set, or it was built "
            "without one. jobd does not serve with the other one, which requests can deceive."
        )


@contextmanager
def bound(path: str, mode: int) -> Iterator[socket.socket]:
    """Hold a unix socket bound at `path`, with the permissions `mode` from its first moment.

    Nobody can connect before it is served. Binding would silently steal the path, so a
    socket that somebody answers on is left alone: SocketUnusable. A dead one is replaced;
    anything else at `path` is refused too. The path is removed at the end, unless somebody
    else has put a socket there meanwhile.
    """
    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
        _clear(path)
        before = os.umask(0o777 & ~mode)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        mine = _identity(path)
        try:
            yield listener
        finally:
            _unlink_if(path, mine)


def _clear(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SocketUnusable(f"{path} is there already, and it is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()
            else:
                raise SocketUnusable(f"another program listens on {path}")


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _unlink_if(path: str, mine: tuple[int, int]) -> None:
    with contextlib.suppress(FileNotFoundError):
        if _identity(path) == mine:
            Path(path).unlink()


@contextmanager
def bound_tcp(listen: str) -> Iterator[socket.socket]:
    """Hold a socket bound at `HOST:PORT`; of a name, its first address.

    SocketUnusable when another program has the port, ConfigError when it cannot be had.
    """
    host, port = split_listen(listen)
    if port > _LAST_PORT:
        raise ConfigError(f"server.listen: {listen}: there are only {_LAST_PORT} ports")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError(f"server.listen: {listen}: {error.strerror}") from error
    family, _, _, _, address = found[0]
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise SocketUnusable(f"another program listens on {listen}") from error
            raise ConfigError(f"server.listen: {listen}: {error.strerror}") from error
        yield listener


def url_of(listener: socket.socket) -> str:
    """Return where a TCP socket can be reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def served(
    app: web.Application,
    listeners: Sequence[socket.socket],
    clock: Clock,
    *,
    connections: int,
    patience: Patience = USUAL,
    proxy_uids: Collection[int] = (),
) -> AsyncIterator[list[Crowd]]:
    """Serve `app` on the sockets, with at most so many connections on each.

    At the end requests under way get a moment to be answered. Yields who is connected, by
    listener.
    """
    runner = web.AppRunner(app, **RUNNER_OPTIONS)
    await runner.setup()
    manager = runner.server
    assert isinstance(manager, web.Server)  # noqa: S101 - it has been set up
    loop, refusal = asyncio.get_running_loop(), partial(_refusal, IdSource(), clock)
    crowds = [Crowd(connections, refusal, patience, proxy_uids) for _ in listeners]
    servers: list[asyncio.Server] = []
    try:
        for listener, crowd in zip(listeners, crowds, strict=True):
            make = partial(Connection, manager, crowd, loop=loop, **CONNECTION_OPTIONS)
            servers.append(await loop.create_server(make, sock=listener, backlog=BACKLOG))
        yield crowds
    finally:
        for server in servers:
            server.close()
        await runner.cleanup()


def _refusal(ids: IdSource, clock: Clock) -> bytes:
    """Return the whole answer to a connection that there is no room for."""
    request_id = ids.next("req_", clock.wall_ms())
    error = Unavailable(
        "too_many_connections", "All connections are busy with requests.", retryable=True
    )
    answer = problems.of_error(error, request_id)
    body = answer.body
    assert isinstance(body, bytes)  # noqa: S101 - for the types
    headers = {
        **answer.headers,
        "Content-Length": str(len(body)),
        "Connection": "close",
        "Date": formatdate(clock.wall_ms() / 1000, usegmt=True),
        "Server": "jobd",
        "X-Request-Id": request_id,
    }
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
