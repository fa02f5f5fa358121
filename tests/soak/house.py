"""The daemon of a soak: `jobd serve` on one state folder, killed and started again on demand.

Not here: what is asked of it (crowd.py), when it is killed (nemesis.py).
"""

import fcntl
import http.client
import json
import os
import queue
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

_SERVE = str(Path(__file__).with_name("serve.py"))
PATIENCE_S = 30.0
KEPT_S = 60
"""How long a finished job is kept: the shortest that can be set."""
MOST_KEPT = 1600
"""Finished jobs kept at most; those that expire first go first."""
NARROW = "narrow"
"""A queue with a limit."""
FLOOD = "flood"
"""One without: nothing of a queue with a limit is claimed ahead."""

_CONFIG = f"""\
[pool]
cpu_workers = 2
drain_s = 10
kill_grace_s = 0.5
max_jobs_per_worker = 400
[jobs]
backoff_base_s = 0.05
[queues.{NARROW}]
concurrency = 1
[retention]
default_s = {KEPT_S}
max_jobs = {MOST_KEPT}
[webhooks]
allow_http = true
allow_private = ["127.0.0.0/8"]
timeout_s = 1
schedule_s = [0.1, 0.2, 0.5, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2]
[log]
level = "warning"
format = "json"
"""


class Reply(NamedTuple):
    """An answer: its status, and its document or bytes."""

    status: int
    document: Any

    @property
    def ok(self) -> bool:
        return self.status < http.HTTPStatus.BAD_REQUEST


def connect(path: str, patience_s: float = PATIENCE_S) -> http.client.HTTPConnection:
    """Return a connection to the socket, which the caller closes. Raises OSError."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(patience_s)
        connection.sock.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def ask(
    path: str, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
) -> Reply:
    """Make one request; bytes go as they are, all else as JSON. Raises OSError, HTTPException."""
    raw = isinstance(body, bytes)
    kind = "application/octet-stream" if raw else "application/json"
    sent = body if raw or body is None else json.dumps(body).encode()
    connection = connect(path)
    try:
        connection.request(method, url, sent, {"Content-Type": kind, **(headers or {})})
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    is_json = "json" in response.headers.get_content_type()
    is_list = "ndjson" in response.headers.get_content_type()
    return Reply(response.status, json.loads(content) if is_json and not is_list else content)


class House:
    """A daemon and its state. `up` is set while it serves."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "s")
        self.state = folder / "state"
        self.up = threading.Event()
        self.log: list[str] = []
        """What it said, over all its lives; warnings and worse. `close` leaves it in a file."""
        self._log_file = folder / "daemon.log"
        config = folder / "jobd.toml"
        config.write_text(_CONFIG)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("JOBD_", "XDG_"))}
        self._environ = clean | {"HOME": str(folder)}
        place = ["--state-dir", str(self.state), "--socket", self.socket]
        self._held_file = folder / "held.json"
        program = [sys.executable, "-P", _SERVE, str(self._held_file)]
        self._command = [*program, "serve", "--config", str(config), *place]
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Return when it serves, and knows its handlers."""
        ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            self._command, env=self._environ, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        self._reader = threading.Thread(target=self._read, args=(self._process, ready))
        self._reader.start()
        assert ready.get(timeout=PATIENCE_S), "".join(self.log[-50:])
        self.up.set()

    def _read(self, process: subprocess.Popen[str], ready: queue.SimpleQueue[bool]) -> None:
        assert process.stderr is not None
        with process.stderr as pipe:
            for line in pipe:
                self.log.append(line)
                if line.startswith("jobd is ready on "):
                    ready.put(True)
        ready.put(False)

    def kill(self) -> None:
        """SIGKILL, and start again beside what is left of it."""
        self.up.clear()
        self._end(signal.SIGKILL)
        self.start()

    def restart(self) -> None:
        """SIGTERM, and start again: the catalogue is read anew."""
        self.up.clear()
        assert self._end(signal.SIGTERM) == 0
        self.start()

    def stop(self) -> int:
        """SIGTERM; return the exit status."""
        self.up.clear()
        return self._end(signal.SIGTERM)

    def close(self) -> None:
        if self._process is not None:
            self._end(signal.SIGKILL)
        self._log_file.write_text("".join(self.log))

    def _end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        self._process = None
        return status

    def held(self) -> Counter[str]:
        """Return what is in its memory: see serve.py."""
        self._held_file.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._held_file.exists():
            assert time.monotonic() < deadline_s, "".join(self.log[-50:])
            ask(self.socket, "GET", "/v1/queues")  # signals are seen when the loop has a turn
        return Counter(json.loads(self._held_file.read_text()))

    def said(self, text: str) -> list[str]:
        """Return the lines of its log that contain the text."""
        return [line for line in self.log if text in line]

    def log_counts(self) -> Counter[str]:
        """Return how often it said what."""
        said: Counter[str] = Counter()
        for line in self.log:
            if line.startswith("{"):
                record = json.loads(line)
                message = record["message"].partition(" worker=")[0]
                said[f"log: {record['level']}: {message}"] += 1
        return said

    def left_behind(self) -> list[str]:
        """Return what is wrong with what it left; it is stopped and every job was deleted."""
        wrong = []
        with (self.state / "workers.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                wrong.append("a process that the daemon started is still alive")
        database = sqlite3.connect(self.state / "jobd.db")
        try:
            (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
            if verdict != "ok":
                wrong.append(f"integrity_check says: {verdict}")
            for table in _EMPTY_IN_THE_END:
                (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
                if count:
                    wrong.append(f"{table} has {count} rows of jobs that were deleted")
        finally:
            database.close()
        return wrong


_EMPTY_IN_THE_END = (
    *("jobs", "job_inputs", "job_results", "progress", "checkpoints", "events", "artifacts"),
    *("messages", "deliveries", "delivery_attempts", "job_files"),
)
