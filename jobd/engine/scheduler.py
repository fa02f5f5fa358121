"""Queues jobs when they are due and fails them when they are overdue, from one timer.

No polling: between two such times nothing runs. The times only come nearer by what happens
to a job, and the job's event says to when; so a million jobs that are submitted for later
cost no statement here.

Not here: what is due or overdue (store/moves.py, store/deadlines.py).
"""

import asyncio

from jobd.bus import Bus
from jobd.domain.clock import Clock, wait_until
from jobd.domain.errors import OutcomeUnknown, StorageFull, Unavailable
from jobd.domain.events import Event
from jobd.store.writer import Writer

DISK_FULL_WAIT_MS = 1000

NEVER = 1 << 62


class Scheduler:
    """The loop behind run_at, backoff and the deadlines of jobs that wait."""

    def __init__(self, writer: Writer, bus: Bus, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._due_ms = self._deadline_ms = 0
        """When to promote, and when to expire: both at the start."""
        self._changed = asyncio.Event()
        bus.subscribe(self._notice)

    def _notice(self, event: Event) -> None:
        if event.type in {"job.scheduled", "job.retrying"}:
            self._at(due_ms=event.data["run_at_ms"])
        elif event.type == "job.queued" and event.data:
            # a new job says when it must have begun; one that comes back from a worker may be
            # older than all that wait, and was not among them at the last look
            self._at(deadline_ms=event.data.get("start_before_ms", 0))

    def _at(self, *, due_ms: int = NEVER, deadline_ms: int = NEVER) -> None:
        if due_ms < self._due_ms or deadline_ms < self._deadline_ms:
            self._due_ms = min(self._due_ms, due_ms)
            self._deadline_ms = min(self._deadline_ms, deadline_ms)
            self._changed.set()

    async def run(self) -> None:
        """Promote and expire when it is time, until cancelled or until the writer is closed."""
        while True:
            try:
                await self._look()
            except StorageFull:
                soon_ms = self._clock.wall_ms() + DISK_FULL_WAIT_MS
                self._at(due_ms=soon_ms, deadline_ms=soon_ms)
            except (OutcomeUnknown, Unavailable):  # the writer has said why, and ends the daemon
                return
            await self._sleep()

    async def _look(self) -> None:
        # what happens during a look may bring the next one nearer than its answer does
        now_ms = self._clock.wall_ms()
        if self._deadline_ms <= now_ms:
            self._deadline_ms = NEVER
            self._at(deadline_ms=await self._writer.expire())
        if self._due_ms <= now_ms:
            self._due_ms = NEVER
            promoted = await self._writer.promote()
            self._at(
                due_ms=NEVER if promoted.due_ms is None else promoted.due_ms,
                deadline_ms=NEVER if promoted.deadline_ms is None else promoted.deadline_ms,
            )

    async def _sleep(self) -> None:
        self._changed.clear()
        until_ms = min(self._due_ms, self._deadline_ms)
        await wait_until(self._clock, until_ms, self._changed)
        if not self._changed.is_set() and self._clock.wall_ms() < until_ms:
            # the clock was set, and the times were by the old one
            self._due_ms = self._deadline_ms = 0
