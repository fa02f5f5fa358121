"""What a made-up io worker shares with the daemon, in place of a page and a clock of its own."""

from __future__ import annotations

from jobd.pool.marker import Marker
from jobd.pool.shared_loop import SharedLoop


class Page(Marker):
    """The number of the job that took the worker down."""

    def __init__(self) -> None:
        self.number = 0

    @property
    def running(self) -> int:
        return self.number

    def fault(self) -> str:
        return ""

    def close(self) -> None:
        """Let go of nothing."""


class Steady(SharedLoop):
    """A loop that always comes round."""

    def __init__(self) -> None:
        self._stall_s = 1.0

    def is_used(self) -> None:
        """Need no clock."""

    def still_s(self) -> float:
        return 0.0

    def blocker(self, attempts: object) -> int | None:
        return None

    def held_up(self, attempt: object) -> bool:
        return False
