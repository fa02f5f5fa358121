"""A job as the layers hand it to one another: what is stored, what is claimed, what is read.

Times are integer milliseconds since the epoch; JSON payloads travel as the bytes that
were validated. Not here: how a job looks on the wire (wire/jobs.py).
"""

from typing import Any

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.statuses import Status


class JobError(msgspec.Struct, frozen=True):
    """Why an attempt failed. `code` is stable, `message` is for people."""

    code: str
    message: str
    retryable: bool
    failed_step: str | None = None
    attempt: int | None = None
    details: dict[str, Any] = {}


class Summary(msgspec.Struct, frozen=True):
    """The counts of a result of many items."""

    total: int
    succeeded: int
    failed: int


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A principal's own name for a submission, and the fingerprint of what was submitted."""

    key: str
    route: str
    fingerprint: bytes


class NewJob(msgspec.Struct, frozen=True):
    """A validated submission, ready to be stored. `run_at_ms` ahead of now means scheduled."""

    job_id: str
    principal: str
    kind: str
    queue: str
    lane: Lane
    priority: int
    created_at_ms: int
    run_at_ms: int | None
    timeout_ms: int
    max_attempts: int
    retention_ms: int
    args: bytes
    metadata: dict[str, str] = {}
    traceparent: str | None = None
    start_before_ms: int | None = None
    callback_url: str | None = None
    callback_events: tuple[str, ...] = ()
    """Types of the events that are sent to `callback_url`."""
    files: tuple[str, ...] = ()
    """Ids of the uploads that `args` names."""
    retry_of: str | None = None
    idempotency: IdempotencyKey | None = None
    batch_index: int | None = None
    """Which line of its batch it is, from 0; None when it is in none."""
    request_id: str | None = None
    """What the caller called its request, if it did."""


class Submitted(msgspec.Struct, frozen=True):
    """What became of a submission: its new job, or the one its key already named."""

    job_id: str
    seq: int
    event_id: int
    replayed: bool = False


class Claim(msgspec.Struct, frozen=True):
    """One attempt's lease: everything the pool needs to run it, and the token that fences it."""

    seq: int
    job_id: str
    token: str
    kind: str
    queue: str
    lane: Lane
    attempt: int
    max_attempts: int
    timeout_ms: int
    failures: int
    crashes: int
    interrupted: int
    released: int
    snoozes: int
    args: bytes
    metadata: dict[str, str]
    traceparent: str | None
    checkpoint: bytes | None
    claimed_at_ms: int
    limited: bool = False
    """Whether its queue has a limit: then none of its jobs is handed over before it can run."""


class Artifact(msgspec.Struct, frozen=True):
    """A file that an attempt left; `path` is relative to the artifacts folder."""

    name: str
    path: str
    media_type: str
    size_bytes: int
    sha256: str
    attempt: int


class Result(msgspec.Struct, frozen=True):
    """A job's result: JSON in `body`, or a file at `path` below the artifacts folder."""

    media_type: str
    size_bytes: int
    sha256: str
    body: bytes | None = None
    path: str | None = None
    filename: str | None = None


class Settlement(msgspec.Struct, frozen=True):
    """What is written when an attempt ends; changes nothing if the token is stale.

    The `…_delta` fields are added to the job's counters; `delay_ms` (with status
    retrying) says when the next attempt is due, counted from the commit.
    """

    seq: int
    token: str
    status: Status
    delay_ms: int | None = None
    error: JobError | None = None
    result: Result | None = None
    partial: bool = False
    summary: Summary | None = None
    artifacts: tuple[Artifact, ...] = ()
    attempt_delta: int = 0
    failures_delta: int = 0
    crashes_delta: int = 0
    interrupted_delta: int = 0
    released_delta: int = 0
    snoozes_delta: int = 0
    evidence: dict[str, Any] = {}
    """How the attempt ended (exit code, signal, peak memory …): kept in its event."""


class Progress(msgspec.Struct, frozen=True):
    """How far a running attempt is; None means not said."""

    pct: float | None = None
    done: int | None = None
    total: int | None = None
    step: str | None = None
    step_index: int | None = None
    step_count: int | None = None
    message: str | None = None


class Inputs(msgspec.Struct, frozen=True):
    """What was submitted besides the options."""

    args: bytes
    metadata: dict[str, str]
    traceparent: str | None
    callback_url: str | None = None
    request_id: str | None = None


class Upload(msgspec.Struct, frozen=True):
    """A principal's claim to a file it has sent; the same content is kept once."""

    file_id: str
    principal: str
    size_bytes: int
    sha256: str
    created_at_ms: int
    expires_at_ms: int


class Job(msgspec.Struct, frozen=True):
    """A job as it is read back. `inputs` and `result` only when asked for in detail."""

    seq: int
    job_id: str
    principal: str
    kind: str
    queue: str
    lane: Lane
    priority: int
    status: Status
    metadata: dict[str, str]
    created_at_ms: int
    updated_at_ms: int
    run_at_ms: int | None
    started_at_ms: int | None
    finished_at_ms: int | None
    expires_at_ms: int | None
    start_before_ms: int | None
    attempt: int
    failures: int
    crashes: int
    interrupted: int
    released: int
    snoozes: int
    max_attempts: int
    timeout_ms: int
    retention_ms: int
    cancel_requested: bool
    partial: bool
    retry_of: str | None
    retried_as: str | None
    event_id: int
    """Id of the newest event or progress: the version behind the ETag."""
    error: JobError | None = None
    summary: Summary | None = None
    progress: Progress | None = None
    has_result: bool = False
    batch_id: str | None = None
    batch_index: int | None = None
    inputs: Inputs | None = None
    result: Result | None = None

    @property
    def done(self) -> bool:
        """Whether the status is terminal."""
        return self.status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class JobFilter(msgspec.Struct, frozen=True):
    """Which jobs a list shows, newest first, those with a seq below `before_seq`."""

    statuses: tuple[Status, ...] = ()
    kind: str | None = None
    queue: str | None = None
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    idempotency_key: str | None = None
    principal: str | None = None
    batch_id: str | None = None
    before_seq: int | None = None
    limit: int = 50


class Cancelled(msgspec.Struct, frozen=True):
    """What a cancel found: the status after it, and the lease to end if the job was running."""

    job_id: str
    seq: int
    status: Status
    already_done: bool = False
    token: str | None = None


class Update(msgspec.Struct, frozen=True):
    """The newest progress of a running attempt, fenced by its token."""

    seq: int
    token: str
    progress: Progress


class Checkpoint(msgspec.Struct, frozen=True):
    """What a later attempt resumes from, fenced by the token of the attempt that wrote it."""

    seq: int
    token: str
    data: bytes


class Recovered(msgspec.Struct, frozen=True):
    """What a start found of an older instance's running jobs."""

    requeued: int
    cancelled: int
    failed: int
