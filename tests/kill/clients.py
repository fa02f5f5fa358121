"""Clients of a daemon that is killed under them: they submit, poll, cancel, and write it down.

`python tests/kill/clients.py <number> <socket> <folder> <seed> <long>` is one of them; long
is the share of jobs that take long. It is told on stdin, by a line, each time that the daemon
is up again, and by the end of file to finish; it writes a byte to stdout for each job that was
acknowledged. A submission whose answer was lost is repeated with the same Idempotency-Key
until there is an answer.

Not here: what the lines mean (tests/checker/history.py), who kills (loop.py).
"""

import contextlib
import http.client
import itertools
import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_PATIENCE_S = 30.0
_MAX_OPEN = 6
"""Jobs that a client has at a time; then it waits for the oldest."""
_MAX_REMEMBERED = 30
_MOST_INTERRUPTED = 5
"""So many runs of a job may be cut short by a stop of the daemon: then it fails."""
_CANCELLED = 0.2
_FAILING = 0.1
_FORGETFUL = 0.1
_TOLD = 0.5
"""The shares of jobs: cancelled, failing first, sent by one who goes away, with a callback."""

Answer = tuple[int, dict[str, Any]]


class Call(NamedTuple):
    """What a client asks; `key` is the job's, and a submission has no `job_id`."""

    name: str
    key: str
    job_id: str = ""

    @property
    def target(self) -> tuple[str, str]:
        match self.name:
            case "submit":
                return "POST", "/v1/jobs"
            case "cancel":
                return "POST", f"/v1/jobs/{self.job_id}/cancel"
            case _:
                return "GET", f"/v1/jobs/{self.job_id}"


def ask(
    path: str, method: str, url: str, headers: dict[str, str], body: Any = None
) -> http.client.HTTPConnection:
    """Send one request over the socket; the caller reads the answer, or not, and closes."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(_PATIENCE_S)
        connection.sock.connect(path)
        sent = None if body is None else json.dumps(body)
        connection.request(method, url, sent, {"Content-Type": "application/json", **headers})
    except BaseException:
        connection.close()
        raise
    return connection


def answer_of(connection: http.client.HTTPConnection) -> Answer:
    """Return status and document; OSError or HTTPException when there is none."""
    with contextlib.closing(connection):
        response = connection.getresponse()
        return response.status, json.loads(response.read())


class Notes:
    """A file of the history, which one writer appends to."""

    def __init__(self, folder: Path, who: str) -> None:
        self._who = who
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
        self._fd = os.open(folder / f"{who}.jsonl", flags, 0o600)

    def say(self, op: str, **more: Any) -> None:
        line = {"op": op, "at": time.monotonic_ns(), "who": self._who, **more}
        os.write(self._fd, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        os.close(self._fd)


class Ups:
    """What the one who kills says on stdin."""

    def __init__(self) -> None:
        self.finish = False
        self._ups = threading.Semaphore(0)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for _line in sys.stdin:
            self._ups.release()
        self.finish = True
        self._ups.release()

    def wait(self) -> None:
        """Return when the daemon came up once more than was waited for, or when to finish.

        An outage that nobody noticed leaves one too many: then the next wait is in vain,
        and the one after it is not.
        """
        if not self.finish:
            self._ups.acquire()


class Client:
    """One client: its calls, one after the other, and the jobs it knows."""

    def __init__(self, number: int, path: str, folder: Path, seed: int, long: float) -> None:
        self._long = long
        """The share of jobs that take long."""
        self._who = f"client-{number}"
        self._path, self._folder = path, folder
        self._notes = Notes(folder, self._who)
        self._random = random.Random(f"{seed}-{number}")  # noqa: S311 - a seed to repeat
        self._numbers = itertools.count(1)
        self._ups = Ups()
        self._open: dict[str, str] = {}
        self._over: dict[str, str] = {}
        """Job ids and their keys, of those that are over and those that are not."""

    def run(self) -> None:
        """Work until told to finish."""
        self._ups.wait()
        for turn in itertools.count(1):
            if self._ups.finish:
                return
            self._submit(f"{self._who}-{turn}")
            if self._open and self._random.random() < _CANCELLED:
                self._cancel(self._random.choice(list(self._open)))
            if self._over:
                self._poll(self._random.choice(list(self._over)))
            while len(self._open) >= _MAX_OPEN:
                self._poll(next(iter(self._open)), {"Prefer": "wait=10; until=done"})

    def _submit(self, key: str) -> None:
        body: dict[str, Any] = {
            "kind": "test.history",
            "metadata": {"key": key},
            "args": {
                "folder": str(self._folder),
                "key": key,
                "seconds": self._seconds(),
                "failures": int(self._random.random() < _FAILING),
            },
        }
        if self._random.random() < _TOLD:
            body["callback_url"] = f"unix:{hooks_beside(self._path)}:/hook"
        call = Call("submit", key)
        headers = {"Idempotency-Key": key, "Prefer": "respond-async"}
        if self._random.random() < _FORGETFUL:
            self._forget(call, headers, body)
        while not self._call(call, headers, body):
            pass
        os.write(1, b".")

    def _seconds(self) -> float:
        """Return how long a job takes: some must outlive a restart, or none could overlap."""
        long = self._random.random() < self._long
        return self._random.uniform(0.5, 3) if long else self._random.uniform(0, 0.04)

    def _cancel(self, job_id: str) -> None:
        self._call(Call("cancel", self._open[job_id], job_id), {})

    def _poll(self, job_id: str, headers: dict[str, str] | None = None) -> None:
        key = self._open.get(job_id) or self._over[job_id]
        self._call(Call("poll", key, job_id), headers or {})

    def _forget(self, call: Call, headers: dict[str, str], body: Any) -> None:
        """Make a call and go away before it is answered."""
        n = self._invoke(call)
        with contextlib.suppress(OSError):
            ask(self._path, *call.target, headers, body).close()
        self._notes.say("return", n=n, outcome="unknown")

    def _call(self, call: Call, headers: dict[str, str], body: Any = None) -> bool:
        """Make a call and note it; whether it was answered ok."""
        n = self._invoke(call)
        try:
            status, document = answer_of(ask(self._path, *call.target, headers, body))
        except (OSError, http.client.HTTPException, ValueError):
            self._notes.say("return", n=n, outcome="unknown")
            self._ups.wait()
            return False
        if status >= http.HTTPStatus.BAD_REQUEST:
            self._refused(n, call, status, document)
            return False
        shown = {"job_id": document["job_id"], "key": call.key, "status": document["status"]}
        if document["done"] and "result" in document:
            shown["result"] = document["result"]
        self._notes.say("return", n=n, outcome="ok", **shown)
        self._remember(document["job_id"], call.key, done=document["done"])
        return True

    def _invoke(self, call: Call) -> int:
        n = next(self._numbers)
        self._notes.say("invoke", n=n, call=call.name, key=call.key, job_id=call.job_id)
        return n

    def _refused(self, n: int, call: Call, status: int, document: dict[str, Any]) -> None:
        """Note a refusal: busy, over already, or no such job, which is a lost one."""
        code = document["code"]
        if status == http.HTTPStatus.NOT_FOUND and call.job_id:
            shown = {"job_id": call.job_id, "key": call.key, "status": "missing"}
            self._notes.say("return", n=n, outcome="ok", **shown)
            self._open.pop(call.job_id, None)
            self._over.pop(call.job_id, None)
            return
        busy = status == http.HTTPStatus.SERVICE_UNAVAILABLE
        late = status == http.HTTPStatus.CONFLICT and call.name == "cancel"
        assert busy or late, (call, status, document)
        outcome = "unknown" if code == "outcome_unknown" else "fail"
        self._notes.say("return", n=n, outcome=outcome, code=code)

    def _remember(self, job_id: str, key: str, *, done: bool) -> None:
        if done:
            self._open.pop(job_id, None)
            self._over[job_id] = key
            if len(self._over) > _MAX_REMEMBERED:
                del self._over[next(iter(self._over))]
        elif job_id not in self._over:
            self._open[job_id] = key


def hooks_beside(path: str) -> str:
    """Return where the receiver of webhooks is, beside the daemon's socket."""
    return str(Path(path).with_name("hooks"))


def every_job(path: str) -> Iterator[dict[str, Any]]:
    """Give the documents of all jobs there are, newest first."""
    token = ""
    while True:
        url = f"/v1/jobs?page_size=100&page_token={token}"
        status, page = answer_of(ask(path, "GET", url, {}))
        assert status == http.HTTPStatus.OK, page
        yield from page["jobs"]
        if page["next_page_token"] is None:
            return
        token = page["next_page_token"]


def audit(path: str, folder: Path, rounds: int = 60) -> None:
    """Wait until every job is over, and note what all of them came to.

    Those that are not after `rounds` long polls are noted as they are: they do not end.
    """
    for job in list(every_job(path)):
        while not job["done"] and rounds > 0:
            rounds -= 1
            headers = {"Prefer": "wait=1; until=done"}
            _status, job = answer_of(ask(path, "GET", f"/v1/jobs/{job['job_id']}", headers))  # noqa: PLW2901
    notes = Notes(folder, "audit")
    for job in every_job(path):
        ended = {"key": job["metadata"]["key"], "status": job["status"]}
        most_runs = job["max_attempts"] + _MOST_INTERRUPTED
        notes.say("final", job_id=job["job_id"], most_runs=most_runs, **ended)
    notes.close()


if __name__ == "__main__":
    given = sys.argv
    Client(int(given[1]), given[2], Path(given[3]), int(given[4]), float(given[5])).run()
