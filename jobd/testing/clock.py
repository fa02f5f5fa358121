"""The machine's clocks, moved ahead as a test likes: what is due in an hour is due now.

Durations that a process is waited for (time limits, graces) are real: they run by the loop.
"""

import asyncio
import contextlib

from jobd.clock import SystemClock
from jobd.domain.clock import wait_until


class VirtualClock:
    """A Clock that is ahead of the machine's; `advance` may be called in any thread."""

    def __init__(self) -> None:
        self._machine = SystemClock()
        self._ahead_ms = 0
        self._waits: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def wall_ms(self) -> int:
        """See Clock."""
        return self._machine.wall_ms() + self._ahead_ms

    def trusted_ms(self) -> int:
        """See Clock; a test's jump is believed at once."""
        return self.wall_ms()

    def monotonic_s(self) -> float:
        """See Clock."""
        return self._machine.monotonic_s() + self._ahead_ms / 1000

    async def wait_until(self, wall_ms: int) -> None:
        """See Clock."""
        moved = asyncio.Event()
        waiting = (asyncio.get_running_loop(), moved)
        self._waits.add(waiting)
        try:
            await wait_until(self._machine, wall_ms - self._ahead_ms, moved)
        finally:
            self._waits.discard(waiting)

    def advance(self, seconds: float) -> None:
        """Let so much time have passed."""
        self._ahead_ms += round(seconds * 1000)
        for loop, moved in list(self._waits):
            with contextlib.suppress(RuntimeError):  # its loop has been closed
                loop.call_soon_threadsafe(moved.set)
