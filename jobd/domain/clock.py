"""Time as a collaborator: wall clock for what is stored, monotonic for what is measured.

Wall time is integer milliseconds since the epoch in SQLite and RFC 3339 on the wire;
durations are float seconds.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the daemon's time comes from; tests pass one that they move by hand."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch; may jump, both ways."""

    def monotonic_s(self) -> float:
        """Seconds that never go back; stand still while the machine is suspended."""


class SystemClock:
    """The machine's own clocks."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch; may jump, both ways."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds that never go back; stand still while the machine is suspended."""
        return time.monotonic()
