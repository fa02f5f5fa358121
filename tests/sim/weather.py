"""What the machine does to the daemon at a moment, and how often it has done each thing.

Not here: when it does it (chaos.py).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Literal

from jobd.domain.clock import TrustedTime

if TYPE_CHECKING:
    from tests.sim.loop import VirtualLoop

START_MS = 1_767_225_600_000

LATELY_MS = 30_000

Strike = Literal["EIO before it applies", "EIO after it applied", "read-only file"]


def stream(seed: int, name: str) -> random.Random:
    """Return random numbers that no other part of the run draws from."""
    return random.Random(f"{seed} {name}")  # noqa: S311 - a simulation, no secret


async def pause(seconds: float) -> None:
    """Let virtual time pass."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer = loop.call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()


class Weather:
    """The faults of the moment."""

    def __init__(self) -> None:
        self.locked = False
        """Another program holds the database's lock."""
        self.full = False
        self.low = False
        """The disk is nearly full."""
        self.strike: Strike | None = None
        """What happens to the next transaction."""
        self.read_strike = False
        """The next read fails."""
        self.calm = False
        """Nothing goes wrong from now on."""
        self.counts: Counter[str] = Counter()

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self.locked = self.full = self.low = self.read_strike = False
        self.strike = None
        self.calm = True


class Machine:
    """The clocks of the machine: one that goes on evenly, one that people set."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self._offset_ms = 0
        self._before_jump = (0, 0)
        self._set = asyncio.Event()

    def wall_ms(self) -> int:
        return START_MS + self.elapsed_ms() + self._offset_ms

    def elapsed_ms(self) -> int:
        return int(self.loop.time() * 1000)

    def shown_lately_ms(self) -> int:
        """Return the latest time that the wall clock has shown in the last half minute."""
        at_ms, wall_ms = self._before_jump
        return max(self.wall_ms(), wall_ms if self.elapsed_ms() - at_ms < LATELY_MS else 0)

    def jump(self, seconds: float) -> None:
        """Set the wall clock."""
        self._before_jump = (self.elapsed_ms(), self.wall_ms())
        self._offset_ms += round(seconds * 1000)
        was_set, self._set = self._set, asyncio.Event()
        was_set.set()

    async def until(self, wall_ms: int) -> None:
        """Return when the wall clock shows it, or has been set."""
        left_s = (wall_ms - self.wall_ms()) / 1000
        if left_s <= 0:
            return
        was_set = asyncio.ensure_future(self._set.wait())
        try:
            await asyncio.wait([was_set], timeout=left_s)
        finally:
            was_set.cancel()


class SimClock:
    """A daemon's clock on that machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._trusted = TrustedTime(machine.wall_ms, machine.elapsed_ms)

    def wall_ms(self) -> int:
        return self._machine.wall_ms()

    def trusted_ms(self) -> int:
        return self._trusted.now_ms()

    def monotonic_s(self) -> float:
        return self._machine.loop.time()

    async def wait_until(self, wall_ms: int) -> None:
        await self._machine.until(wall_ms)
