"""Promotes scheduled and retrying jobs when they are due, from a timer that sleeps till then.

No polling: between two due times nothing runs. A job that becomes scheduled or retrying
may be due before the timer, so its event wakes the loop.
"""

import asyncio

from jobd.bus import Bus
from jobd.domain.events import Event
from jobd.store.writer import Writer

MAX_SLEEP_S = 3600.0
"""Looks again at least this often, in case the wall clock was set forward meanwhile."""

_WAKING = frozenset({"job.scheduled", "job.retrying"})


class Scheduler:
    """The loop behind run_at and backoff."""

    def __init__(self, writer: Writer, bus: Bus) -> None:
        self._writer = writer
        self._changed = asyncio.Event()
        bus.subscribe(self._notice)

    def _notice(self, event: Event) -> None:
        if event.type in _WAKING:
            self._changed.set()

    async def run(self) -> None:
        """Promote what is due, for ever; ends by cancellation."""
        while True:
            self._changed.clear()
            due_in_s = await self._writer.promote()
            await self._wait(due_in_s)

    async def _wait(self, due_in_s: float | None) -> None:
        if due_in_s is None:
            await self._changed.wait()
            return
        try:
            async with asyncio.timeout(min(due_in_s, MAX_SLEEP_S)):
                await self._changed.wait()
        except TimeoutError:
            return
