"""A receiver of webhooks for people: it takes what is posted, checks it and hands it on.

It is what a receiver's author tries first, and answers as a receiver should: 2xx for what is
genuine, 400 for what is not. Not here: how it is printed (receive.py).
"""

import contextlib
import http.server
import os
import queue
import socket
import socketserver
import stat
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from jobd.domain.signing import ID_HEADER, NotGenuine, verify

_BAD_REQUEST = 400
_LENGTH_REQUIRED = 411
_TOO_LARGE = 413
_NO_CONTENT = 204
_MAX_BODY_BYTES = 16 * 1024 * 1024
_SILENCE_S = 60.0
"""After so long without a request a connection is closed."""


class Arrival(NamedTuple):
    """One request as it came, and what was made of it."""

    at_s: float
    message_id: str
    attempt: str
    body: bytes
    fault: str | None
    """Why it is not genuine; None if it is."""
    again: bool
    """Whether the message had come before: a receiver must know them by their id."""
    answered: int


class Listener:
    """Listens on 127.0.0.1 at a port (0: any that is free), or on a unix socket, while entered.

    What is genuine is answered `status`. OSError when the place cannot be had.
    """

    def __init__(self, at: int | Path, secret: str, *, status: int = _NO_CONTENT) -> None:
        self._secret = secret
        self._status = status
        self._arrived: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._path = at if isinstance(at, Path) else None
        self._server: socketserver.BaseServer
        handler = _handler(self)
        if isinstance(at, Path):
            _clear(at)
            self._server = _UnixServer(str(at), handler)
            self.url = f"unix:{at.absolute()}:/"
        else:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", at), handler)
            self._server = server
            self.url = f"http://127.0.0.1:{server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def next(self) -> Arrival:
        """Return the next request, which has been answered; waits for it."""
        return self._arrived.get()

    def judge(self, headers: dict[str, str], body: bytes) -> Arrival:
        """Check one request and say how it is to be answered."""
        at_s = time.time()
        fault = None
        try:
            verify(self._secret, headers, body, at_s)
        except NotGenuine as error:
            fault = str(error)
        named = {name.lower(): value for name, value in headers.items()}
        message_id = named.get(ID_HEADER, "")
        with self._lock:
            again = message_id in self._seen
            if fault is None:
                self._seen.add(message_id)
        answered = self._status if fault is None else _BAD_REQUEST
        return Arrival(
            at_s, message_id, named.get("jobd-attempt", ""), body, fault, again, answered
        )

    def hand_on(self, arrival: Arrival) -> None:
        """Give what has been answered to `next`."""
        self._arrived.put(arrival)


def _handler(listener: Listener) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        """Takes what is posted, at any path."""

        protocol_version = "HTTP/1.1"
        timeout = _SILENCE_S

        def do_POST(self) -> None:
            """Take one webhook."""
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit()):
                self._answer(_LENGTH_REQUIRED, last=True)
                return
            if int(length) > _MAX_BODY_BYTES:
                self._answer(_TOO_LARGE, last=True)
                return
            body = self.rfile.read(int(length))
            arrival = listener.judge(dict(self.headers), body)
            self._answer(arrival.answered)
            listener.hand_on(arrival)

        def _answer(self, status: int, *, last: bool = False) -> None:
            self.send_response_only(status)
            if status != _NO_CONTENT:
                self.send_header("Content-Length", "0")
            if last:
                self.send_header("Connection", "close")  # what is left of the body is not read
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server calls it
            """Say nothing: every request is handed on."""

    return Handler


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def _clear(path: Path) -> None:
    """Remove a socket that an earlier listener has left; one that answers stays, and is in use."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
