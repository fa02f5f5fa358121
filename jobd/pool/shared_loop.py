"""The loop that the jobs of an io worker share: whether it goes round, and who keeps it if not.

Read from the marker page, so it needs no answer of a worker that gives none. While the loop
is kept, no other job can hear a cancel, say that it lives or end: its limits are not held
against it, until the loop has stood still for its own limit, or for as long in all.

Not here: what is done about it (worker.py), the worker's side (child_io.py).
"""

import time
from collections.abc import Iterable

from jobd.pool.attempt import Attempt
from jobd.pool.marker import TICK_S, Marker

LOOK_AGAIN_S = 0.5
_KEPT_AFTER_S = 3 * TICK_S
"""A loop that has not come round for so long is kept, or its machine is very busy."""


class SharedLoop:
    """One worker's loop as the daemon sees it."""

    def __init__(self, marker: Marker, stall_s: float) -> None:
        self._marker = marker
        self._stall_s = stall_s
        self._busy_s = 0.0

    def is_used(self) -> None:
        """Take note that a job comes to a worker that has none: from here on its loop ticks."""
        self._busy_s = time.monotonic()

    def still_s(self) -> float:
        """Return for how long the loop has not come round, while jobs run."""
        return time.monotonic() - max(self._marker.ticked_s, self._busy_s)

    def blocker(self, attempts: Iterable[Attempt]) -> int | None:
        """Return the number in the marker when it stands still for longer than it may, else None.

        A handler that is being imported or set up has a limit of its own.
        """
        running = self._marker.running
        if self.still_s() <= self._stall_s:
            return None
        beginning = any(a.setting_up and a.number == running for a in attempts)
        return None if beginning else running

    def held_up(self, attempt: Attempt) -> bool:
        """Whether a limit of this attempt has to wait, because the loop is kept by another.

        To be asked once every LOOK_AGAIN_S.
        """
        kept = self.still_s() > _KEPT_AFTER_S and self._marker.running != attempt.number
        if not kept or attempt.held_up_s >= self._stall_s:
            return False
        attempt.held_up_s += LOOK_AGAIN_S
        return True
