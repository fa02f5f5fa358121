"""What a webhook says: the envelope of Standard Webhooks around a thin notice of the job.

Thin, because it goes to other parties: no args, no result, no message of an error; an
endpoint may be set to get the job as lists carry it. Either is the job as it stood right
after the event, whatever has happened since.

Not here: when it is sent, and its signature (webhooks/).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobd.domain import deliveries, history
from jobd.domain.events import Event
from jobd.domain.jobs import Job
from jobd.domain.statuses import TERMINAL, Status
from jobd.wire.rendering import render_event
from jobd.wire.times import Timestamp, from_ms

TEST = "webhook.test"
"""What an endpoint is tried with."""

DAEMON_TYPES = (
    "webhook.delivery_exhausted",
    "webhook.endpoint_disabled",
    "storage.low",
    "jobs.stuck",
)
"""What befalls the daemon itself, told to its operator."""


class NoticeError(msgspec.Struct, frozen=True):
    """Why an attempt failed, for machines; the job document has the message."""

    code: str
    retryable: bool
    failed_step: str | None


class JobNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A job as webhooks carry it; `updated_at` orders the notices of one job."""

    job_id: str
    kind: str
    queue: str
    status: str
    done: bool
    partial: bool
    attempt: int
    batch_id: str | None
    metadata: dict[str, str]
    error: NoticeError | None
    created_at: Timestamp
    updated_at: Timestamp
    completed_at: Timestamp | None
    poll_url: str
    result_url: str | None


class Webhook(msgspec.Struct, frozen=True):
    """The body of every webhook that tells of a job."""

    type: str
    timestamp: Timestamp
    data: JobNotice


class DaemonWebhook(msgspec.Struct, frozen=True):
    """The body of a webhook that tells of no job: a test, or what befalls the daemon itself."""

    type: str
    timestamp: Timestamp
    data: dict[str, Any]


def encode_daemon(type_: str, at_ms: int, data: Mapping[str, Any]) -> bytes:
    """Return the body of a webhook that tells of no job."""
    return msgspec.json.encode(DaemonWebhook(type_, from_ms(at_ms), dict(data)))


def encode_test(endpoint_id: str, at_ms: int) -> bytes:
    """Return the body of the webhook that an endpoint is tried with."""
    return encode_daemon(TEST, at_ms, {"endpoint_id": endpoint_id})


def encode_job(message: deliveries.Message, job: Job, *, public_url: str = "") -> bytes:
    """Return the body that tells of `message` with the whole job, as it stood right after it."""
    event = Event(
        message.event_id,
        message.seq,
        job.job_id,
        message.type,
        message.at_ms,
        message.attempt,
        message.data,
    )
    state = job if job.event_id == event.id else history.after(job, event)
    return msgspec.json.encode(render_event(event, state, public_url))


def encode_notice(message: deliveries.Message, job: Job, *, public_url: str = "") -> bytes:
    """Return the body of the webhook that tells of `message`, an event of `job`."""
    at = from_ms(message.at_ms)
    return msgspec.json.encode(Webhook(message.type, at, _notice(message, job, public_url)))


def _notice(message: deliveries.Message, job: Job, public_url: str) -> JobNotice:
    url = f"{public_url}/v1/jobs/{job.job_id}"
    status = _status(message.type)
    done = status in TERMINAL
    at = from_ms(message.at_ms)
    return JobNotice(
        job_id=job.job_id,
        kind=job.kind,
        queue=job.queue,
        status=status,
        done=done,
        partial=bool(message.data.get("partial")),
        attempt=message.attempt,
        batch_id=job.batch_id,
        metadata=job.metadata,
        error=_error(message.data.get("error")),
        created_at=from_ms(job.created_at_ms),
        updated_at=at,
        completed_at=at if done else None,
        poll_url=url,
        result_url=f"{url}/result" if message.data.get("has_result") else None,
    )


def _status(type_: str) -> Status:
    """Return the status that an event left; those that name none are of a running job."""
    word = type_.removeprefix("job.")
    return Status(word) if word in list(Status) else Status.PROCESSING


def _error(error: dict[str, Any] | None) -> NoticeError | None:
    if error is None:
        return None
    return NoticeError(error["code"], error["retryable"], error["failed_step"])
