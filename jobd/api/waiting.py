"""Requests that wait for a job to change.

One timer per waiting request, no task: when the daemon drains, a single task ends all the
timers at once. A wait holds a connection, and connections are bounded for all together: who
has many waits open is answered at once, as a wait of no length is, so that others get in.
"""

import asyncio
from collections import Counter
from contextlib import AbstractContextManager, nullcontext

from jobd.bus import Watch
from jobd.domain.events import Event
from jobd.domain.principals import Caller
from jobd.store.tokens import Tokens


def job_done(event: Event) -> bool:
    """Want the event that ends the job."""
    return event.terminal


class Waits:
    """The waits under way, at most `limit` of one principal."""

    def __init__(self, draining: asyncio.Event, tokens: Tokens, *, limit: int) -> None:
        self._draining = draining
        self._tokens = tokens
        self._limit = limit
        self._timers: set[asyncio.Timeout] = set()
        self._counted: Counter[str] = Counter()

    async def until_seen(self, watch: Watch, timeout_s: float, caller: Caller) -> None:
        """Return when `watch` sees what it wants, or the time is over, or jobd drains.

        Also when the caller's token ends; and at once, if the principal has as many waits
        under way as it may have.
        """
        principal = caller.principal
        if self._draining.is_set() or self._counted[principal] >= self._limit:
            return
        self._counted[principal] += 1
        try:
            async with asyncio.timeout(timeout_s) as timer:
                self._timers.add(timer)
                try:
                    with self._while_valid(caller, timer):
                        await watch.next()
                finally:
                    self._timers.discard(timer)
        except TimeoutError:
            return
        finally:
            self._counted[principal] -= 1
            if not self._counted[principal]:
                del self._counted[principal]

    def _while_valid(self, caller: Caller, timer: asyncio.Timeout) -> AbstractContextManager[None]:
        if caller.token_id is None:
            return nullcontext()
        return self._tokens.watched(caller.token_id, lambda: _end(timer))

    async def end_when_draining(self) -> None:
        """Wait for the drain, then end every wait."""
        await self._draining.wait()
        for timer in self._timers:
            _end(timer)


def _end(timer: asyncio.Timeout) -> None:
    if not timer.expired():
        timer.reschedule(asyncio.get_running_loop().time())
