"""How many workers there are, and which of them runs a claim.

Each place of a lane is kept filled: when its worker is gone another is started, at once,
or after a growing wait while workers die before they are ready. A claim that finds no
free slot was not started; there is no queue here.

Not here: one worker and the end of an attempt (worker.py), what to claim (the engine).
"""

import asyncio
import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.jobs import Claim
from jobd.domain.outcomes import NotStarted, Outcome
from jobd.pool import linux
from jobd.pool.settings import Listener, Settings
from jobd.pool.worker import Place, State, Worker

if TYPE_CHECKING:
    from jobd.pool.attempt import Attempt

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


class Supervisor:
    """All workers of the daemon. Built and used on the main thread's event loop."""

    def __init__(
        self,
        settings: Settings,
        *,
        scratch: Path,
        artifacts: Path,
        listener: Listener,
        workers_lock_fd: int,
    ) -> None:
        self._settings = settings
        self._place = Place(scratch, artifacts, workers_lock_fd)
        self._listener = listener
        self._workers: dict[int, Worker] = {}
        self._running: dict[str, tuple[Worker, Attempt]] = {}
        self._started = 0
        self._keepers: list[asyncio.Task[None]] = []
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
            keeper = asyncio.get_running_loop().create_task(self._keep(lane))
            keeper.add_done_callback(_log_failure)
            self._keepers.append(keeper)

    def free(self) -> dict[Lane, int]:
        """Return how many claims of each lane could be handed over now."""
        slots: dict[Lane, int] = {"cpu": 0, "io": 0}
        if not self._draining:
            for worker in self._workers.values():
                slots[worker.lane] += worker.free
        return slots

    async def run(self, claim: Claim) -> Outcome:
        """Run a claim and return how its attempt ended; NotStarted if no slot was free.

        If its process had to die, this returns when the whole tree is gone. A caller that is
        cancelled leaves the attempt running.
        """
        worker = None if self._draining else self._idlest(claim.lane)
        if worker is None:
            return NotStarted()
        attempt = worker.start(claim)
        self._running[claim.token] = (worker, attempt)
        attempt.outcome.add_done_callback(lambda _: self._over(claim))
        return await asyncio.shield(attempt.outcome)

    def cancel(self, token: str) -> bool:
        """Begin to end an attempt; False if it is not running here (any more)."""
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
        if running := self._outcomes():
            await asyncio.wait(running, timeout=timeout_s)
        for worker, attempt in list(self._running.values()):
            worker.end(attempt, "drain")
        if running := self._outcomes():
            await asyncio.wait(running)

    async def close(self) -> None:
        """End every worker, with what it runs; returns when no process of ours is left."""
        self._draining = True
        self._closing.set()
        for worker in self._workers.values():
            worker.stop()
        await asyncio.gather(*self._keepers, return_exceptions=True)
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
            )
            for worker in self._workers.values()
        ]

    async def _keep(self, lane: Lane) -> None:
        """Keep one place of a lane filled until the pool is closed."""
        died_early = 0
        while not self._closing.is_set():
            died_early = 0 if await self._one_life(lane) else died_early + 1
            wait_s = _EARLY_DEATH_WAITS_S[min(died_early, len(_EARLY_DEATH_WAITS_S) - 1)]
            if wait_s and not self._closing.is_set():
                _LOG.error("Workers die before they are ready. lane=%s wait_s=%g", lane, wait_s)
                waiting = asyncio.ensure_future(self._closing.wait())
                await asyncio.wait([waiting], timeout=wait_s)
                waiting.cancel()

    async def _one_life(self, lane: Lane) -> bool:
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
        able = (w for w in self._workers.values() if w.lane == lane and w.free)
        return max(able, key=lambda worker: worker.free, default=None)

    def _outcomes(self) -> list[asyncio.Future[Outcome]]:
        return [attempt.outcome for _, attempt in self._running.values()]

    def _announce(self) -> None:
        """Tell of free slots, in the loop's next turn.

        By then the outcome that freed the slot is on its way to the writer, which can
        settle it and claim the next job in one transaction.
        """
        if not self._announced and not self._draining:
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


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (failure := task.exception()):
        _LOG.critical("A place of the pool is given up.", exc_info=failure)
