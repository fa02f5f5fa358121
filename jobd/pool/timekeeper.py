"""When the limits of a worker's attempts are reached: their time, their setup's, their silence.

The clock of an attempt starts when it is handed over, and anew behind its handler's import
and setup.
While a neighbour keeps the loop of an io worker, a limit waits (shared_loop.py).

Not here: what is done about an attempt that overran (worker.py).
"""

import asyncio
from collections.abc import Callable

from jobd.pool.attempt import Attempt
from jobd.pool.reports import Reason
from jobd.pool.shared_loop import LOOK_AGAIN_S, SharedLoop


class Timekeeper:
    """Counts for one worker."""

    def __init__(
        self,
        loop: SharedLoop | None,
        *,
        read: Callable[[], None],
        overran: Callable[[Attempt, Reason], None],
    ) -> None:
        """`loop` is that of an io worker; `read` takes in what the worker has said by now."""
        self._loop = loop
        self._read = read
        self._overran = overran

    def begin(self, attempt: Attempt) -> None:
        """Begin to count an attempt's own time, unless it was asked to end."""
        attempt.setting_up = False
        if attempt.asked is not None:
            return
        attempt.stop_timers()
        attempt.after(attempt.claim.timeout_ms / 1000, self._reached, attempt, "timeout")
        if attempt.limits.heartbeat_timeout_s is not None:
            attempt.hear()
            attempt.listen(attempt.limits.heartbeat_timeout_s, self._listen, attempt)

    def begin_setup(self, attempt: Attempt) -> None:
        """Begin to count the time of its handler's import or setup instead."""
        attempt.setting_up = True
        if attempt.asked is None:
            attempt.stop_timers()
            attempt.after(attempt.limits.setup_timeout_s, self._reached, attempt, "setup")

    def held_up(self, attempt: Attempt) -> bool:
        """Whether a limit has to wait for LOOK_AGAIN_S."""
        return self._loop is not None and self._loop.held_up(attempt)

    def _reached(self, attempt: Attempt, reason: Reason) -> None:
        if self.held_up(attempt):
            attempt.after(LOOK_AGAIN_S, self._reached, attempt, reason)
        else:
            self._overran(attempt, reason)

    def _listen(self, attempt: Attempt) -> None:
        self._read()
        silence_s = attempt.limits.heartbeat_timeout_s
        if silence_s is None or attempt.outcome.done() or attempt.asked is not None:
            return
        rest_s = attempt.heard_s + silence_s - asyncio.get_running_loop().time()
        if rest_s > 0:
            attempt.listen(rest_s, self._listen, attempt)
        elif self.held_up(attempt):
            attempt.listen(LOOK_AGAIN_S, self._listen, attempt)
        else:
            self._overran(attempt, "heartbeat")
