"""When a worker has served long enough: after so many jobs, or with too much memory.

Memory is looked at when a job has ended, and not too often: behind many short jobs the last
look comes a moment later, if the worker has nothing to do then.

Not here: how it is replaced (crew.py).
"""

import asyncio
import random
from collections.abc import Callable

from jobd.pool.memory import rss_bytes
from jobd.pool.settings import Settings

_JITTER = 0.1
"""Share of the number of jobs by which workers differ, so that not all go at once."""
_LOOK_EVERY_S = 0.25


class Wear:
    """What one worker's jobs have made of it."""

    def __init__(
        self,
        settings: Settings,
        *,
        pid: int,
        at_rest: Callable[[], bool],
        worn_out: Callable[[], None],
    ) -> None:
        """Begin with a new worker.

        `at_rest` says whether what it uses now is not a job's, `worn_out` is called when
        that is found to be too much between jobs.
        """
        self._loop = asyncio.get_running_loop()
        lifetime = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
        jobs = settings.max_jobs_per_worker
        self._max_jobs = max(1, round(jobs * lifetime)) if jobs else None
        self._max_rss_bytes = settings.max_worker_rss_bytes
        self._pid, self._at_rest, self._worn_out = pid, at_rest, worn_out
        self._looked_s = 0.0
        self._later: asyncio.TimerHandle | None = None
        self.is_too_much = False
        """Whether the worker is to be replaced between jobs."""

    def job_ended(self, jobs_done: int) -> None:
        """Take note that it has ended so many."""
        if self._max_jobs is not None and jobs_done >= self._max_jobs:
            self.is_too_much = True
        elif self._max_rss_bytes and self._later is None:
            wait_s = self._looked_s + _LOOK_EVERY_S - self._loop.time()
            if wait_s <= 0:
                self._look()
            else:
                self._later = self._loop.call_later(wait_s, self._look_at_rest)

    def stop(self) -> None:
        """Look no more."""
        if self._later is not None:
            self._later.cancel()

    def _look_at_rest(self) -> None:
        self._later = None
        if self._at_rest():
            self._look()
            if self.is_too_much:
                self._worn_out()

    def _look(self) -> None:
        self._looked_s = self._loop.time()
        self.is_too_much |= (rss_bytes(self._pid) or 0) > self._max_rss_bytes
