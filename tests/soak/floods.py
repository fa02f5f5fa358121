"""Floods of short jobs, and what is done to those that workers have at hand.

A flood waits behind a paused queue until it is all there. Once the queue is resumed, workers
get the jobs ahead of time, and then a worker is killed, the queue is paused again, jobs are
cancelled, or one of the jobs takes its worker with it. Whoever waited behind it has to run
elsewhere, once, and not be charged.

Not here: jobs that are long enough to be alone (plans.py), other harm (nemesis.py).
"""

import contextlib
import http.client
import itertools
import os
import signal
import time
from collections import deque
from typing import Any

from tests.soak.crowd import Client, Shared
from tests.soak.house import FLOOD, NARROW, PATIENCE_S, ask
from tests.soak.passers import FILLER_QUEUE
from tests.soak.plans import BRIEF, DEADLY

AT_HAND = "flood: a worker had jobs at hand"
_SIZE = 100
_LOOK_S = 2.0
"""How long to look for a worker with jobs at hand: it may have a longer one to end first."""
_OTHERS = ("default", NARROW, FILLER_QUEUE)
_CHARGED = "worker_crashed"


class Flooder(Client):
    """Makes a flood, does something to it, and sees each of its jobs to the end."""

    def __init__(self, seed: int, shared: Shared, every_s: float) -> None:
        super().__init__(0, seed, shared, who="flooder")
        self._every_s = every_s
        self._deeds = {
            "kill a worker": self._kill,
            "pause it": self._pause,
            "cancel some": self._cancel_some,
        }

    @property
    def deeds(self) -> list[str]:
        """What is done, as it is counted."""
        return [f"flood: {name}" for name in self._deeds]

    def run(self) -> None:
        """Flood until told to stop."""
        left: deque[str] = deque()
        for turn in itertools.count(1):
            if self._shared.stop.wait(self._every_s):
                break
            left = left or deque(self._random.sample(list(self._deeds), len(self._deeds)))
            self._flood(turn, left)
        self._notes.close()

    def _flood(self, turn: int, deeds: deque[str]) -> None:
        """Make one, and do to it what comes next, as long as it lasts."""
        kills = self._kills
        if not self._set("pause"):
            return
        dies = self._random.randrange(_SIZE)
        for number in range(_SIZE):
            plan = DEADLY if number == dies else BRIEF
            self._submit_one(f"{self._who}-{turn}-{number}", plan)
        jobs = list(self._open)
        if self._make_way() and self._set("resume"):
            while deeds and (worker := self._at_hand()):
                self._shared.counts[f"flood: {deeds[0]}"] += 1
                self._deeds[deeds.popleft()](worker)
        self._give_way()
        self._see_out()
        self._judge(jobs, 2 + self._kills - kills)

    @property
    def _kills(self) -> int:
        """How many workers were killed so far; one more may have been, and is counted soon."""
        counts = self._shared.counts
        return counts["flood: kill a worker"] + counts["fault: kill a worker"]

    def _make_way(self) -> bool:
        """Pause the other queues: behind a job of theirs that waits nothing is claimed ahead."""
        return all(self._set("pause", name) for name in _OTHERS)

    def _give_way(self) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        for name in (FLOOD, *_OTHERS):
            while not self._set("resume", name) and time.monotonic() < deadline_s:
                self._shared.stop.wait(0.05)

    def _set(self, verb: str, name: str = FLOOD) -> bool:
        try:
            return ask(self._path, "POST", f"/v1/queues/{name}/{verb}").ok
        except (OSError, http.client.HTTPException):
            self._shared.house.up.wait(PATIENCE_S)
            return False

    def _at_hand(self) -> dict[str, Any] | None:
        """Return a worker that has jobs behind the one it runs; None if there was none."""
        deadline_s = time.monotonic() + _LOOK_S
        while time.monotonic() < deadline_s:
            try:
                workers = ask(self._path, "GET", "/v1/workers").document["workers"]
            except (OSError, http.client.HTTPException, ValueError):
                return None
            mine = [one for one in workers if one["lane"] == "cpu" and len(one["job_ids"]) > 1]
            if mine:
                self._shared.counts[AT_HAND] += 1
                worker: dict[str, Any] = max(mine, key=lambda one: len(one["job_ids"]))
                return worker
        return None

    def _kill(self, worker: dict[str, Any]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker["pid"], signal.SIGKILL)

    def _pause(self, _worker: dict[str, Any]) -> None:
        """Have it take back what is at hand, and let it go on."""
        self._set("pause")
        self._set("resume")

    def _cancel_some(self, worker: dict[str, Any]) -> None:
        for job_id in worker["job_ids"]:
            if job_id in self._open:
                self._cancel(job_id)

    def _judge(self, jobs: list[str], most: int) -> None:
        """Look whether each worker's death was charged to no more than one job."""
        charged = 0
        for job_id in jobs:
            with contextlib.suppress(OSError, http.client.HTTPException):
                reply = ask(self._path, "GET", f"/v1/jobs/{job_id}/attempts")
                attempts = reply.document["attempts"] if reply.ok else []
                charged += sum(one["charged"] and one["outcome"] == _CHARGED for one in attempts)
        self._shared.counts["flood: crashes charged"] += charged
        if charged > most:
            self._shared.wrong.append(f"{charged} crashes were charged to a flood; at most {most}")
