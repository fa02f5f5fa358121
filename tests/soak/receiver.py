"""A receiver of callbacks that answers well, badly, late or not at all, and goes down at times.

Not here: who sends (jobd), which jobs have a callback (crowd.py).
"""

import json
import random
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MOODS = {"ok": 70, "refuse": 10, "drop": 8, "lose the answer": 8, "hang": 4}


class Receiver:
    """Listens on a port of its own; `told` are the jobs of which it has read."""

    def __init__(self, seed: int) -> None:
        self.moods: Counter[str] = Counter()
        self.told: set[str] = set()
        self.news = threading.Condition()
        self._random = random.Random(f"{seed}-receiver")  # noqa: S311 - a seed to repeat
        self._well = threading.Event()
        """Set: no moods any more, and who hangs goes on."""
        self._turning = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    def up(self) -> None:
        """Listen, where it did before, unless it does."""
        with self._turning:
            if self._server is None:
                self._listen()

    def _listen(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5

            def do_POST(self) -> None:
                receiver.receive(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            block_on_close = False  # who hangs holds nobody up

            def handle_error(self, request: object, client_address: object) -> None:
                """A sender that has gone away is no error."""

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections until it is up again."""
        with self._turning:
            if self._server is not None:
                self._server.shutdown()
                self._server.server_close()
                self._server = None

    def get_well(self) -> None:
        """Answer well from now on."""
        self._well.set()
        self.up()

    def receive(self, request: BaseHTTPRequestHandler) -> None:
        """Read one message, and answer in some mood."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        with self.news:
            mood = "ok" if self._well.is_set() else self._mood()
            self.moods[mood] += 1
            if mood in ("ok", "lose the answer"):
                self.told.add(json.loads(body)["data"]["job_id"])
                self.news.notify_all()
        if mood == "hang":
            self._well.wait(3)
        if mood == "refuse":
            request.send_response(503)
        elif mood == "ok":
            request.send_response(204)
        if mood not in ("ok", "refuse"):
            request.close_connection = True
            return
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _mood(self) -> str:
        return self._random.choices(list(_MOODS), list(_MOODS.values()))[0]

    def missing(self, job_ids: set[str], patience_s: float) -> set[str]:
        """Wait until it was told of all these jobs; return those of which it was not."""
        with self.news:
            self.news.wait_for(lambda: job_ids <= self.told, patience_s)
            return job_ids - self.told
