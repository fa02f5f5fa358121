"""When the limits of a worker's attempts are reached: their time, their setup's, their silence.

The clock of an attempt starts when it is handed over, or when the one before it in its cpu
worker has ended, and anew behind its handler's import and setup. A worker has one timer for
the limits of all its attempts, which is not touched when one ends in time. While a neighbour
keeps the loop of an io worker, a limit waits (shared_loop.py).

Not here: what is done about an attempt that overran (worker.py).
"""

import asyncio
from collections.abc import Callable, Iterable

from jobd.pool.attempt import Attempt
from jobd.pool.reports import Reason
from jobd.pool.shared_loop import LOOK_AGAIN_S, SharedLoop

_MOST_SETUPS = 2
"""The handler's import, and its setup."""


class Timekeeper:
    """Counts for one worker."""

    def __init__(
        self,
        loop: SharedLoop | None,
        *,
        attempts: Callable[[], Iterable[Attempt]],
        read: Callable[[], None],
        overran: Callable[[Attempt, Reason], None],
    ) -> None:
        """`loop` is that of an io worker; `read` takes in what the worker has said by now."""
        self._loop = loop
        self._attempts = attempts
        self._read = read
        self._overran = overran
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, attempt: Attempt) -> None:
        """Begin to count an attempt's own time, unless it was asked to end."""
        attempt.setting_up = False
        if attempt.asked is not None:
            return
        attempt.stop_timers()
        self._limit(attempt, attempt.claim.timeout_ms / 1000)
        if attempt.limits.heartbeat_timeout_s is not None:
            attempt.hear()
            attempt.listen(attempt.limits.heartbeat_timeout_s, self._listen, attempt)

    def begin_setup(self, attempt: Attempt) -> None:
        """Begin to count the time of its handler's import or setup instead.

        A worker that says so more often than there can be any prolongs nothing.
        """
        if attempt.setting_up or attempt.setups == _MOST_SETUPS:
            return
        attempt.setting_up = True
        attempt.setups += 1
        if attempt.asked is None:
            attempt.stop_timers()
            self._limit(attempt, attempt.limits.setup_timeout_s)

    def end_setup(self, attempt: Attempt) -> None:
        """Begin to count its own time anew, if its handler was being imported or set up."""
        if attempt.setting_up:
            self.begin(attempt)

    def held_up(self, attempt: Attempt) -> bool:
        """Whether a limit has to wait for LOOK_AGAIN_S."""
        return self._loop is not None and self._loop.held_up(attempt)

    def stop(self) -> None:
        """Count no more: the worker is dead."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _limit(self, attempt: Attempt, within_s: float) -> None:
        attempt.due_s = asyncio.get_running_loop().time() + within_s
        self._wait_until(attempt.due_s)

    def _wait_until(self, due_s: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= due_s:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due_s, self._look)

    def _look(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        for attempt in self._attempts():
            if attempt.due_s is not None and attempt.due_s <= now_s:
                self._reached(attempt, now_s)
        left = [one.due_s for one in self._attempts() if one.due_s is not None]
        if left:
            self._wait_until(min(left))

    def _reached(self, attempt: Attempt, now_s: float) -> None:
        if self.held_up(attempt):
            attempt.due_s = now_s + LOOK_AGAIN_S
        else:
            attempt.due_s = None
            self._overran(attempt, "setup" if attempt.setting_up else "timeout")

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
