"""Requests that wait for a job to change.

One timer per waiting request, no task: when the daemon drains, a single task ends all the
timers at once.
"""

import asyncio

from jobd.bus import Watch
from jobd.domain.events import Event


def job_done(event: Event) -> bool:
    """Want the event that ends the job."""
    return event.terminal


class Waits:
    """The waits under way; `until` returns at once while the daemon drains."""

    def __init__(self, draining: asyncio.Event) -> None:
        self._draining = draining
        self._timers: set[asyncio.Timeout] = set()

    async def until_seen(self, watch: Watch, timeout_s: float) -> None:
        """Return when `watch` sees what it wants, or the time is over, or jobd drains."""
        if self._draining.is_set():
            return
        try:
            async with asyncio.timeout(timeout_s) as timer:
                self._timers.add(timer)
                try:
                    await watch.next()
                finally:
                    self._timers.discard(timer)
        except TimeoutError:
            return

    async def end_when_draining(self) -> None:
        """Wait for the drain, then end every wait."""
        await self._draining.wait()
        now = asyncio.get_running_loop().time()
        for timer in self._timers:
            if not timer.expired():
                timer.reschedule(now)
