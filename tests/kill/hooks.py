"""A receiver of webhooks beside a daemon that is killed: it notes what it gets, and misbehaves.

It writes down a message before it answers, and now and then says that it failed, or nothing.

Not here: what it proves (tests/checker/told.py).
"""

import hashlib
import http.server
import random
import socketserver
import sys
import threading
from pathlib import Path
from typing import Any

from tests.kill.clients import Notes

_FAILS = 0.1
_LOSES_ITS_ANSWER = 0.1


class Hooks:
    """A receiver on a unix socket, until it is closed."""

    def __init__(self, path: Path, notes: Notes, seed: int) -> None:
        self._server = _Server(str(path), _Handler)
        self._server.path = str(path)
        self._server.notes = notes
        self._server.random = random.Random(f"{seed}-hooks")  # noqa: S311 - a seed to repeat
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server.notes.close()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    path: str
    notes: Notes
    random: random.Random

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a daemon that was killed before it had its answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 5.0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.notes.say(
            "received",
            message=self.headers["webhook-id"],
            receiver=self.server.path,
            body=hashlib.sha256(body).hexdigest(),
        )
        drawn = self.server.random.random()
        if drawn < _LOSES_ITS_ANSWER:
            self.close_connection = True
            return
        self.send_response(500 if drawn < _LOSES_ITS_ANSWER + _FAILS else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
