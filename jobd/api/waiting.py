"""Requests that wait for a job to change.

One timer per waiting request, no task: when the daemon drains, a single task ends all the
timers at once. A wait holds a connection, and connections are bounded for all together: who
has many waits open is answered at once, as a wait of no length is, so that others get in.
"""

import asyncio
from collections import Counter

from jobd.bus import Watch
from jobd.domain.events import Event


def job_done(event: Event) -> bool:
    """Want the event that ends the job."""
    return event.terminal


class Waits:
    """The waits under way, at most `limit` of one principal."""

    def __init__(self, draining: asyncio.Event, *, limit: int) -> None:
        self._draining = draining
        self._limit = limit
        self._timers: set[asyncio.Timeout] = set()
        self._counted: Counter[str] = Counter()

    async def until_seen(self, watch: Watch, timeout_s: float, principal: str) -> None:
        """Return when `watch` sees what it wants, or the time is over, or jobd drains.

        At once, if the principal has as many waits under way as it may have.
        """
        if self._draining.is_set() or self._counted[principal] >= self._limit:
            return
        self._counted[principal] += 1
        try:
            async with asyncio.timeout(timeout_s) as timer:
                self._timers.add(timer)
                try:
                    await watch.next()
                finally:
                    self._timers.discard(timer)
        except TimeoutError:
            return
        finally:
            self._counted[principal] -= 1
            if not self._counted[principal]:
                del self._counted[principal]

    async def end_when_draining(self) -> None:
        """Wait for the drain, then end every wait."""
        await self._draining.wait()
        now = asyncio.get_running_loop().time()
        for timer in self._timers:
            if not timer.expired():
                timer.reschedule(now)
