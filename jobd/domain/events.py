"""What happened to a job, as it is published after the commit that made it true."""

from typing import Any, Literal

import msgspec

from jobd.domain.statuses import TERMINAL, Status

EventType = Literal[
    "job.scheduled",
    "job.queued",
    "job.processing",
    "job.progress",
    "job.retrying",
    "job.completed",
    "job.failed",
    "job.cancelled",
    "job.cancel_requested",
]

TERMINAL_TYPES = frozenset(f"job.{status}" for status in TERMINAL)


class Event(msgspec.Struct, frozen=True):
    """One committed change. Ids only grow, in commit order; `data` holds what changed."""

    id: int
    seq: int
    job_id: str
    type: str
    at_ms: int
    attempt: int
    data: dict[str, Any] = {}

    @property
    def terminal(self) -> bool:
        """Whether nothing more will come for this job."""
        return self.type in TERMINAL_TYPES


def status_event(status: Status) -> str:
    """Return the type of the event that says a job has reached `status`."""
    return f"job.{status.value}"
