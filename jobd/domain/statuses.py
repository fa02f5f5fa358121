"""The seven statuses of a job and the one table of moves between them.

The store's guard trigger and the tests are generated from `MOVES`; a move that is
not in it is refused by the database itself.

Not here: which move an outcome makes (outcomes.py).
"""

from enum import StrEnum


class Status(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    PROCESSING = "processing"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

INITIAL = frozenset({Status.SCHEDULED, Status.QUEUED})

MOVES: dict[Status, frozenset[Status]] = {
    Status.SCHEDULED: frozenset({Status.QUEUED, Status.CANCELLED, Status.FAILED}),
    Status.QUEUED: frozenset({Status.PROCESSING, Status.CANCELLED, Status.FAILED}),
    # back to queued is a release: drain, orphan, neighbour, call-back
    Status.PROCESSING: frozenset(
        {
            Status.COMPLETED,
            Status.FAILED,
            Status.CANCELLED,
            Status.RETRYING,
            Status.QUEUED,
        }
    ),
    Status.RETRYING: frozenset({Status.QUEUED, Status.CANCELLED, Status.FAILED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}
