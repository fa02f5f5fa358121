"""How a job of the domain looks on the wire.

One clock reading renders one answer: `suggested_next_poll_time` and the Retry-After
header come from the same number. Not here: the Structs (jobs.py), headers (api/).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from jobd.domain import jobs as domain
from jobd.domain.estimates import UNKNOWN, Estimate
from jobd.domain.events import Event
from jobd.domain.statuses import Status
from jobd.wire.events import JobEvent, PastEvent
from jobd.wire.jobs import (
    Artifact,
    ArtifactList,
    Job,
    JobDetail,
    JobError,
    ResultInfo,
    ResultSummary,
)
from jobd.wire.times import from_ms, from_ms_or_none
from jobd.wire.uploads import Upload

LONGEST_POLL_S = 30
LONGEST_POLL_OF_DUE_S = 60

_SHARE_OF_WAIT = 0.25
_SHARE_OF_RUN = 0.2
"""Of the estimated time, until the next poll."""

_UNFINISHED_PCT = 99.9
_NULL = msgspec.Raw(b"null")


def retry_after_s(job: domain.Job, now_ms: int, estimate: Estimate = UNKNOWN) -> int | None:
    """Return when asking again is worth it: whole seconds from 1; None when the job is done.

    A job with a due time is worth asking at that time, one whose start or end can be
    estimated after a part of the time till then. Of any other nothing is known but its
    age: waiting as long again, in powers of two, finds its end late by at most as much as
    it took.
    """
    match job.status:
        case Status.SCHEDULED | Status.RETRYING:
            return _till_due_s(job.run_at_ms or now_ms, now_ms)
        case Status.QUEUED:
            return _part_s(_SHARE_OF_WAIT, estimate.starts_in_s, now_ms - job.updated_at_ms)
        case Status.PROCESSING:
            age_ms = now_ms - (job.started_at_ms or now_ms)
            return _part_s(_SHARE_OF_RUN, estimate.ends_in_s, age_ms)
        case _:
            return None


def new_retry_after_s(new: domain.NewJob, now_ms: int, estimate: Estimate) -> int:
    """Return the same of a job that has just been stored."""
    if new.run_at_ms is not None:
        return _till_due_s(new.run_at_ms, now_ms)
    return _part_s(_SHARE_OF_WAIT, estimate.starts_in_s, now_ms - new.created_at_ms)


def _till_due_s(run_at_ms: int, now_ms: int) -> int:
    return min(max(math.ceil((run_at_ms - now_ms) / 1000), 1), LONGEST_POLL_OF_DUE_S)


def _part_s(share: float, known_s: float | None, age_ms: int) -> int:
    if known_s is not None:
        wanted_s = share * known_s
        return 1 if wanted_s <= 1 else min(math.ceil(wanted_s), LONGEST_POLL_S)
    return min(1 << max((max(age_ms, 0) // 1000).bit_length() - 1, 0), LONGEST_POLL_S)


def render_job(
    job: domain.Job, now_ms: int, estimate: Estimate = UNKNOWN, *, public_url: str = ""
) -> Job:
    """Return the document of `job` as lists carry it; its URLs begin with `public_url`."""
    return Job(**_fields(job, now_ms, estimate, None, public_url))


def render_detail(
    job: domain.Job,
    now_ms: int,
    *,
    inline_result_bytes: int,
    estimate: Estimate = UNKNOWN,
    waiting_for: str | None = None,
    queue_position: int | None = None,
    public_url: str = "",
) -> JobDetail:
    """Return the whole document of `job`, which was read in detail.

    A JSON result up to `inline_result_bytes` stands in it. Raises ValueError without the
    inputs.
    """
    inputs = job.inputs
    if inputs is None:
        raise ValueError(f"{job.job_id} was not read in detail")
    result = job.result
    body = result.body if result is not None else None
    inline = body is not None and len(body) <= inline_result_bytes
    progress = job.progress
    url = _url(job, public_url)
    return JobDetail(
        **_fields(job, now_ms, estimate, queue_position, public_url),
        args=msgspec.Raw(inputs.args),
        result=msgspec.Raw(body) if body is not None and inline else _NULL,
        result_info=None if result is None else _result_info(result),
        principal=job.principal,
        timeout_seconds=job.timeout_ms / 1000,
        retention_seconds=job.retention_ms // 1000,
        start_before=from_ms_or_none(job.start_before_ms),
        callback_url=inputs.callback_url,
        trace_id=None if inputs.traceparent is None else inputs.traceparent.split("-")[1],
        request_id=inputs.request_id,
        progress_done=None if progress is None else progress.done,
        progress_total=None if progress is None else progress.total,
        charged_attempts=job.failures + job.crashes,
        logs_url=f"{url}/logs",
        artifacts_url=f"{url}/artifacts",
        retry_url=f"{url}/retry" if _may_be_retried(job) else None,
        retry_of=job.retry_of,
        retried_as=job.retried_as,
        batch_index=job.batch_index,
        waiting_for=waiting_for,
    )


def _fields(
    job: domain.Job,
    now_ms: int,
    estimate: Estimate,
    queue_position: int | None,
    public_url: str,
) -> dict[str, Any]:
    url = _url(job, public_url)
    status = job.status
    poll_s = retry_after_s(job, now_ms, estimate)
    ends_in_s = estimate.ends_in_s
    progress = job.progress
    completed = status is Status.COMPLETED
    return {
        "job_id": job.job_id,
        "kind": job.kind,
        "queue": job.queue,
        "status": status,
        "done": poll_s is None,
        "partial": job.partial,
        "poll_url": url,
        "events_url": f"{url}/events",
        "cancel_url": f"{url}/cancel",
        "result_url": f"{url}/result" if completed and job.has_result else None,
        "priority": job.priority,
        "metadata": job.metadata,
        "batch_id": job.batch_id,
        "created_at": from_ms(job.created_at_ms),
        "updated_at": from_ms(job.updated_at_ms),
        "run_at": from_ms_or_none(_asked_run_at_ms(job)),
        "started_at": from_ms_or_none(job.started_at_ms),
        "completed_at": from_ms_or_none(job.finished_at_ms),
        "expires_at": from_ms_or_none(job.expires_at_ms),
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "next_attempt_at": (from_ms_or_none(job.run_at_ms) if status is Status.RETRYING else None),
        "cancel_requested": job.cancel_requested,
        "queue_position": queue_position,
        "progress_pct": 100.0 if completed else _unfinished_pct(progress),
        "step": None if progress is None else progress.step,
        "step_index": None if progress is None else progress.step_index,
        "step_count": None if progress is None else progress.step_count,
        "message": None if progress is None else progress.message,
        "estimated_duration_seconds": estimate.duration_s,
        "estimated_completion_time": (
            None if ends_in_s is None else from_ms(now_ms + round(ends_in_s * 1000))
        ),
        "suggested_next_poll_time": None if poll_s is None else from_ms(now_ms + poll_s * 1000),
        "error": None if job.error is None else render_error(job.error),
        "result_summary": None if job.summary is None else _summary(job.summary),
    }


def _url(job: domain.Job, public_url: str) -> str:
    return f"{public_url}/v1/jobs/{job.job_id}"


def _may_be_retried(job: domain.Job) -> bool:
    return job.status in {Status.FAILED, Status.CANCELLED} and job.retried_as is None


def _asked_run_at_ms(job: domain.Job) -> int | None:
    """Return the due time that was submitted; with a retry the column holds the retry's."""
    ended = job.failures + job.crashes + job.snoozes
    retries = ended - 1 if job.status is Status.FAILED else ended
    return job.run_at_ms if retries <= 0 else None


def _unfinished_pct(progress: domain.Progress | None) -> float:
    if progress is None or progress.pct is None:
        return 0.0
    return min(progress.pct, _UNFINISHED_PCT)


def render_error(error: domain.JobError) -> JobError:
    """Return the document of why an attempt failed."""
    return JobError(
        error.code, error.message, error.retryable, error.failed_step, error.attempt, error.details
    )


def _summary(summary: domain.Summary) -> ResultSummary:
    return ResultSummary(summary.total, summary.succeeded, summary.failed)


def _result_info(result: domain.Result) -> ResultInfo:
    return ResultInfo(result.media_type, result.size_bytes, result.sha256, result.filename)


def render_event(event: Event, job: domain.Job, public_url: str = "") -> JobEvent:
    """Return what a stream says of `event`; `job` is as it was right after it."""
    data = render_job(job, event.at_ms, public_url=public_url)
    return JobEvent(event.type, from_ms(event.at_ms), data)


def render_past_event(event: Event, job: domain.Job, public_url: str = "") -> PastEvent:
    """Return what a history says of `event`; `job` is as it was right after it."""
    data = render_job(job, event.at_ms, public_url=public_url)
    return PastEvent(str(event.id), event.type, from_ms(event.at_ms), data)


def render_upload(upload: domain.Upload) -> Upload:
    """Return the document of an uploaded file."""
    return Upload(upload.file_id, upload.size_bytes, from_ms(upload.expires_at_ms))


def render_artifacts(
    artifacts: Iterable[domain.Artifact], url_of: Callable[[str], str]
) -> ArtifactList:
    """Return the document that lists `artifacts`; `url_of` says where each name is served."""
    return ArtifactList(
        [
            Artifact(a.name, a.size_bytes, a.media_type, a.sha256, a.attempt, url_of(a.name))
            for a in artifacts
        ]
    )
