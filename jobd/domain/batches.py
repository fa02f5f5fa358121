"""A batch: jobs that were submitted together, and how they stand.

Not here: how it looks on the wire (wire/batches.py), how it is written (store/batches.py).
"""

import msgspec

from jobd.domain.errors import FieldError, JobdError
from jobd.domain.statuses import Status

COMPLETED_TYPE = "batch.completed"
"""What the callback of a batch is told: once, when its last job has ended."""

MAX_ERRORS = 100
"""Errors of lines that are kept."""

MAX_JOB_IDS = 1000
"""Lines of which is kept what became of them."""


class LineError(msgspec.Struct, frozen=True):
    """What is wrong with one line; `line` counts from 1, blank ones too."""

    line: int
    code: str
    detail: str
    pointer: str | None = None


class NewBatch(msgspec.Struct, frozen=True):
    """A batch that is to be written."""

    batch_id: str
    principal: str
    created_at_ms: int
    retention_ms: int
    retry_of: str | None = None
    callback_url: str | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None


class Report(msgspec.Struct, frozen=True):
    """What became of all lines of a batch."""

    total: int
    accepted: int
    replayed: int
    job_ids: list[str | None]
    errors: list[LineError]


class Batch(msgspec.Struct, frozen=True):
    """A batch as it is read back. `job_ids` and `errors` only when asked for in detail."""

    seq: int
    batch_id: str
    principal: str
    created_at_ms: int
    finished_at_ms: int | None
    expires_at_ms: int | None
    loaded: bool
    """Whether all its lines have been written."""
    written: int
    """How many of its first lines have been."""
    total: int
    accepted: int
    replayed: int
    """Accepted lines whose keys named jobs of before: they are counted nowhere else."""
    jobs: dict[Status, int]
    retry_of: str | None
    callback_url: str | None
    fingerprint: str | None
    job_ids: list[str | None] = []
    errors: list[LineError] = []

    @property
    def done(self) -> bool:
        """Whether every job of it has ended, and none will come."""
        return self.finished_at_ms is not None


def line_errors(line: int, error: JobdError) -> list[LineError]:
    """Return what a refusal says of one line: an entry for each rule that it breaks."""
    if not error.errors:
        return [LineError(line, error.code, error.detail)]
    return [LineError(line, error.code, one.detail, one.pointer) for one in error.errors]


def field_error(error: LineError) -> FieldError:
    """Return the entry of a problem document that stands for it."""
    return FieldError(error.detail, pointer=error.pointer, code=error.code, line=error.line)
