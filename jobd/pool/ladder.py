"""The rungs of the kill ladder: Cancel frame, SIGTERM after a fifth of the grace, then SIGKILL.

The same for a time limit, a lost heartbeat, a cancel and a drain. A handler that ends in
time keeps its worker. In the io lane SIGTERM would reach every job, so there the frame is
the only warning; and for a limit no job is killed while a neighbour keeps the loop, because
it may not have heard of it.

Not here: what comes before (a job not taken, a reply that is there) and after (worker.py).
"""

import signal
from collections.abc import Callable

from jobd.domain.catalog import Lane
from jobd.pool.attempt import Attempt
from jobd.pool.process import Process
from jobd.pool.protocol import Cancel
from jobd.pool.shared_loop import LOOK_AGAIN_S
from jobd.pool.timekeeper import Timekeeper

_TERMINATE_AFTER = 0.2
"""Share of the grace after which a cpu worker gets SIGTERM."""


class Ladder:
    """One worker's."""

    def __init__(
        self,
        process: Process,
        lane: Lane,
        grace_s: float,
        *,
        timekeeper: Timekeeper,
        kill: Callable[[Attempt], None],
    ) -> None:
        """`kill` is called at the end, for an attempt that has not ended by then."""
        self._process, self._lane, self._grace_s = process, lane, grace_s
        self._timekeeper, self._kill = timekeeper, kill

    def climb(self, attempt: Attempt) -> None:
        """Ask an attempt to end, and have it ended if it does not."""
        self._process.send(Cancel(attempt.claim.token))
        if self._lane == "cpu":
            attempt.after(self._grace_s * _TERMINATE_AFTER, self._terminate, attempt)
        else:
            attempt.after(self._grace_s, self._last, attempt)

    def _terminate(self, attempt: Attempt) -> None:
        self._process.signal(signal.SIGTERM)
        attempt.after(self._grace_s * (1 - _TERMINATE_AFTER), self._last, attempt)

    def _last(self, attempt: Attempt) -> None:
        self._process.read()
        if attempt.outcome.done():
            return
        if attempt.asked in ("timeout", "heartbeat") and self._timekeeper.held_up(attempt):
            attempt.after(LOOK_AGAIN_S, self._last, attempt)
        else:
            self._kill(attempt)
