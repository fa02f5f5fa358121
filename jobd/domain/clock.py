"""Time as a collaborator: wall clock for what is stored, monotonic for what is measured.

Wall time is integer milliseconds since the epoch in SQLite and RFC 3339 on the wire;
durations are float seconds. The machine's own clocks are in jobd/clock.py.
"""

from typing import Protocol


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
