"""What is looked at every so often while a worker's attempts run: their memory, their loop.

Not here: how often (supervisor.py), measuring (memory.py, shared_loop.py).
"""

from collections.abc import Callable

from jobd.pool import memory
from jobd.pool.attempt import Attempt
from jobd.pool.inquest import Inquest
from jobd.pool.line import Line
from jobd.pool.process import Process
from jobd.pool.reports import Reason
from jobd.pool.shared_loop import SharedLoop


class Looks:
    """One worker's."""

    def __init__(
        self,
        process: Process,
        line: Line,
        *,
        end_at_once: Callable[[Attempt, Reason], None],
        loop: SharedLoop | None,
        inquest: Inquest,
        kill: Callable[[str], None],
    ) -> None:
        """`loop` is that of an io worker."""
        self._process, self._line, self._end_at_once = process, line, end_at_once
        self._loop, self._inquest, self._kill = loop, inquest, kill

    def at_memory(self) -> bool:
        """Measure what a job with a limit uses, and end it above; False if there is none."""
        if self._loop is not None:
            return False
        limited = [one for one in self._line if one.limits.memory_bytes is not None]
        for attempt in limited if self._process.alive else ():
            attempt.saw(used := memory.tree_rss_bytes(self._process.pid))
            if used > (attempt.limits.memory_bytes or 0):
                self._end_at_once(attempt, "memory")
        return bool(limited)

    def at_loop(self) -> bool:
        """End an io worker whose loop stands still for too long; False if it runs nothing."""
        if self._loop is None or not self._line:
            return False
        if self._process.alive and self._inquest.blocker is None:
            self._inquest.blocker = self._loop.blocker(self._line)
            if self._inquest.blocker is not None:
                self._kill(f"did not come round for {self._loop.still_s():.0f} s")
        return True
