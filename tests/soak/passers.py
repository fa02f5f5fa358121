"""Those who come and go: streams and long polls that break off, submitters who never look back.

Not here: clients whose jobs are followed to the end (crowd.py).
"""

import http.client
import random

from tests.soak.crowd import Shared
from tests.soak.house import PATIENCE_S, ask, connect
from tests.soak.plans import Plan

_PAUSE_S = 0.02
_FILLERS = (Plan("filler", "test.echo", 3), Plan("filler", "test.aecho", 1))
FILLER_QUEUE = "filler"
_BROKEN = (OSError, http.client.HTTPException, ValueError)


class Passer:
    """What all of them have: a seed of their own, and the will to go on after an outage."""

    def __init__(self, number: int, seed: int, shared: Shared) -> None:
        self._shared = shared
        self._path = shared.house.socket
        self._random = random.Random(f"{seed}-{type(self).__name__}-{number}")  # noqa: S311

    def run(self) -> None:
        while not self._shared.stop.wait(_PAUSE_S):
            try:
                self.come()
            except _BROKEN:
                self._shared.counts["passer cut off"] += 1
                self._shared.house.up.wait(PATIENCE_S)

    def come(self) -> None:
        """Do what it does, once."""
        raise NotImplementedError


class Filler(Passer):
    """Submits jobs that nobody waits for: what retention has to do with."""

    def come(self) -> None:
        plan = self._random.choices(_FILLERS, [one.share for one in _FILLERS])[0]
        body = {"kind": plan.kind, "args": {"text": "x" * 200}, "queue": FILLER_QUEUE}
        reply = ask(self._path, "POST", "/v1/jobs", body, {"Prefer": "respond-async"})
        self._shared.counts["job: filler" if reply.ok else "refused filler"] += 1


class Watcher(Passer):
    """Opens a stream of events, reads some of it, and drops it."""

    def come(self) -> None:
        of_one = self._random.random() < 0.5
        job_id = self._random.choice(list(self._shared.recent))
        url = f"/v1/jobs/{job_id}/events" if of_one else "/v1/events"
        connection = connect(self._path, patience_s=0.5)
        try:
            connection.request("GET", url, headers={"Accept": "text/event-stream"})
            response = connection.getresponse()
            if response.status == http.HTTPStatus.OK:
                self._shared.counts["stream"] += 1
                self._read(response, self._random.randrange(1, 200))
        except TimeoutError:
            pass  # nothing happens to it: no reason to stay
        finally:
            connection.close()

    def _read(self, stream: http.client.HTTPResponse, lines: int) -> None:
        last = ""
        for _ in range(lines):
            line = stream.readline()
            if not line:
                return
            if not line.startswith(b"id:"):
                continue
            event_id = line[3:].strip().decode()
            if (len(event_id), event_id) <= (len(last), last):
                self._shared.wrong.append(f"a stream gave event {event_id} after {last}")
            last = event_id
            self._shared.counts["event"] += 1


class Lurker(Passer):
    """Asks to wait for a job, or for its log, and goes away before anything comes."""

    def come(self) -> None:
        job_id = self._random.choice(list(self._shared.recent))
        log = self._random.random() < 0.3
        url = f"/v1/jobs/{job_id}/logs?follow=1" if log else f"/v1/jobs/{job_id}"
        connection = connect(self._path)
        connection.request("GET", url, headers={"Prefer": "wait=20; until=done"})
        self._shared.stop.wait(self._random.uniform(0, 0.2))
        connection.close()
        self._shared.counts["long poll that went away"] += 1
