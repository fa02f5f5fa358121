"""How many workers there are, and which of them runs a claim.

Each place of a lane is kept filled: when its worker is gone another is started, at once,
or after a growing wait while workers die before they are ready. A claim that finds no
free slot was not started; there is no queue here. A claim that runs apart (apart.py) takes
its slot like any other, and then waits for a worker of its own kind: an idle cpu worker is
replaced by a fresh one, and for the io lane one more is started while it is needed.

Not here: one worker and the end of an attempt (worker.py), what to claim (the engine).
"""

import asyncio
import logging
import os
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.jobs import Claim
from jobd.domain.outcomes import CancelledByRequest, NotStarted, Outcome
from jobd.pool import linux
from jobd.pool.apart import Apart, runs_apart
from jobd.pool.attempt import Attempt
from jobd.pool.settings import Listener, Settings
from jobd.pool.worker import Place, State, Worker

__all__ = ["Listener", "Settings", "Supervisor", "WorkerInfo"]

_EARLY_DEATH_WAITS_S = (0.0, 0.0, 1.0, 5.0, 30.0)
"""By how many workers in a row died before they were ready."""

_LOG = logging.getLogger(__name__)


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
    """What it runs; as many as tokens, in the same order."""
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
    ) -> None:
        self._settings = settings
        self._place = Place(scratch, artifacts, uploads, workers_lock_fd)
        self._listener = listener
        self._workers: dict[int, Worker] = {}
        self._running: dict[str, tuple[Worker, Attempt]] = {}
        self._started = 0
        self._apart = Apart()
        self._keepers: list[asyncio.Task[None]] = []
        self._extra: asyncio.Task[None] | None = None
        """Keeps an io worker for claims that run alone, as long as there are any."""
        self._sweeps: set[asyncio.Task[None]] = set()
        self._draining = False
        self._closing = asyncio.Event()
        self._announced = False

    async def start(self) -> None:
        """Begin to start the workers; `slots_free` tells when they are ready."""
        linux.become_subreaper()
        lanes: list[Lane] = ["cpu"] * self._settings.cpu_workers
        lanes += ["io"] * self._settings.io_workers
        for lane in lanes:
            self._keepers.append(_watched(self._keep(lane)))

    def free(self) -> dict[Lane, int]:
        """Return how many claims of each lane could be handed over now."""
        slots: dict[Lane, int] = {"cpu": 0, "io": 0}
        if not self._draining:
            for worker in self._workers.values():
                slots[worker.lane] += 0 if worker.alone else worker.free
            slots["io"] = max(0, slots["io"] - self._apart.count("io"))
        return slots

    async def run(self, claim: Claim) -> Outcome:
        """Run a claim and return how its attempt ended; NotStarted if no slot was free.

        If its process had to die, this returns when the whole tree is gone. A caller that is
        cancelled leaves the attempt running.
        """
        if self.free()[claim.lane] == 0:
            return NotStarted()
        begun: Attempt | Outcome | None
        if runs_apart(claim):
            begun = self._begin_apart(claim)
            if begun is None:
                begun = await asyncio.shield(self._wait_apart(claim))
        else:
            begun = self._begin(self._idlest(claim.lane), claim)
        if isinstance(begun, Attempt):
            return await asyncio.shield(begun.outcome)
        return begun or NotStarted()

    def cancel(self, token: str) -> bool:
        """Begin to end an attempt; False if it is not running here (any more)."""
        if self._apart.dismiss(token, CancelledByRequest()):
            return True
        worker, attempt = self._running.get(token, (None, None))
        if worker is None or attempt is None:
            return False
        worker.end(attempt, "cancel")
        return True

    async def drain(self, timeout_s: float) -> None:
        """Take no more, wait for what runs, and end what still runs after `timeout_s`.

        May be called again meanwhile, with a shorter time.
        """
        self._draining = True
        self._apart.dismiss_all()
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
        self._closing.set()
        for worker in self._workers.values():
            worker.stop()
        keepers = [*self._keepers, self._extra] if self._extra else self._keepers
        await asyncio.gather(*keepers, return_exceptions=True)
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
                _rss_bytes(worker.pid),
            )
            for worker in self._workers.values()
        ]

    def _begin(self, worker: Worker | None, claim: Claim) -> Attempt | None:
        if worker is None:
            return None
        attempt = worker.start(claim)
        self._running[claim.token] = (worker, attempt)
        attempt.outcome.add_done_callback(lambda _: self._over(claim))
        return attempt

    def _begin_apart(self, claim: Claim) -> Attempt | None:
        """Begin a claim that runs apart, if there is a worker for it."""
        for worker in self._workers.values():
            suits = worker.fresh if claim.lane == "cpu" else worker.alone
            if worker.lane == claim.lane and suits and worker.free:
                return self._begin(worker, claim)
        return None

    def _wait_apart(self, claim: Claim) -> asyncio.Future[Attempt | Outcome]:
        """Have a claim wait, and see to it that a worker for it will come."""
        begun = self._apart.wait(claim)
        if claim.lane == "cpu":
            if used := self._idlest("cpu"):
                used.stop()
        elif self._extra is None or self._extra.done():
            self._extra = _watched(self._keep("io", alone=True))
        return begun

    async def _keep(self, lane: Lane, *, alone: bool = False) -> None:
        """Keep one place of a lane filled until the pool is closed; `alone`: while it is needed."""
        died_early = 0
        while not self._closing.is_set() and (self._apart.count("io") or not alone):
            died_early = 0 if await self._one_life(lane, alone=alone) else died_early + 1
            wait_s = _EARLY_DEATH_WAITS_S[min(died_early, len(_EARLY_DEATH_WAITS_S) - 1)]
            if wait_s and not self._closing.is_set():
                _LOG.error("Workers die before they are ready. lane=%s wait_s=%g", lane, wait_s)
                waiting = asyncio.ensure_future(self._closing.wait())
                await asyncio.wait([waiting], timeout=wait_s)
                waiting.cancel()

    async def _one_life(self, lane: Lane, *, alone: bool) -> bool:
        """Start a worker and see it to its end; True if it was ever ready."""
        self._started += 1
        worker_id = self._started
        try:
            worker = Worker(
                worker_id,
                lane,
                self._settings,
                self._place,
                listener=self._listener,
                freed=self._announce,
                alone=alone,
            )
        except OSError as exc:
            _LOG.error("A worker cannot be started: %s. lane=%s", exc, lane)
            return False
        self._workers[worker_id] = worker
        try:
            await worker.gone()
        finally:
            del self._workers[worker_id]
        return worker.was_ready

    def _idlest(self, lane: Lane) -> Worker | None:
        able = (w for w in self._workers.values() if w.lane == lane and w.free and not w.alone)
        return max(able, key=lambda worker: worker.free, default=None)

    def _outcomes(self) -> list[asyncio.Future[Outcome]]:
        return [attempt.outcome for _, attempt in self._running.values()]

    def _announce(self) -> None:
        """Use free slots for those who wait, and tell of the others, in the loop's next turn.

        By then the outcome that freed the slot is on its way to the writer, which can
        settle it and claim the next job in one transaction.
        """
        if self._draining:
            return
        self._apart.serve(self._begin_apart)
        for worker in self._workers.values():
            if worker.alone and worker.free:  # nobody waited for it
                worker.stop()
        if not self._announced:
            self._announced = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._announced = False
        self._listener.slots_free()

    def _over(self, claim: Claim) -> None:
        del self._running[claim.token]
        scratch = self._place.scratch / claim.token
        if os.path.lexists(scratch):
            sweep = asyncio.get_running_loop().create_task(
                asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
            )
            self._sweeps.add(sweep)
            sweep.add_done_callback(self._sweeps.discard)


def _watched(keeping: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    keeper = asyncio.get_running_loop().create_task(keeping)
    keeper.add_done_callback(_log_failure)
    return keeper


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (failure := task.exception()):
        _LOG.critical("A place of the pool is given up.", exc_info=failure)


def _rss_bytes(pid: int) -> int | None:
    try:
        pages = int(Path("/proc", str(pid), "statm").read_bytes().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
