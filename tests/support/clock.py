"""Time that stands still until the test moves it."""

import asyncio
from datetime import UTC, datetime, timedelta

START_MS = 1_767_225_600_000

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
"""A time to be scheduled at, for tests with the machine's own clock."""


class FakeClock:
    """A Clock of the test's: `advance` moves all of it, `jump` only what the wall shows."""

    def __init__(self, ms: int = START_MS) -> None:
        self.ms = ms
        self.trusted: int | None = None
        self.read = asyncio.Event()
        self.waits: asyncio.Queue[int] = asyncio.Queue()
        """What was waited for: a test that gets one knows that somebody sleeps until then."""
        self._elapsed_s = 0.0
        self._jumps = 0
        self._moved = asyncio.Event()

    def wall_ms(self) -> int:
        self.read.set()
        return self.ms

    def trusted_ms(self) -> int:
        return self.ms if self.trusted is None else self.trusted

    def monotonic_s(self) -> float:
        return self._elapsed_s

    async def wait_until(self, wall_ms: int) -> None:
        self.waits.put_nowait(wall_ms)
        jumps = self._jumps
        while self.ms < wall_ms and jumps == self._jumps:
            await self._moved.wait()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._elapsed_s += seconds
        self._move(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, with no time passing."""
        self._jumps += 1
        self._move(seconds)

    def _move(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
