"""The pool's workers over their lives: every place of a lane is kept filled.

When the worker of a place is gone, or retires, another takes its place: the spare, which is
ready and has run nothing, else a new one; at once, or after a growing wait while workers die
before they are ready. A spare that was taken is replaced. Workers that are open to one sort
of claims alone come besides, for as long as they are needed.

Not here: one worker (worker.py), which claim it gets (supervisor.py).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from jobd.domain.catalog import Lane
from jobd.pool.apart import Room
from jobd.pool.briefing import Place
from jobd.pool.settings import Listener, Settings
from jobd.pool.worker import Worker

_EARLY_DEATH_WAITS_S = (0.0, 0.0, 1.0, 5.0, 30.0)
"""By how many workers in a row died before they were ready."""

_LOG = logging.getLogger(__name__)


class Crew:
    """All workers there are, those that leave too."""

    def __init__(
        self,
        settings: Settings,
        place: Place,
        *,
        listener: Listener,
        freed: Callable[[], None],
        needed: Callable[[Room], bool],
        lost: Callable[[Worker], None],
    ) -> None:
        """Begin with nobody.

        `freed` is called when a slot became free, `needed` says whether a worker for one
        sort of claims is to stay, `lost` is called when a worker is gone.
        """
        self.workers: dict[int, Worker] = {}
        self._settings, self._place, self._listener = settings, place, listener
        self._freed, self._needed, self._lost = freed, needed, lost
        self._started = 0
        self._spare: Worker | None = None
        self._posts: dict[int, asyncio.Event] = {}
        """By worker: set when its place is to be filled by another."""
        self._lives: set[asyncio.Task[None]] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._rooms: dict[Room, asyncio.Task[None]] = {}
        self._closing = asyncio.Event()
        self._complete = asyncio.Event()

    def start(self) -> None:
        """Begin to start the workers."""
        lanes: list[Lane] = ["cpu"] * self._settings.cpu_workers
        lanes += ["io"] * self._settings.io_workers
        self._keepers = [_watched(self._keep(lane)) for lane in lanes]
        if self._settings.spare and self._settings.cpu_workers:
            self._keepers.append(_watched(self._keep_spare()))

    def can_replace(self, worker: Worker) -> bool:
        """Whether a worker that is due can go without its place being empty for long."""
        if worker.lane == "io" or worker.unfit or not self._settings.spare:
            return True
        return self._spare is not None and self._spare.state == "spare"

    def replace(self, worker: Worker) -> None:
        """Have a worker take no more jobs, and another its place at once."""
        worker.retire()
        self._leave_post(worker)

    def renew(self) -> None:
        """Replace every worker that there is; one that is starting, once it has started."""
        # the spare before those whose place it would take
        for worker in sorted(self.workers.values(), key=lambda worker: worker.state != "spare"):
            if worker.state == "starting":
                worker.unfit = True
            elif worker.state in ("ready", "spare"):
                worker.line.shed()
                self.replace(worker)

    def open(self, room: Room) -> None:
        """See to it that there is a worker for a sort of claims while it is needed."""
        keeper = self._rooms.get(room)
        if keeper is None or keeper.done():
            self._rooms[room] = _watched(self._keep(room.lane, room))

    async def close(self) -> None:
        """End every worker; returns when all are gone."""
        self._closing.set()
        for worker in self.workers.values():
            worker.stop()
        keepers = [*self._keepers, *self._rooms.values()]
        await asyncio.gather(*keepers, return_exceptions=True)
        await asyncio.gather(*self._lives, return_exceptions=True)

    async def _keep(self, lane: Lane, room: Room | None = None) -> None:
        """Keep one place filled until the pool is closed, or while the room is needed."""
        died_early = 0
        while not self._closing.is_set() and (room is None or self._needed(room)):
            worker = self._take_spare() if lane == "cpu" else None
            worker = worker or self._hire(lane, room)
            if worker is not None:
                await self._posts[worker.worker_id].wait()
            died_early = 0 if worker and worker.was_ready else died_early + 1
            await self._pause(lane, died_early)

    async def _keep_spare(self) -> None:
        """Keep one worker more than there are slots, once those are filled."""
        died_early = 0
        await self._wait_for(self._complete)
        while not self._closing.is_set():
            self._spare = spare = self._hire("cpu", None)
            if spare is not None:
                spare.standing_by = True
                await self._posts[spare.worker_id].wait()
            was_taken = self._spare is not spare  # perhaps before it was ready: it is not dead
            if not was_taken:
                self._spare = None
            died_early = 0 if was_taken or (spare and spare.was_ready) else died_early + 1
            await self._pause("cpu", died_early)

    def _take_spare(self) -> Worker | None:
        spare, self._spare = self._spare, None
        if spare is None or spare.state not in ("starting", "spare"):
            return None
        self._leave_post(spare)
        self._posts[spare.worker_id] = asyncio.Event()
        spare.promote()
        return spare

    def _hire(self, lane: Lane, room: Room | None) -> Worker | None:
        """Start a worker; None if that is impossible."""
        self._started += 1
        try:
            worker = self._begin_worker(lane, room)
        except OSError as exc:
            _LOG.error("A worker cannot be started: %s. lane=%s", exc, lane)
            return None
        self.workers[worker.worker_id] = worker
        self._posts[worker.worker_id] = asyncio.Event()
        life = _watched(self._see_out(worker))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        return worker

    def _begin_worker(self, lane: Lane, room: Room | None) -> Worker:
        return Worker(
            self._started,
            lane,
            self._settings,
            self._place,
            listener=self._listener,
            freed=self._told,
            room=room,
        )

    async def _see_out(self, worker: Worker) -> None:
        try:
            await worker.gone()
        finally:
            del self.workers[worker.worker_id]
            self._leave_post(worker)
            self._lost(worker)

    def _leave_post(self, worker: Worker) -> None:
        if post := self._posts.pop(worker.worker_id, None):
            post.set()

    def _told(self) -> None:
        if not self._complete.is_set():
            starting = any(worker.state == "starting" for worker in self.workers.values())
            if not starting:
                self._complete.set()
        self._freed()

    async def _pause(self, lane: Lane, died_early: int) -> None:
        wait_s = _EARLY_DEATH_WAITS_S[min(died_early, len(_EARLY_DEATH_WAITS_S) - 1)]
        if wait_s and not self._closing.is_set():
            _LOG.error("Workers die before they are ready. lane=%s wait_s=%g", lane, wait_s)
            waiting = asyncio.ensure_future(self._closing.wait())
            await asyncio.wait([waiting], timeout=wait_s)
            waiting.cancel()

    async def _wait_for(self, event: asyncio.Event) -> None:
        """Wait for an event, or for the pool to be closed."""
        waits = [asyncio.ensure_future(one.wait()) for one in (event, self._closing)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


def _watched(keeping: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    keeper = asyncio.get_running_loop().create_task(keeping)
    keeper.add_done_callback(_log_failure)
    return keeper


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (failure := task.exception()):
        _LOG.critical("A worker or its place is given up.", exc_info=failure)
