"""Deliveries of webhooks as clients see them, each with its last attempt, or with all.

Not here: what was sent (webhooks.py), what becomes of a delivery (domain/deliveries.py).
"""

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from jobd.wire.times import Timestamp, from_ms, from_ms_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.domain import deliveries as domain

Status = Literal["pending", "retrying", "succeeded", "dead"]
Over = Literal["dead", "succeeded"]


class DeliveryAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request and what came of it."""

    attempt: int
    started_at: Timestamp
    duration_ms: int
    status_code: int | None
    """Of the answer; null if there was none."""
    error: str | None
    """Why it was no success; null if it was one."""
    response_excerpt: str | None
    """How the answer began, if that was text: 1 KiB at most."""
    response_headers: dict[str, str]
    """Of the answer's headers retry-after and content-type."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message on its way to one receiver."""

    delivery_id: str
    message_id: str
    """The webhook-id: the same for every attempt, and when it is delivered anew."""
    principal: str
    """Whose endpoint or job it is."""
    endpoint_id: str | None
    """Null when it goes to the callback URL of a job or batch."""
    url: str
    receiver: str
    """Who is dialled: what is sent there has its turn together."""
    event_type: str
    job_id: str | None
    """Null when it tells of no job."""
    status: str
    attempt_count: int
    next_attempt_at: Timestamp | None
    """When it is due; it may wait longer for a receiver that fails."""
    created_at: Timestamp
    last_attempt: DeliveryAttempt | None
    dead_reason: str | None
    """Why it was given up."""


class DeliveryDetail(Delivery, frozen=True, kw_only=True):
    """A delivery with all its attempts."""

    attempts: list[DeliveryAttempt]
    """Oldest first."""


class DeliveryList(msgspec.Struct, frozen=True):
    """A page of deliveries, newest first; only a null `next_page_token` says it is the last."""

    deliveries: list[Delivery]
    next_page_token: str | None


class RedeliverRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries are to be sent anew: those that fit all that is said."""

    status: Over = "dead"
    endpoint_id: str | None = None
    job_id: str | None = None
    since: Timestamp | None = None
    """Only what was made from then on."""
    all: bool = False
    """Everybody's, which takes the scope `operate`."""


class Redelivered(msgspec.Struct, frozen=True):
    """How many deliveries are due anew."""

    redelivered: int


def render_delivery(delivery: "domain.DeliveryView") -> Delivery:
    """Return the document of a delivery in a list."""
    return Delivery(**_fields(delivery))


def render_detail(delivery: "domain.DeliveryView") -> DeliveryDetail:
    """Return the document of a delivery that was read with all its attempts."""
    return DeliveryDetail(**_fields(delivery), attempts=_attempts(delivery.attempts))


def _fields(seen: "domain.DeliveryView") -> dict[str, Any]:
    delivery = seen.delivery
    return {
        "delivery_id": delivery.delivery_id,
        "message_id": delivery.message_id,
        "principal": delivery.principal,
        "endpoint_id": delivery.endpoint_id,
        "url": delivery.url,
        "receiver": delivery.receiver,
        "event_type": seen.type,
        "job_id": seen.job_id,
        "status": delivery.status,
        "attempt_count": delivery.attempt_count,
        "next_attempt_at": from_ms_or_none(delivery.next_attempt_at_ms),
        "created_at": from_ms(delivery.created_at_ms),
        "last_attempt": next(reversed(_attempts(seen.attempts[-1:])), None),
        "dead_reason": delivery.dead_reason,
    }


def _attempts(attempts: "Sequence[domain.DeliveryAttempt]") -> list[DeliveryAttempt]:
    return [
        DeliveryAttempt(
            attempt=one.attempt,
            started_at=from_ms(one.started_at_ms),
            duration_ms=one.duration_ms,
            status_code=one.status_code,
            error=one.error,
            response_excerpt=one.response_excerpt,
            response_headers=one.response_headers,
        )
        for one in attempts
    ]
