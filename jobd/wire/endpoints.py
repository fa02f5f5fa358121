"""Registered endpoints as clients see them, and what clients may say of them.

Not here: what is sent to them (webhooks.py), what may be set (domain/endpoints.py).
"""

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from jobd.wire.times import Timestamp, from_ms, from_ms_or_none

if TYPE_CHECKING:
    from jobd.domain import deliveries
    from jobd.domain import endpoints as domain

MAX_OVERLAP_S = 30 * 86400

Payload = Literal["notice", "job"]

_HINT_CHARS = 4


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A place that is told of events. Its secret is shown once; here only how it ends."""

    endpoint_id: str
    principal: str
    """Whose jobs it is told of."""
    url: str
    events: list[str] | None
    """Types of events; null is the three that end a job."""
    kinds: list[str] | None
    """Kinds of jobs, `name.*` for all that begin so; null is every kind."""
    queues: list[str] | None
    """Queues of jobs; null is every queue."""
    payload: str
    """notice: who and what became of it, no content. job: the job as lists carry it."""
    rate_per_second: float | None
    """At most so many requests; null is as fast as it answers."""
    enabled: bool
    """Without it nothing is sent, and what waited is dead."""
    paused: bool
    """While it is, deliveries are made and wait."""
    description: str
    secret_hint: str
    disabled_reason: str | None
    """Why jobd has disabled it: gone (it answered 410), failing (for days); else null."""
    failing_since: Timestamp | None
    """Since when nothing that was sent has arrived."""
    created_at: Timestamp
    updated_at: Timestamp


class NewEndpoint(Endpoint, frozen=True, kw_only=True):
    """An endpoint that has just been registered, with its secret, which is shown this once."""

    secret: str


class EndpointList(msgspec.Struct, frozen=True):
    """A page of endpoints, oldest first; only a null `next_page_token` says it is the last."""

    endpoints: list[Endpoint]
    next_page_token: str | None = None


class EndpointRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /v1/webhook-endpoints` takes."""

    url: str
    """https, or what the operator has allowed: http, `unix:/path.sock:/url`."""
    events: list[str] | None = None
    """Types of events; null is the three that end a job."""
    kinds: list[str] | None = None
    """Kinds of jobs, `name.*` for all that begin so; null is every kind."""
    queues: list[str] | None = None
    payload: Payload = "notice"
    rate_per_second: float | None = None
    enabled: bool = True
    paused: bool = False
    description: str = ""
    secret: str | None = None
    """One of your own, `whsec_` and base64 of 24 to 64 bytes; null has jobd make one."""


class EndpointPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `PATCH /v1/webhook-endpoints/{endpoint_id}` takes; what is left out stays."""

    url: str | UnsetType = UNSET
    events: list[str] | UnsetType | None = UNSET
    kinds: list[str] | UnsetType | None = UNSET
    queues: list[str] | UnsetType | None = UNSET
    payload: Payload | UnsetType = UNSET
    rate_per_second: float | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    """True also forgets why jobd has disabled it by itself."""
    paused: bool | UnsetType = UNSET
    description: str | UnsetType = UNSET


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


def render_endpoint(endpoint: "domain.Endpoint") -> Endpoint:
    """Return the document of an endpoint."""
    return Endpoint(
        endpoint_id=endpoint.endpoint_id,
        principal=endpoint.principal,
        url=endpoint.url,
        events=_list(endpoint.events),
        kinds=_list(endpoint.kinds),
        queues=_list(endpoint.queues),
        payload=endpoint.payload,
        rate_per_second=endpoint.rate_per_s,
        enabled=endpoint.enabled,
        paused=endpoint.paused,
        description=endpoint.description,
        secret_hint=f"whsec_…{endpoint.secret[-_HINT_CHARS:]}",
        disabled_reason=endpoint.disabled_reason,
        failing_since=from_ms_or_none(endpoint.failing_since_ms),
        created_at=from_ms(endpoint.created_at_ms),
        updated_at=from_ms(endpoint.updated_at_ms),
    )


def render_new(endpoint: "domain.Endpoint") -> NewEndpoint:
    """Return the document that shows an endpoint's secret."""
    fields = msgspec.structs.asdict(render_endpoint(endpoint))
    return NewEndpoint(**fields, secret=endpoint.secret)


def render_rotated(endpoint_id: str, rotated: "deliveries.RotatedSecret") -> RotatedEndpoint:
    """Return the document that shows an endpoint's new secret."""
    return RotatedEndpoint(endpoint_id, rotated.secret, from_ms_or_none(rotated.previous_until_ms))


def _list(words: tuple[str, ...] | None) -> list[str] | None:
    return None if words is None else list(words)
