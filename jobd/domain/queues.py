"""Queues as everybody but the writer's memory sees them: how they are, what may change.

Not here: which queue is served next (store/ready.py), the settings (config/).
"""

import re

import msgspec
from msgspec import UNSET, UnsetType

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
"""What a queue can be called, whole."""


class QueueState(msgspec.Struct, frozen=True):
    """What decides whether a job of the queue may start."""

    paused: bool
    concurrency: int | None
    """Jobs that may run at a time; None: as many as fit."""
    processing: int
    """Jobs that run now; counted only for a queue with a limit."""

    @property
    def spare(self) -> float:
        """How many more jobs may start; infinite without a limit."""
        if self.paused:
            return 0
        return float("inf") if self.concurrency is None else self.concurrency - self.processing


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue and what is in it."""

    name: str
    concurrency: int | None
    paused: bool
    queued: int
    processing: int
    oldest_since_ms: int | None
    """Since when the longest waiting of the jobs that are first in line is due."""


class QueueChange(msgspec.Struct, frozen=True):
    """What to change of a queue; the rest stays as it is."""

    name: str
    paused: bool | None = None
    concurrency: int | UnsetType | None = UNSET
    """None takes the limit away, also one of the settings."""
