"""The clients of a soak: each submits, polls, cancels, retries and deletes, and notes it.

What a client notes is a history (tests/checker/history.py). It sees every job of its own to
the end, and looks whether that is the end which the plan has.

Not here: who comes and goes without caring (passers.py), the jobs themselves (plans.py).
"""

import hashlib
import http.client
import itertools
import json
import os
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak import plans
from tests.soak.house import PATIENCE_S, House, Reply, ask, connect
from tests.soak.plans import COMPLETED, Chosen, Plan
from tests.soak.receiver import Receiver

_MAX_OPEN = 8
_RECENT_S = 10.0
"""How long after its end a job is looked at again: much shorter than it is kept."""
_CANCELLED, _FORGETFUL, _SEEN_AGAIN, _RETRIED, _DELETED = 0.1, 0.05, 0.3, 0.3, 0.2
_BUSY = (http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE)
_LONG_POLL = {"Prefer": "wait=1; until=done"}


@dataclass
class Shared:
    """What all clients of one soak have in common."""

    house: House
    receiver: Receiver
    notes: Path
    stop: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    """How often what was done, and came out."""
    wrong: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    """Jobs whose end was seen and has to be called back."""
    uploads: set[str] = field(default_factory=set)
    first: deque[Plan] = field(default_factory=lambda: deque(plans.PLANS))
    """One of each, before chance decides."""
    recent: deque[str] = field(default_factory=lambda: deque(["job_" + "0" * 32], 50))


@dataclass
class Open:
    """A job that was not seen to be over."""

    key: str
    plan: Plan
    cancelled: bool = False


class Notes:
    """A file of the history, which one client appends to."""

    def __init__(self, folder: Path, who: str) -> None:
        self._who = who
        self._numbers = itertools.count(1)
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
        self._fd = os.open(folder / f"{who}.jsonl", flags, 0o600)

    def say(self, op: str, **more: Any) -> None:
        line = {"op": op, "at": time.monotonic_ns(), "who": self._who, **more}
        os.write(self._fd, json.dumps(line).encode() + b"\n")

    def invoke(self, call: str, **about: str) -> int:
        n = next(self._numbers)
        self.say("invoke", n=n, call=call, **about)
        return n

    def close(self) -> None:
        os.close(self._fd)


class Client:
    """One client: its calls, one after the other, and the jobs it knows."""

    def __init__(self, number: int, seed: int, shared: Shared, who: str = "client") -> None:
        self._who = f"{who}-{number}"
        self._shared = shared
        self._path = shared.house.socket
        self._notes = Notes(shared.notes, self._who)
        self._random = random.Random(f"{seed}-{self._who}")  # noqa: S311 - a seed to repeat
        self._open: dict[str, Open] = {}
        self._over: deque[tuple[float, str, str]] = deque()
        """When it was seen to be over, job id and key."""
        self._uploads: dict[str, bytes] = {}

    def run(self) -> None:
        """Work until told to stop, then see every job to its end."""
        for turn in itertools.count(1):
            if self._shared.stop.is_set():
                break
            if turn % 50 == 1:
                self._upload(f"{self._who} in turn {turn}".encode())
            self._submit(f"{self._who}-{turn}")
            if self._open and self._random.random() < _CANCELLED:
                self._cancel(self._random.choice(list(self._open)))
            if self._over and self._random.random() < _SEEN_AGAIN:
                self._see_again()
            self._look(_MAX_OPEN)
        self._see_out()
        self._notes.close()

    def _see_out(self) -> None:
        """Wait until none is open, or too long."""
        deadline_s = time.monotonic() + PATIENCE_S * 2
        while self._open and time.monotonic() < deadline_s:
            self._look(1)
        for job_id, left in self._open.items():
            self._shared.wrong.append(f"{job_id} ({left.plan.name}) does not end")

    def _look(self, fewer_than: int) -> None:
        """Wait a little for the oldest jobs, until there are few enough open."""
        while len(self._open) >= fewer_than:
            for number, job_id in enumerate(list(self._open)):
                self._poll(job_id, _LONG_POLL if number == 0 else {})
            if self._shared.stop.is_set():
                return

    def _submit(self, key: str) -> None:
        try:
            plan = self._shared.first.popleft()
        except IndexError:
            plan = plans.chosen(self._random)
        self._submit_one(key, plan)

    def _submit_one(self, key: str, plan: Plan) -> None:
        file_id = self._random.choice(list(self._uploads)) if self._uploads else ""
        picked = Chosen(key, self._random, self._shared.notes, file_id)
        body = plans.submission(plan, picked, self._shared.receiver.url)
        headers = {"Idempotency-Key": f'"{key}"', "Prefer": "respond-async"}
        if self._random.random() < _FORGETFUL:
            self._forget(key, body, headers)
        while (job := self._call("submit", "POST", "/v1/jobs", body, headers, key=key)) is None:
            if self._shared.stop.wait(0.05):
                return  # it may be there: the audit at the end looks for jobs of nobody
        self._shared.counts[f"job: {plan.name}"] += 1
        self._shared.recent.append(job["job_id"])
        self._know(job, Open(key, plan))

    def _upload(self, content: bytes) -> None:
        """Send a file; repeated until it is there, it is still one."""
        file_id = f"file_{hashlib.sha256(content).hexdigest()}"
        while True:
            try:
                reply = ask(self._path, "POST", "/v1/uploads", content)
            except (OSError, http.client.HTTPException):
                self._shared.house.up.wait(PATIENCE_S)
                continue
            if reply.ok:
                break
            self._shared.stop.wait(0.05)
        if reply.document["file_id"] != file_id:
            self._shared.wrong.append(f"{content!r} was stored as {reply.document}")
        self._uploads[file_id] = content
        self._shared.uploads.add(file_id)
        self._shared.counts["upload"] += 1

    def _forget(self, key: str, body: Any, headers: Mapping[str, str]) -> None:
        """Submit and go away before it is answered."""
        n = self._notes.invoke("submit", key=key)
        try:
            connection = connect(self._path)
            connection.request(
                "POST",
                "/v1/jobs",
                json.dumps(body),
                {"Content-Type": "application/json", **headers},
            )
            connection.close()
        except OSError:
            pass
        self._notes.say("return", n=n, outcome="unknown")
        self._shared.counts["submit and go away"] += 1

    def _cancel(self, job_id: str) -> None:
        one = self._open[job_id]
        one.cancelled = True
        job = self._call("cancel", "POST", f"/v1/jobs/{job_id}/cancel", job_id=job_id, key=one.key)
        if job is not None:
            self._know(job, one)

    def _poll(self, job_id: str, headers: Mapping[str, str]) -> None:
        one = self._open[job_id]
        url = f"/v1/jobs/{job_id}"
        job = self._call("poll", "GET", url, None, headers, job_id=job_id, key=one.key)
        if job is not None:
            self._know(job, one)

    def _see_again(self) -> None:
        """Look at a job that is over, as long as it has to be there."""
        while self._over and self._over[0][0] < time.monotonic() - _RECENT_S:
            self._over.popleft()
        if self._over:
            _at, job_id, key = self._random.choice(self._over)
            self._call("poll", "GET", f"/v1/jobs/{job_id}", job_id=job_id, key=key)

    def _know(self, job: dict[str, Any], one: Open) -> None:
        job_id = job["job_id"]
        if job["status"] == "missing":
            self._open.pop(job_id, None)
        elif not job["done"]:
            self._open[job_id] = one
        else:
            self._open.pop(job_id, None)
            self._notes.say("final", job_id=job_id, key=one.key, status=job["status"])
            self._ended(job, one)

    def _ended(self, job: dict[str, Any], one: Open) -> None:
        job_id = job["job_id"]
        ended = job["error"]["code"] if job["status"] == "failed" else job["status"]
        self._shared.counts[f"end: {ended}"] += 1
        allowed = {one.plan.ends, "worker_crashed"}  # workers are killed
        if ended not in allowed and not (one.cancelled and ended == "cancelled"):
            error = job["error"] and job["error"]["message"]
            self._shared.wrong.append(f"{job_id} ({one.plan.name}) ended {ended}: {error}")
        if one.plan.told:
            self._shared.told.add(job_id)
        if ended == COMPLETED:
            self._read(job, one)
        chance = self._random.random()
        if job["status"] != COMPLETED and not one.plan.witnessed and chance < _RETRIED:
            self._retry(job_id, one)
        elif not one.plan.told and chance < _DELETED:
            self._delete(job_id, one)
        else:
            self._over.append((time.monotonic(), job_id, one.key))

    def _read(self, job: dict[str, Any], one: Open) -> None:
        """Fetch what the job left, and look whether it is that."""
        name, args = one.plan.name, job["args"]
        if name in ("upload", "async upload"):
            self._expect(job, job["result"], self._uploads[args["source"]["$file"]].decode())
        elif one.plan.kind in ("test.echo", "test.aecho"):
            self._expect(job, job["result"], args)
        elif name in ("artifacts", "result of 100 kB"):
            want = b"a,b\n" if name == "artifacts" else b"x" * 100_000
            got = self._fetch(f"{job['result_url']}")
            if got is not None:
                self._expect(job, got if name == "artifacts" else got.encode(), want)
        elif name == "logs":
            got = self._fetch(job["logs_url"])
            if got is not None:
                self._expect(job, f"{args['text']} print".encode() in got, want=True)

    def _expect(self, job: dict[str, Any], got: Any, want: Any) -> None:
        self._shared.counts["what it left was read"] += 1
        if got != want:
            self._shared.wrong.append(f"{job['job_id']} left {got!r:.200} instead of {want!r:.200}")

    def _fetch(self, url: str) -> Any:
        try:
            reply = ask(self._path, "GET", url)
        except (OSError, http.client.HTTPException):
            return None
        return reply.document if reply.ok else None

    def _retry(self, job_id: str, one: Open) -> None:
        key = f"retry of {job_id}"
        url = f"/v1/jobs/{job_id}/retry"
        job = self._call("retry", "POST", url, job_id=job_id, key=key)
        if job is not None and job["status"] != "missing":
            self._shared.counts["retried"] += 1
            self._know(job, Open(key, one.plan))

    def _delete(self, job_id: str, one: Open) -> None:
        self._call("delete", "DELETE", f"/v1/jobs/{job_id}", job_id=job_id, key=one.key)
        self._shared.counts["deleted"] += 1

    def _call(
        self,
        name: str,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **about: str,
    ) -> dict[str, Any] | None:
        """Make a call and note it; return the job, or None if there was no answer, or a no."""
        n = self._notes.invoke(name, **about)
        try:
            reply = ask(self._path, method, url, body, dict(headers or {}))
        except (OSError, http.client.HTTPException, ValueError):
            self._notes.say("return", n=n, outcome="unknown")
            self._shared.counts["call without an answer"] += 1
            self._shared.house.up.wait(PATIENCE_S)
            return None
        job = self._answer(name, reply, about)
        if job is None:
            code = reply.document["code"]
            outcome = "unknown" if code == "outcome_unknown" else "fail"
            self._notes.say("return", n=n, outcome=outcome, code=code)
            self._shared.counts[f"refused: {code}"] += 1
            return None
        shown = {"job_id": job["job_id"], "key": about["key"], "status": job["status"]}
        self._notes.say("return", n=n, outcome="ok", **shown)
        return job

    def _answer(self, name: str, reply: Reply, about: Mapping[str, str]) -> dict[str, Any] | None:
        """Return the job of an answer, `missing` if there is none; None if it was refused."""
        if name == "delete" and reply.ok:
            return {"job_id": about["job_id"], "status": "missing"}
        if reply.ok:
            job: dict[str, Any] = reply.document
            return job
        if reply.status == http.HTTPStatus.NOT_FOUND and name != "submit":
            return {"job_id": about["job_id"], "status": "missing"}
        late = reply.status == http.HTTPStatus.CONFLICT and name != "submit"
        if reply.status not in _BUSY and not late:
            self._shared.wrong.append(f"{name} {dict(about)} was answered {reply}")
        return None
