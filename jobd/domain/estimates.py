"""What may be expected of a job that is not done: why it waits, when it starts and ends.

Not here: where the numbers come from (engine/estimates.py), how they look (wire/).
"""

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.jobs import Job
from jobd.domain.queues import QueueState
from jobd.domain.statuses import Status


class Position(msgspec.Struct, frozen=True):
    """Where a queued job stands."""

    queue: QueueState
    parked: bool
    """Out of the queue until its kind can run again."""
    ahead: int | None
    """Jobs of its queue that go first; None if they are too many to count."""


class Run(msgspec.Struct, frozen=True):
    """A completed run."""

    kind: str
    lane: Lane
    seconds: float


class Estimate(msgspec.Struct, frozen=True):
    """Seconds, None where they are not known."""

    duration_s: float | None = None
    """A whole run of its kind. Of a job that is not done, as the rest."""
    starts_in_s: float | None = None
    """Of a job that neither runs nor is done."""
    ends_in_s: float | None = None
    """Of any of these, and of one that runs."""


UNKNOWN = Estimate()


def waiting_for(
    job: Job, position: Position | None, *, runnable: bool, storage_full: bool
) -> str | None:
    """Return why a job is not running; None if it runs or is done.

    Of several reasons the one that lasts when the others go away by themselves. `position`
    is needed of a queued job; None means that it has just left its queue.
    """
    match job.status:
        case Status.SCHEDULED:
            return "run_at"
        case Status.RETRYING:
            return "backoff"
        case Status.QUEUED if position is not None:
            return _queued_for(position, runnable=runnable, storage_full=storage_full)
    return None


def _queued_for(position: Position, *, runnable: bool, storage_full: bool) -> str:
    if position.parked or not runnable:
        return "handler_missing"
    if position.queue.paused:
        return "queue_paused"
    if storage_full:
        return "storage_full"
    return "slot" if position.queue.spare > 0 else "queue_limit"
