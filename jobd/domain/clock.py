"""Time as a collaborator: wall clock for what is stored, monotonic for what is measured.

Wall time is integer milliseconds since the epoch in SQLite and RFC 3339 on the wire;
durations are float seconds. The machine's own clocks are in jobd/clock.py.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

JUMP_MS = 5_000
"""A wall clock that gains more than this at once has been set, not corrected."""

STANDS_MS = 3_600_000
"""How long a new time must stand to be believed."""


class Clock(Protocol):
    """Where the daemon's time comes from; tests pass one that they move by hand."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch; may jump, both ways."""

    def trusted_ms(self) -> int:
        """Milliseconds since the epoch, as far as believed; what deletes or fails by age uses it.

        Never ahead of the wall clock. After that was set forward it goes on as if it had not
        been, until the new time has stood for a while.
        """

    def monotonic_s(self) -> float:
        """Seconds that never go back; stand still while the machine is suspended."""

    async def wait_until(self, wall_ms: int) -> None:
        """Return when the wall clock may have reached `wall_ms`: look again, and wait again.

        Returns early when the wall clock was set, and at once after a suspend in which the
        time came.
        """


async def wait_until(clock: Clock, wall_ms: int, wakened: asyncio.Event) -> None:
    """Return when the clock's own `wait_until` does, or as soon as the event is set."""
    waits = [
        asyncio.ensure_future(clock.wait_until(wall_ms)),
        asyncio.ensure_future(wakened.wait()),
    ]
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in done:
            await wait
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)


class TrustedTime:
    """The wall clock's time, without its jumps ahead until they have stood for a while.

    `elapsed_ms` must go on evenly, in a suspend too. A wall clock that is set back is
    believed at once: what is young by it is kept.
    """

    def __init__(self, wall_ms: Callable[[], int], elapsed_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._elapsed_ms = elapsed_ms
        self._believed = wall_ms() - elapsed_ms()
        """What is added to the time elapsed to get the time."""
        self._shown = self._believed
        """The same, by the wall clock when it was last looked at."""
        self._shown_since_ms = elapsed_ms()

    def now_ms(self) -> int:
        """Return milliseconds since the epoch; never ahead of the wall clock."""
        wall_ms, elapsed_ms = self._wall_ms(), self._elapsed_ms()
        shown = wall_ms - elapsed_ms
        if abs(shown - self._shown) > JUMP_MS:
            self._shown_since_ms = elapsed_ms
            if shown - self._believed > JUMP_MS:
                ahead_s = (shown - self._believed) / 1000
                log.warning(
                    "The clock was set forward: nothing is deleted or failed by that time yet.",
                    extra={"seconds": ahead_s, "believed_in_s": STANDS_MS / 1000},
                )
        self._shown = shown
        stood = elapsed_ms - self._shown_since_ms >= STANDS_MS
        if stood or shown - self._believed <= JUMP_MS:
            self._believed = shown
            return wall_ms
        return elapsed_ms + self._believed
