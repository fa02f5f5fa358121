"""The unix socket and the server on it: bound first, served when the daemon is ready.

Not here: the routes (app.py).
"""

import contextlib
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

log = logging.getLogger(__name__)

BACKLOG = 1024
"""The default of 128 refuses part of a burst of 256 connects."""

SERVER_LIMITS: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,
    "handle_signals": False,
    "handler_cancellation": False,
    "keepalive_timeout": 15.0,
    "lingering_time": 2.0,
    "logger": log,
    "shutdown_timeout": 5.0,
}
"""What the server is given besides the routes; a request's own limits are the handlers'."""


def _is_no_clients_fault(record: logging.LogRecord) -> bool:
    """Keep what aiohttp logs, but a client's bad bytes: of those one line, no traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError):
        return True
    reason = error.message.partition("\n")[0]
    log.info("A client sent what is no HTTP.", extra={"reason": reason})
    return False


log.addFilter(_is_no_clients_fault)


class SocketUnusable(Exception):  # noqa: N818 - the word the operator reads
    """The socket's path is somebody else's."""


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


@asynccontextmanager
async def served(app: web.Application, listener: socket.socket) -> AsyncIterator[None]:
    """Serve `app` on the socket; at the end requests under way get a moment to be answered."""
    runner = web.AppRunner(app, **SERVER_LIMITS)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        yield
    finally:
        await runner.cleanup()
