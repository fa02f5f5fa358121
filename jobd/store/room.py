"""Whether there is room on disk, and for how long to wait when there is not.

While the disk is full the store is read-only: what adds is refused, nothing is claimed, and
what ends things is written as long as it fits, with the room that the reserve gave back.

Not here: the reserve on disk (files/reserve.py), who is refused (group_commit.py).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from jobd.domain.clock import Clock

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the disk is looked at: while it is full, and while something is written."""


class Ballast(Protocol):
    """Space held back on disk (files/reserve.py)."""

    def low(self) -> bool:
        """Whether less is free than should be."""

    def take(self) -> bool:
        """Hold the space and say whether there is room besides; blocks."""

    def give_up(self) -> bool:
        """Give the space back; False if none was held; blocks."""


class Room:
    """What the writer knows of the disk."""

    def __init__(
        self,
        ballast: Ballast | None,
        clock: Clock,
        *,
        look_s: float,
        low: Callable[[], None] = lambda: None,
    ) -> None:
        """Call `low` when the store becomes read-only."""
        self._low = low
        self._ballast = ballast
        self._clock = clock
        self._look_s = look_s
        self._looked_s = clock.monotonic_s()
        self.full = False
        """The store is read-only."""
        self.stuck = False
        """Not even what ends things fits; nothing is tried before the next look."""
        self.at_most: int | None = None
        """So many requests may fit at once, as far as is known."""
        self.look_at: float | None = None
        """When to look next, by the loop's time; None while there is room."""

    async def begin(self) -> None:
        """Take the reserve; without it the store starts read-only."""
        if self._ballast is not None and not await asyncio.to_thread(self._ballast.take):
            log.error("The disk has no room for the reserve: jobd is read-only until it has.")
            self._enter()

    async def look(self) -> None:
        """Notice that the disk gets full, or has room again; looks only as often as it should."""
        if self.full:
            await self._look_for_room()
        elif self._ballast is not None and self._due() and self._ballast.low():
            log.error("The disk is nearly full: jobd is read-only until there is room.")
            self._enter()

    async def ran_out(self, requests: int) -> None:
        """Note that so many requests did not fit; the first time the reserve is given up."""
        if self.full:
            self.stuck = True
            self.at_most = max(1, requests // 2)
            return
        log.error("The disk is full: jobd is read-only until there is room.")
        self._enter()
        if self._ballast is not None:
            await asyncio.to_thread(self._ballast.give_up)

    def fitted(self) -> None:
        """Note that a batch was written."""
        self.at_most = None

    def _due(self) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s < self._looked_s + self._look_s:
            return False
        self._looked_s = now_s
        return True

    def _enter(self) -> None:
        self.full = True
        self._low()
        self.look_at = asyncio.get_running_loop().time() + self._look_s

    async def _look_for_room(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if self.look_at is None or now_s < self.look_at:
            return
        self.look_at = now_s + self._look_s
        self.stuck = False
        if self._ballast is None or await asyncio.to_thread(self._ballast.take):
            log.info("There is room on disk again.")
            self.full, self.look_at, self.at_most = False, None, None
