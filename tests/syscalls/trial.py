"""One trial: a daemon in which one call fails, what its client was told, and what is left.

The client sends a file, jobs that need workers, files and threads, cancels one, and looks at
them. Then the daemon is stopped, if it still runs, and started again without a fault: what
was acknowledged is there, every key stands for one job, and each of them ends.

Not here: which calls fail (calls.py), how they are made to (faults.c).
"""

import contextlib
import errno
import hashlib
import http.client
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.kill.clients import Answer, answer_of, ask, every_job
from tests.kill.loop import JOBD
from tests.syscalls.nursery import Forked

_PATIENCE_S = 30.0
_HONEST = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE}
_ENDS = {0, 74, 78}
"""Served on to the end; an I/O error; a database or a setting that cannot be used."""
_READY = "jobd is ready on "
_WAIT = {"Prefer": "wait=5; until=done"}
_LATER = timedelta(days=1)

SPARED = ":".join(
    (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), "/usr", "/etc", "/lib")
)
"""Where the interpreter and its modules are: that a daemon cannot be imported is not tried."""


@dataclass(frozen=True)
class Means:
    """What daemons are started with."""

    library: Path
    """The faults."""
    nursery: str = ""
    """The socket of a nursery; without one each daemon is a program of its own."""


@dataclass(frozen=True)
class Fault:
    """The n-th call of a kind fails with an error."""

    call: str
    """Empty: none fails, and all of them are counted."""
    error: str
    at: int
    lasts: bool = False
    """Later calls about the same file fail too."""

    @property
    def kind(self) -> str:
        """Which call fails with what."""
        return f"{self.call} {self.error}{' and on' if self.lasts else ''}"

    def __str__(self) -> str:
        return f"{self.kind} {self.at}"

    def environ(self, means: Means, log: Path) -> Mapping[str, str]:
        """Return what has the daemon fail so."""
        return {
            **({"FAULT_LASTS": "1"} if self.lasts else {}),
            **({} if means.nursery else {"LD_PRELOAD": str(means.library)}),
            "FAULT_CALL": self.call,
            "FAULT_AT": str(self.at),
            "FAULT_ERRNO": str(getattr(errno, self.error)),
            "FAULT_LOG": str(log),
            "FAULT_SPARED": SPARED,
        }


@dataclass
class Outcome:
    """What came of a trial."""

    fault: Fault
    fired: str = ""
    """What failed, empty if nothing did: there are fewer calls of the kind."""
    starting: bool = False
    """Whether that was before it served."""
    calls: int = 0
    """How many of the kind there were, if the daemon ended as programs do."""
    made: list[tuple[str, str]] = field(default_factory=list)
    """The calls, in order, and what they were about, if none was to fail."""
    made_starting: int = 0
    """How many of those were before it served."""
    end: int = 0
    """How the daemon with the fault ended."""
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    log: str = ""


class Daemon:
    """`jobd serve` that need not come up."""

    def __init__(self, folder: Path, environ: Mapping[str, str], nursery: str = "") -> None:
        config = folder / "jobd.toml"
        config.write_text("[pool]\ncpu_workers = 1\nio_workers = 1\ndrain_s = 5\n")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("JOBD_", "XDG_"))}
        self.socket = str(folder / "s")
        serve = ["serve", "--config", str(config), "--state-dir", str(folder / "state")]
        reading, writing = os.pipe()
        self._stderr = os.fdopen(reading, encoding="utf-8", errors="replace")
        self._process = _started(
            nursery,
            [*serve, "--socket", self.socket],
            {**clean, "HOME": str(folder), **environ},
            writing,
        )
        os.close(writing)
        self._said: list[str] = []
        self._settled = threading.Event()
        self._ready = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self._stderr as pipe:
            for line in pipe:
                self._said.append(line)
                if line.startswith(_READY):
                    self._ready = True
                    self._settled.set()
        self._settled.set()

    def wait_ready(self) -> bool:
        """Whether it serves; if not it has ended, or hangs."""
        return self._settled.wait(_PATIENCE_S) and self._ready

    def stop(self) -> int | None:
        """End it if it runs; return its status, or None if it had to be killed."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    @property
    def said(self) -> str:
        return "".join(self._said)


def _started(
    nursery: str, arguments: list[str], environ: Mapping[str, str], stderr: int
) -> subprocess.Popen[bytes] | Forked:
    if nursery:
        return Forked(nursery, arguments, environ, stderr)
    return subprocess.Popen([JOBD, *arguments], env=environ, stderr=stderr)


class Client:
    """What one client does, and what it was told."""

    def __init__(self, path: str, outcome: Outcome) -> None:
        self.path = path
        self._outcome = outcome
        self.keys: dict[str, str] = {}
        """The jobs that were acknowledged, by their keys."""
        self.uploads: list[str] = []
        self.bodies: dict[str, Any] = {}
        """What was sent with each key, which must not be sent with anything else."""

    def work(self) -> None:
        file_id = self.upload(b"content")
        self.submit("file", "test.echo", {"file": file_id} if file_id else {})
        self.submit("artifact", "test.artifact", {})
        self.submit("long", "test.big", {"bytes": 100_000})
        self.submit("waiting", "test.aecho", {})
        self.at_once()
        run_at = (datetime.now(UTC) + _LATER).isoformat()
        later = self.submit("later", "test.echo", {}, wait=False, run_at=run_at)
        if later:
            self.call("cancel", "POST", f"/v1/jobs/{later}/cancel")
        for key in ("artifact", "long"):
            if key in self.keys:
                self.call("read", "GET", f"/v1/jobs/{self.keys[key]}")
                self.call("result", "GET", f"/v1/jobs/{self.keys[key]}/result", plain=True)
        self.call("status", "GET", "/v1/status")

    def at_once(self) -> None:
        """Submit from several connections at a time."""
        submitting = [
            threading.Thread(target=self.submit, args=(f"at-once-{n}", "test.echo", {"n": n}))
            for n in range(4)
        ]
        for thread in submitting:
            thread.start()
        for thread in submitting:
            thread.join()

    def upload(self, content: bytes) -> str | None:
        answer = self.call("upload", "POST", "/v1/uploads", body=content.decode())
        if answer is None or answer[0] != HTTPStatus.CREATED:
            return None
        sent = f'"{content.decode()}"'.encode()
        self.uploads.append(f"file_{hashlib.sha256(sent).hexdigest()}")
        return self.uploads[-1]

    def submit(
        self, key: str, kind: str, args: Any, *, wait: bool = True, **more: Any
    ) -> str | None:
        made = {"kind": kind, "args": args, "metadata": {"key": key}, **more}
        body = self.bodies.setdefault(key, made)
        headers = {**(_WAIT if wait else {}), "Idempotency-Key": key}
        answer = self.call("submit", "POST", "/v1/jobs", headers, body)
        if answer is None or answer[0] >= HTTPStatus.BAD_REQUEST:
            return None
        before = self.keys.setdefault(key, answer[1]["job_id"])
        if before != answer[1]["job_id"]:
            self._outcome.wrong.append(f"the key {key} made two jobs")
        return before

    def call(
        self,
        name: str,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        plain: bool = False,
    ) -> Answer | None:
        """Make a call and count what came of it; None when there was no answer."""
        try:
            connection = ask(self.path, method, url, dict(headers or {}), body)
            with contextlib.closing(connection):
                if plain:
                    response = connection.getresponse()
                    response.read()
                    answer: Answer = response.status, {}
                else:
                    answer = answer_of(connection)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._outcome.answers["no answer"] += 1
            if isinstance(error, TimeoutError):
                self._outcome.wrong.append(f"{name} hangs")
            return None
        self._judge(name, answer)
        return answer

    def _judge(self, name: str, answer: Answer) -> None:
        status, document = answer
        code = document.get("code", "")
        self._outcome.answers[f"{status} {code}".strip()] += 1
        if status == HTTPStatus.CONFLICT and name in ("result", "cancel"):
            return  # a fault has failed the job, or it was cancelled before
        if status >= HTTPStatus.BAD_REQUEST and status not in _HONEST:
            self._outcome.wrong.append(f"{name} was answered {status} {code}")


def run(fault: Fault, means: Means, folder: Path) -> Outcome:
    """Try it in an empty folder."""
    outcome = Outcome(fault)
    log = folder / "fault"
    daemon = Daemon(folder, fault.environ(means, log), means.nursery)
    client = Client(daemon.socket, outcome)
    try:
        ready = daemon.wait_ready()
        _read_log(log, outcome)
        outcome.starting, outcome.made_starting = bool(outcome.fired), len(outcome.made)
        if ready:
            client.work()
    finally:
        status = daemon.stop()
    _read_log(log, outcome)
    outcome.log = daemon.said
    outcome.end = -1 if status is None else status
    outcome.wrong += _bad_end(status, daemon.said)
    if outcome.fired:
        _start_again(folder, client, outcome, means)
    elif status != 0:
        outcome.wrong.append(f"without a fault it ended with {status}")
    return outcome


def _read_log(log: Path, outcome: Outcome) -> None:
    outcome.made = []
    for line in log.read_text().splitlines() if log.exists() else ():
        what, number, about = line.split(" ", 2)
        if what == "calls":
            outcome.calls = int(number)
        elif outcome.fault.call:
            outcome.fired = about
        else:
            outcome.made.append((what, about))


def _bad_end(status: int | None, said: str) -> Iterator[str]:
    if status is None:
        yield "it could not be stopped"
    elif status not in _ENDS:
        yield f"it ended with {status}"
    elif status and "jobd: " not in said and "cannot go on" not in said:
        yield f"it ended with {status} and did not say why"


def _start_again(folder: Path, client: Client, outcome: Outcome, means: Means) -> None:
    """Start without a fault, and check what is there and that it works."""
    tell: Callable[[str], None] = outcome.wrong.append
    daemon = Daemon(folder, {}, means.nursery)
    again = Client(client.path, Outcome(outcome.fault))
    again.keys, again.bodies = client.keys, client.bodies
    try:
        if not daemon.wait_ready():
            tell("it does not start again")
            return
        for file_id in client.uploads:
            again.call("upload", "GET", f"/v1/uploads/{file_id}")
        known = {job["job_id"]: job for job in every_job(again.path)}
        for key, job_id in client.keys.items():
            if job_id not in known:
                tell(f"the job {key} was acknowledged and is gone")
        again.work()
        tell_all = [*again._outcome.wrong]  # noqa: SLF001 - its own
        outcome.wrong += [f"after a new start: {what}" for what in tell_all]
        jobs = list(every_job(again.path))
        for job in jobs:
            if not job["done"]:
                tell(f"{job['metadata']['key']} is {job['status']} after a new start")
        for key, count in Counter(job["metadata"]["key"] for job in jobs).items():
            if count > 1:
                tell(f"the key {key} made {count} jobs")
    finally:
        if daemon.stop() != 0:
            tell("after a new start it did not end well")
