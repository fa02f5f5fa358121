"""Which worker runs a claim, what all of them run, and how they stop.

A claim that finds no free slot was not started; there is no queue here. But short jobs may be
at hand behind others in a cpu worker (`ahead`), when none of them is idle. A claim that runs
apart (apart.py) takes its slot like any other, and then waits for a worker that suits it: an
idle cpu worker is replaced by a fresh one, and for the io lane one more is started.

Not here: how many workers there are (crew.py), one worker and the end of an attempt
(worker.py), what to claim (the engine).
"""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from jobd.domain.ahead import NOTHING, Ahead, stands_alone
from jobd.domain.catalog import Lane
from jobd.domain.jobs import Claim
from jobd.domain.outcomes import (
    CancelledByRequest,
    Completed,
    Failed,
    NotStarted,
    Outcome,
    Snoozed,
)
from jobd.pool import linux, memory
from jobd.pool.apart import FRESH, Apart, Room
from jobd.pool.attempt import Attempt
from jobd.pool.briefing import Place
from jobd.pool.cgroup import Cgroups
from jobd.pool.crew import Crew
from jobd.pool.paces import Paces
from jobd.pool.rounds import Rounds
from jobd.pool.settings import AttemptLimits, Listener, Settings
from jobd.pool.worker import State, Worker

__all__ = ["AttemptLimits", "Listener", "Settings", "Supervisor", "WorkerInfo"]

_MEMORY_EVERY_S = 0.25
_LOOPS_EVERY_S = 1.0
_REFILL_FROM = 0.5
"""A worker takes more ahead when so much of its room is free."""

_NO_LIMITS = AttemptLimits()


class WorkerInfo(msgspec.Struct, frozen=True):
    """One worker at this moment."""

    worker_id: int
    """Never used again, also not by the worker that replaces it."""
    lane: Lane
    pid: int
    state: State
    jobs_done: int
    tokens: tuple[str, ...]
    job_ids: tuple[str, ...]
    """What it runs, and what waits in it; as many as tokens, in the same order."""
    started_at_ms: int
    rss_bytes: int | None
    """Memory that it has in use; None when it has just died."""


class Supervisor:
    """All workers of the daemon. Built and used on the main thread's event loop."""

    def __init__(
        self,
        settings: Settings,
        *,
        scratch: Path,
        artifacts: Path,
        uploads: Path,
        listener: Listener,
        workers_lock_fd: int,
        limits_of: Callable[[str], AttemptLimits] = lambda _kind: _NO_LIMITS,
    ) -> None:
        """Start nothing yet; `limits_of` is asked for every claim, by its kind."""
        self._limits_of = limits_of
        self._place = Place(scratch, artifacts, uploads, workers_lock_fd)
        self._listener = listener
        self._apart = Apart(changed=self._announce)
        self._crew = Crew(
            settings,
            self._place,
            listener=listener,
            freed=self._announce,
            needed=self._apart.needs,
            lost=self._lost,
        )
        self._running: dict[str, tuple[Worker, Attempt]] = {}
        self._paces = Paces()
        self._memory_rounds = Rounds(_MEMORY_EVERY_S, self._look_at_memory)
        self._loop_rounds = Rounds(_LOOPS_EVERY_S, self._look_at_loops)
        self._sweeps: set[asyncio.Task[None]] = set()
        self._draining = False
        self._announced = False

    async def start(self) -> None:
        """Begin to start the workers; `slots_free` tells when they are ready."""
        linux.become_subreaper()
        self._place.cgroups = Cgroups.delegated()
        self._crew.start()

    def free(self) -> dict[Lane, int]:
        """Return how many claims of each lane could be handed over now."""
        slots: dict[Lane, int] = {"cpu": 0, "io": 0}
        if not self._draining:
            for worker in self._crew.workers.values():
                if worker.state == "retiring":  # another has its place, and not all of its slots
                    slots[worker.lane] -= len(worker.attempts)
                elif worker.room is None:
                    slots[worker.lane] += worker.free
            slots["io"] = max(0, slots["io"] - self._apart.count("io"))
        return slots

    def ahead(self) -> Ahead:
        """Return what the cpu lane takes beyond its free slots, and of which kinds."""
        if self._draining or not self._paces.shares:
            return NOTHING
        # not for each that ends: a few at a time cost less
        takers = [w for w in self._crew.workers.values() if w.room_ahead >= _REFILL_FROM]
        shares = {
            kind: share
            for kind, share in self._paces.shares.items()
            if all(worker.line.knows(kind) for worker in takers)
        }
        return Ahead(sum(worker.room_ahead for worker in takers), shares)

    def begin(self, claim: Claim) -> asyncio.Future[Outcome]:
        """Run a claim; the future has how its attempt ended, NotStarted if there was no room.

        If its process had to die, it ends when the whole tree is gone. Not to be cancelled.
        """
        room = self._apart.room_of(claim)
        attempt: Attempt | None = None
        if not self._draining and room is None:
            limits = self._limits_of(claim.kind)
            share = self._share_of(claim, limits)
            worker = self._idlest(claim.lane) or self._taker(claim, share)
            attempt = self._start(worker, claim, limits, share)
        elif room is not None and self.free()[claim.lane] > 0:
            attempt = self._begin_apart(room, claim)
            if attempt is None:
                return self._wait_apart(room, claim)
        if attempt is not None:
            return attempt.outcome
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        outcome.set_result(NotStarted())
        return outcome

    async def run(self, claim: Claim) -> Outcome:
        """Run a claim and return how its attempt ended, as `begin` does.

        A caller that is cancelled leaves the attempt running.
        """
        return await asyncio.shield(self.begin(claim))

    def cancel(self, token: str) -> bool:
        """Begin to end an attempt; False if it has ended, as one that no worker has begun."""
        if self._apart.dismiss(token, CancelledByRequest()):
            return False
        worker, attempt = self._running.get(token, (None, None))
        if worker is None or attempt is None:
            return False
        worker.end(attempt, "cancel")
        return not attempt.outcome.done()

    def recall(self, token: str) -> bool:
        """Take a claim back that no worker has begun; False if one has."""
        if self._apart.dismiss(token, NotStarted()):
            return True
        worker, attempt = self._running.get(token, (None, None))
        return worker is not None and attempt is not None and worker.line.recall(attempt)

    def renew(self) -> None:
        """Have all that starts from now on run in new workers; what runs ends where it is."""
        self._crew.renew()

    async def drain(self, timeout_s: float) -> None:
        """Take no more, wait for what runs, and end what still runs after `timeout_s`.

        May be called again meanwhile, with a shorter time.
        """
        self._draining = True
        self._apart.dismiss_all()
        for worker in self._crew.workers.values():
            worker.line.shed()
        if running := self._outcomes():
            await asyncio.wait(running, timeout=timeout_s)
        for worker, attempt in list(self._running.values()):
            worker.end(attempt, "drain")
        if running := self._outcomes():
            await asyncio.wait(running)

    async def close(self) -> None:
        """End every worker, with what it runs; returns when no process of ours is left."""
        self._draining = True
        self._apart.dismiss_all()
        await self._crew.close()
        self._memory_rounds.stop()
        self._loop_rounds.stop()
        await asyncio.gather(*self._sweeps)

    def workers(self) -> list[WorkerInfo]:
        """Return the workers as they are now."""
        return [
            WorkerInfo(
                worker.worker_id,
                worker.lane,
                worker.pid,
                worker.state,
                worker.jobs_done,
                tuple(attempt.claim.token for attempt in worker.attempts),
                tuple(attempt.claim.job_id for attempt in worker.attempts),
                worker.started_at_ms,
                memory.rss_bytes(worker.pid),
            )
            for worker in self._crew.workers.values()
        ]

    def _start(
        self, worker: Worker | None, claim: Claim, limits: AttemptLimits, share: float | None
    ) -> Attempt | None:
        if worker is None:
            return None
        attempt = worker.start(claim, limits, share)
        self._running[claim.token] = (worker, attempt)
        attempt.over, attempt.passed_on = self._over, self._pass_on
        if attempt.outcome.done():  # it could not be handed over
            self._over(attempt)
        if worker.lane == "io":
            self._loop_rounds.begin()
        elif limits.memory_bytes is not None:
            self._memory_rounds.begin()
        return attempt

    def _taker(self, claim: Claim, share: float | None) -> Worker | None:
        """Return the worker that a short job may wait in, if there is one."""
        if claim.lane == "io":
            return None
        if share is not None:
            taker, most = None, 0.0
            for worker in self._crew.workers.values():
                if (room := worker.room_ahead) > most and worker.line.knows(claim.kind):
                    taker, most = worker, room
            if taker is not None:
                return taker
        self._paces.forget(claim.kind)  # so that it is not claimed ahead again and again
        return None

    def _share_of(self, claim: Claim, limits: AttemptLimits) -> float | None:
        if claim.limited or _is_watched(limits) or stands_alone(claim):
            return None
        return self._paces.shares.get(claim.kind)

    def _begin_apart(self, room: Room, claim: Claim) -> Attempt | None:
        """Begin a claim that runs apart, if there is a worker for it."""
        for worker in self._crew.workers.values():
            fresh = room == FRESH and worker.lane == "cpu" and worker.fresh
            if (fresh or worker.room == room) and worker.free:
                return self._start(worker, claim, self._limits_of(claim.kind), None)
        return None

    def _wait_apart(self, room: Room, claim: Claim) -> asyncio.Future[Outcome]:
        """Have a claim wait, and see to it that a worker for it will come."""
        begun = self._apart.wait(room, claim)
        if room != FRESH:
            self._crew.open(room)
        elif used := self._idlest("cpu"):
            self._crew.replace(used)
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        begun.add_done_callback(lambda _: _follow(begun.result(), outcome))
        return outcome

    def _idlest(self, lane: Lane) -> Worker | None:
        idlest, most = None, 0
        for worker in self._crew.workers.values():  # no generator: this is done for every claim
            if worker.lane == lane and worker.room is None and (free := worker.free) > most:
                idlest, most = worker, free
        return idlest

    def _pass_on(self, attempt: Attempt) -> bool:
        """Hand one that was taken back to an idle worker of its lane; False if there is none.

        It goes past the queue: what waits there and could have that worker is on its way.
        """
        worker = None if self._draining else self._idlest(attempt.claim.lane)
        if worker is None:
            return False
        again = self._start(worker, attempt.claim, attempt.limits, attempt.share)
        if again is not None:
            _follow(again, attempt.outcome)
        return again is not None

    def _look_at_memory(self) -> bool:
        looked = [worker.looks.at_memory() for worker in self._crew.workers.values()]
        return any(looked)

    def _look_at_loops(self) -> bool:
        looked = [worker.looks.at_loop() for worker in self._crew.workers.values()]
        return any(looked)

    def _lost(self, worker: Worker) -> None:
        if worker.lane == "io" and worker.lost_to is not None and not self._draining:
            self._apart.keep(worker.lost_to)

    def _outcomes(self) -> list[asyncio.Future[Outcome]]:
        return [attempt.outcome for _, attempt in self._running.values()]

    def _announce(self) -> None:
        """Use free slots for those who wait, and tell of the others, in the loop's next turn.

        By then the outcome that freed the slot is on its way to the writer, which can
        settle it and claim the next job in one transaction.
        """
        if self._draining:
            return
        if self._apart:
            self._apart.serve(self._begin_apart)
        for worker in self._crew.workers.values():
            goes = worker.due or worker.room is not None  # most never do
            if goes and worker.state == "ready" and self._has_served(worker):
                self._crew.replace(worker)
        if not self._announced:
            self._announced = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _has_served(self, worker: Worker) -> bool:
        """Whether a worker can go now: between jobs, or as soon as it has none (io)."""
        if worker.room is not None:
            return worker.idle and not self._apart.needs(worker.room)
        if not worker.due or (worker.lane == "cpu" and not worker.idle):
            return False
        return self._crew.can_replace(worker)

    def _tell(self) -> None:
        self._announced = False
        self._listener.slots_free()

    def _over(self, attempt: Attempt) -> None:
        claim, outcome = attempt.claim, attempt.outcome.result()
        del self._running[claim.token]
        if isinstance(outcome, Completed | Failed | Snoozed) and not _is_watched(attempt.limits):
            # one that could not be handed over has none
            self._paces.ran(claim.kind, outcome.evidence.get("duration_s", 0.0))
        if not attempt.scratch:  # as it is with most: no system call for them
            return
        scratch = self._place.scratch / claim.token
        if os.path.lexists(scratch):
            sweep = asyncio.get_running_loop().create_task(
                asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
            )
            self._sweeps.add(sweep)
            sweep.add_done_callback(self._sweeps.discard)


def _is_watched(limits: AttemptLimits) -> bool:
    """Whether more is looked at while an attempt runs than its time."""
    return limits.memory_bytes is not None or limits.heartbeat_timeout_s is not None


def _follow(begun: Attempt | Outcome, outcome: asyncio.Future[Outcome]) -> None:
    """Give an outcome that of an attempt which has begun late, elsewhere, or not at all."""
    if isinstance(begun, Attempt):
        begun.outcome.add_done_callback(lambda ended: outcome.set_result(ended.result()))
    else:
        outcome.set_result(begun)
