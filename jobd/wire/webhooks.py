"""What a webhook says: the envelope of Standard Webhooks around a thin notice of the job.

Thin, because it goes to other parties: no args, no result, no message of an error. The
notice is the job as it stood right after the event, whatever has happened since.

Not here: when it is sent, and its signature (webhooks/).
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from jobd.domain import deliveries
from jobd.domain.jobs import Job
from jobd.domain.statuses import TERMINAL, Status
from jobd.wire.times import Timestamp, from_ms, from_ms_or_none

MAX_OVERLAP_S = 30 * 86400


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
    """The body of every webhook."""

    type: str
    timestamp: Timestamp
    data: JobNotice


class RotateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a rotation of the secret takes."""

    overlap_seconds: Annotated[float, Meta(ge=0, le=MAX_OVERLAP_S)] = 86400.0
    """How long the secret before signs too."""


class RotatedEndpoint(msgspec.Struct, frozen=True):
    """An endpoint with its new secret, which is shown this once."""

    endpoint_id: str
    secret: str
    previous_secret_expires_at: Timestamp | None
    """Until when the secret before signs too; null if there was none."""


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


def render_rotated(endpoint_id: str, rotated: deliveries.RotatedSecret) -> RotatedEndpoint:
    """Return the document that shows an endpoint's new secret."""
    return RotatedEndpoint(endpoint_id, rotated.secret, from_ms_or_none(rotated.previous_until_ms))
