"""A local app that is called back: it listens on a unix socket and checks what it gets.

Not here: who calls (the daemon), the form of what is said (wire/webhooks.py).
"""

import http.server
import queue
import socketserver
import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from jobd.cli.errors import say
from jobd.domain.signing import NotGenuine, verify
from jobd.wire.webhooks import Webhook

_NO_CONTENT = 204


class Callback(NamedTuple):
    """One request as it came, and when."""

    headers: dict[str, str]
    body: bytes
    at_s: float


class Receiver:
    """Listens at `path` while it is entered."""

    def __init__(self, path: Path) -> None:
        self.socket = str(path)
        self.url = f"unix:{path}:/done"
        self._arrived: queue.SimpleQueue[Callback] = queue.SimpleQueue()
        arrived = self._arrived

        class Handler(http.server.BaseHTTPRequestHandler):
            """Takes what is posted."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Take one callback."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                arrived.put(Callback(dict(self.headers), body, time.time()))
                self.send_response_only(_NO_CONTENT)
                self.end_headers()

        self._server = _Server(self.socket, Handler)
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

    def genuine(self, secret: str, job_ids: Collection[str], timeout_s: float) -> set[str]:
        """Return for which of the jobs a callback signed with `secret` came in time."""
        told: set[str] = set()
        until_s = time.monotonic() + timeout_s
        while told < set(job_ids):
            try:
                callback = self._arrived.get(timeout=max(0.0, until_s - time.monotonic()))
            except queue.Empty:
                break
            try:
                verify(secret, callback.headers, callback.body, callback.at_s)
            except NotGenuine as error:
                say(f"jobd: a callback is not genuine: {error}")
                continue
            told.add(msgspec.json.decode(callback.body, type=Webhook).data.job_id)
        return told


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
