"""The job document, alone and in lists, and the artifacts of a job.

Lists carry `Job`; a submit and the reading of one job give `JobDetail`. The rendering from
domain objects is in rendering.py, the document that submits a job in submission.py.
"""

from typing import Any

import msgspec

from jobd.wire.times import Timestamp


class JobError(msgspec.Struct, frozen=True):
    """Why an attempt failed; `code` is stable, `message` is for people and may change."""

    code: str
    message: str
    retryable: bool
    failed_step: str | None
    attempt: int | None
    details: dict[str, Any]


class ResultSummary(msgspec.Struct, frozen=True):
    """The counts of a result of many items."""

    total: int
    succeeded: int
    failed: int


class ResultInfo(msgspec.Struct, frozen=True):
    """What `result_url` serves."""

    media_type: str
    size_bytes: int
    sha256: str
    filename: str | None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job. Loop until `done`; the terminal words of `status` are a closed set."""

    job_id: str
    kind: str
    queue: str
    status: str
    done: bool
    partial: bool
    poll_url: str
    events_url: str | None
    cancel_url: str
    result_url: str | None
    priority: int
    metadata: dict[str, str]
    batch_id: str | None
    created_at: Timestamp
    updated_at: Timestamp
    run_at: Timestamp | None
    started_at: Timestamp | None
    completed_at: Timestamp | None
    """When the status became terminal, whichever it is."""
    expires_at: Timestamp | None
    attempt: int
    max_attempts: int
    next_attempt_at: Timestamp | None
    cancel_requested: bool
    queue_position: int | None
    """Jobs of its queue that go before a queued one; null when too many to count, and in lists."""
    progress_pct: float
    """0 to 100; never falls within one attempt; 100 means completed."""
    step: str | None
    step_index: int | None
    step_count: int | None
    message: str | None
    estimated_duration_seconds: float | None
    """Of a whole run of its kind; null when it is not known or the job is done."""
    estimated_completion_time: Timestamp | None
    suggested_next_poll_time: Timestamp | None
    error: JobError | None
    """While `retrying`: the last attempt's."""
    result_summary: ResultSummary | None


class JobDetail(Job, frozen=True, kw_only=True):
    """A job with what was submitted and what came of it."""

    args: msgspec.Raw
    result: msgspec.Raw
    """The JSON value, when it is short enough to stand here; else null."""
    result_info: ResultInfo | None
    principal: str
    timeout_seconds: float
    retention_seconds: int
    start_before: Timestamp | None
    callback_url: str | None
    trace_id: str | None
    request_id: str | None
    """The X-Request-Id that was sent with the submission."""
    progress_done: int | None
    progress_total: int | None
    charged_attempts: int
    """Failures and crashes: what `max_attempts` bounds. `attempt` counts starts."""
    logs_url: str | None
    artifacts_url: str
    retry_url: str | None
    retry_of: str | None
    retried_as: str | None
    batch_index: int | None
    waiting_for: str | None
    """Why it is not running: run_at, backoff, slot, queue_limit, queue_paused, handler_missing or
    storage_full."""


class JobCreated(JobDetail, frozen=True, kw_only=True):
    """A job as its submission is answered."""

    job_token: str
    """Reads this job and cancels it, no more: as a Bearer token, or in `?access_token=`."""


class JobList(msgspec.Struct, frozen=True):
    """A page of jobs, newest first; only a null `next_page_token` says that it is the last."""

    jobs: list[Job]
    next_page_token: str | None


class Artifact(msgspec.Struct, frozen=True):
    """A file that a job left."""

    name: str
    size_bytes: int
    media_type: str
    sha256: str
    attempt: int
    url: str


class ArtifactList(msgspec.Struct, frozen=True):
    """The files that a job left, the newest of each name."""

    artifacts: list[Artifact]
    next_page_token: str | None = None
