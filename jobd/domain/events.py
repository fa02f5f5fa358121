"""What happened to a job, as it is published after the commit that made it true."""

from collections.abc import Iterable
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

CALLBACK_TYPES: tuple[EventType, ...] = (
    "job.scheduled",
    "job.queued",
    "job.processing",
    "job.retrying",
    "job.completed",
    "job.failed",
    "job.cancelled",
    "job.cancel_requested",
)
"""What a callback can be told of, in the order of the bits of a stored mask: only append.

Progress is not among them: it is no history, so there is nothing to deliver later.
"""

_BITS: dict[str, int] = {type_: 1 << n for n, type_ in enumerate(CALLBACK_TYPES)}


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


def callback_mask(types: Iterable[str]) -> int:
    """Return the set of `types` as it is stored; raises KeyError if one is no CALLBACK_TYPES."""
    mask = 0
    for type_ in types:
        mask |= _BITS[type_]
    return mask


def in_mask(mask: int, type_: str) -> bool:
    """Whether a stored set of event types has this one."""
    return bool(mask & _BITS.get(type_, 0))


def status_event(status: Status) -> str:
    """Return the type of the event that says a job has reached `status`."""
    return f"job.{status.value}"
