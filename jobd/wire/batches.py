"""The documents of batches, what submits one, and what its callback is told.

Not here: the jobs themselves (jobs.py), problem documents (problems.py).
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from jobd.domain import batches as domain
from jobd.domain.statuses import Status
from jobd.wire.submission import SubmitRequest
from jobd.wire.times import Timestamp, from_ms, from_ms_or_none

_FIRST_POLL_S = 1
_LONGEST_POLL_S = 30
_OF_AGE = 4
"""A batch is worth another look after this part of its age."""


class BatchLine(SubmitRequest, frozen=True, kw_only=True):
    """One job of a batch: a submission, and its key if it has one."""

    idempotency_key: Annotated[str, Meta(pattern=r"^[ !#-~]{1,255}(?!\n)$")] | None = None


class BatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /v1/batches` takes as JSON; as NDJSON it takes one job a line."""

    jobs: Annotated[list[BatchLine], Meta(min_length=1)]


class RawBatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same, its jobs as they were written: each is judged by itself."""

    jobs: list[msgspec.Raw]


class JobCounts(msgspec.Struct, frozen=True):
    """Jobs of a batch by their status; a deleted one counts as it ended."""

    scheduled: int
    queued: int
    processing: int
    retrying: int
    completed: int
    failed: int
    cancelled: int


class BatchError(msgspec.Struct, frozen=True):
    """What is wrong with one line; it counts from 1."""

    line: int
    code: str
    detail: str
    pointer: str | None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that were submitted together. Loop until `done`."""

    batch_id: str
    status: str
    """processing until every job has ended, then completed."""
    done: bool
    partial: bool
    """With completed: some line was rejected, or some job has failed or was cancelled."""
    poll_url: str
    cancel_url: str
    retry_url: str
    jobs_url: str
    callback_url: str | None
    created_at: Timestamp
    completed_at: Timestamp | None
    expires_at: Timestamp | None
    total: int
    """Lines."""
    accepted: int
    rejected: int
    replayed: int
    """Accepted lines whose idempotency keys named jobs of before, which are in no count here."""
    jobs: JobCounts
    retry_of: str | None
    """The batch of whose jobs these are retries."""


class BatchDetail(Batch, frozen=True, kw_only=True):
    """A batch with what became of its lines."""

    job_ids: list[str | None]
    """Of the first 1000 lines; null where one was rejected."""
    errors: list[BatchError]
    """The first 100."""
    errors_truncated: bool


class BatchList(msgspec.Struct, frozen=True):
    """A page of batches, newest first; only a null `next_page_token` says that it is the last."""

    batches: list[Batch]
    next_page_token: str | None


class BatchWebhook(msgspec.Struct, frozen=True):
    """The body of the webhook that says that a batch has completed."""

    type: str
    timestamp: Timestamp
    data: Batch


def render_batch(batch: domain.Batch, *, public_url: str = "") -> Batch:
    """Return the document of a batch in a list."""
    return Batch(**_fields(batch, public_url))


def render_detail(batch: domain.Batch, *, public_url: str = "") -> BatchDetail:
    """Return the document of one batch, which was read in detail."""
    lines = {error.line for error in batch.errors}
    full = len(batch.errors) >= domain.MAX_ERRORS
    return BatchDetail(
        **_fields(batch, public_url),
        job_ids=batch.job_ids,
        errors=[
            BatchError(error.line, error.code, error.detail, error.pointer)
            for error in batch.errors
        ],
        errors_truncated=full and len(lines) < batch.total - batch.accepted,
    )


def encode_batch_notice(batch: domain.Batch, *, public_url: str = "") -> bytes:
    """Return the body of the webhook that says that `batch` has completed."""
    at = from_ms(batch.finished_at_ms or 0)
    data = Batch(**_fields(batch, public_url))
    return msgspec.json.encode(BatchWebhook(domain.COMPLETED_TYPE, at, data))


def retry_after_s(batch: domain.Batch, now_ms: int) -> int | None:
    """Return when asking again is worth it; None when the batch is done."""
    if batch.done:
        return None
    age_s = (now_ms - batch.created_at_ms) // 1000
    return max(_FIRST_POLL_S, min(age_s // _OF_AGE, _LONGEST_POLL_S))


def _fields(batch: domain.Batch, public_url: str = "") -> dict[str, Any]:
    url = f"{public_url}/v1/batches/{batch.batch_id}"
    total = batch.total if batch.loaded else batch.written
    jobs = _counts(batch.jobs)
    return {
        "batch_id": batch.batch_id,
        "status": "completed" if batch.done else "processing",
        "done": batch.done,
        "partial": batch.done and bool(jobs.failed + jobs.cancelled + total - batch.accepted),
        "poll_url": url,
        "cancel_url": f"{url}/cancel",
        "retry_url": f"{url}/retry",
        "jobs_url": f"{public_url}/v1/jobs?batch_id={batch.batch_id}",
        "callback_url": batch.callback_url,
        "created_at": from_ms(batch.created_at_ms),
        "completed_at": from_ms_or_none(batch.finished_at_ms),
        "expires_at": from_ms_or_none(batch.expires_at_ms),
        "total": total,
        "accepted": batch.accepted,
        "rejected": total - batch.accepted if batch.loaded else 0,
        "replayed": batch.replayed,
        "jobs": jobs,
        "retry_of": batch.retry_of,
    }


def _counts(jobs: Mapping[Status, int]) -> JobCounts:
    return JobCounts(**{status.value: count for status, count in jobs.items()})
