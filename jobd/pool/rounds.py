"""A look at something every so often, and no timer at all while there is nothing to look at.

Not here: what is looked at (supervisor.py).
"""

import asyncio
from collections.abc import Callable


class Rounds:
    """Calls `look` every `every_s` seconds from begin() on, until it returns False."""

    def __init__(self, every_s: float, look: Callable[[], bool]) -> None:
        self._every_s = every_s
        self._look = look
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Look again and again, if that is not so already."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._go)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go(self) -> None:
        self._timer = None
        if self._look():
            self.begin()
