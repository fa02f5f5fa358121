"""Webhook endpoints: receivers that a principal has registered, and what they are told of.

An endpoint is told of the events of its principal's jobs, as far as its filters let them
through. All of them are few and stand in memory (`Endpoints`), so that an event costs no
look at the file when nobody wants it.

Not here: where they are stored (store/endpoints.py), what is sent (webhooks/), the
one-off receivers that jobs name (`callback_url`: domain/deliveries.py).
"""

import math
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from jobd.domain import signing
from jobd.domain.batches import COMPLETED_TYPE
from jobd.domain.deliveries import Payload, Policy, parse_target
from jobd.domain.errors import FieldError, Invalid, pointer
from jobd.domain.events import CALLBACK_TYPES, TERMINAL_TYPES
from jobd.domain.queues import NAME

ID_PREFIX = "whe_"

OPS = "jobd:ops"
"""The principal whose secret signs what befalls the daemon itself."""

MAX_PER_PRINCIPAL = 100

MIN_RATE_PER_S = 0.01
MAX_RATE_PER_S = 1000.0
MAX_FILTERS = 100
MAX_DESCRIPTION_CHARS = 500


EVENT_TYPES: tuple[str, ...] = (*CALLBACK_TYPES, COMPLETED_TYPE)
"""What an endpoint can be told of."""

DEFAULT_EVENTS = TERMINAL_TYPES
"""What it is told of unless it says."""

_ANY = ".*"
_MEMORY = 4096
"""So many answers are remembered; the names of queues are their users'."""

_SHORTEST_SECRET_BYTES = 24

_Words = tuple[str, ...] | UnsetType | None

DisabledReason = Literal["gone", "failing"]
"""Why the daemon has disabled one: it answered 410, or did nothing but fail for days."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A registered receiver. None for events: DEFAULT_EVENTS; for kinds and queues: all.

    While it is not enabled no deliveries are made for it; while it is paused they are made
    and wait. `version` grows with every change.
    """

    endpoint_id: str
    principal: str
    url: str
    events: tuple[str, ...] | None
    kinds: tuple[str, ...] | None
    queues: tuple[str, ...] | None
    payload: Payload
    rate_per_s: float | None
    enabled: bool
    paused: bool
    description: str
    created_at_ms: int
    updated_at_ms: int
    version: int
    failing_since_ms: int | None = None
    disabled_at_ms: int | None = None
    disabled_reason: DisabledReason | None = None
    secret: str
    previous_secret: str | None = None
    previous_until_ms: int | None = None

    def secrets(self, now_ms: int) -> tuple[str, ...]:
        """Return the secrets that sign now, the newest first."""
        if self.previous_secret and self.previous_until_ms and now_ms < self.previous_until_ms:
            return (self.secret, self.previous_secret)
        return (self.secret,)


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that is to be; see Endpoint. `secret` is its owner's own or `new_secret()`."""

    endpoint_id: str
    principal: str
    url: str
    secret: str
    events: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    queues: tuple[str, ...] | None = None
    payload: Payload = "notice"
    rate_per_s: float | None = None
    enabled: bool = True
    paused: bool = False
    description: str = ""


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of an endpoint; the rest stays. `version`, if given, must be its own.

    Enabling it forgets what it was disabled for.
    """

    endpoint_id: str
    principal: str
    version: int | None = None
    url: str | UnsetType = UNSET
    events: tuple[str, ...] | UnsetType | None = UNSET
    kinds: tuple[str, ...] | UnsetType | None = UNSET
    queues: tuple[str, ...] | UnsetType | None = UNSET
    payload: Payload | UnsetType = UNSET
    rate_per_s: float | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    description: str | UnsetType = UNSET


class EndpointRemoval(NamedTuple):
    """A wish to delete an endpoint; `version`, if given, must be its own."""

    endpoint_id: str
    principal: str
    version: int | None = None


class EndpointRotation(NamedTuple):
    """A wish for another secret; the one before signs beside it for `overlap_ms`."""

    endpoint_id: str
    principal: str
    secret: str
    overlap_ms: int


class Health(NamedTuple):
    """How the last attempts at an endpoint went."""

    endpoint_id: str
    ok: bool
    at_ms: int


class Disabling(NamedTuple):
    """The daemon's wish that an endpoint be told no more."""

    endpoint_id: str
    reason: DisabledReason


def matches(endpoint: Endpoint, event_type: str, kind: str | None, queue: str | None) -> bool:
    """Whether an endpoint wants to be told of an event; only a batch has no kind and queue.

    A batch is only told to those that have no filter for what it lacks. Whether the endpoint
    is enabled is not looked at.
    """
    if event_type not in (endpoint.events or DEFAULT_EVENTS):
        return False
    if endpoint.queues is not None and queue not in endpoint.queues:
        return False
    if endpoint.kinds is None:
        return True
    return kind is not None and any(_is_of(kind, pattern) for pattern in endpoint.kinds)


def _is_of(kind: str, pattern: str) -> bool:
    if pattern.endswith(_ANY):
        return kind.startswith(pattern[: -len("*")])
    return kind == pattern


class Endpoints:
    """All endpoints that there are, as of one commit; a change makes another such object."""

    def __init__(self, endpoints: Iterable[Endpoint] = ()) -> None:
        self._by_id = {one.endpoint_id: one for one in endpoints}
        enabled = [one for one in self._by_id.values() if one.enabled]
        self.types: frozenset[str] = frozenset().union(
            *(one.events or DEFAULT_EVENTS for one in enabled)
        )
        """What any of them is told of; empty: there is none to tell."""
        self._enabled: dict[str, list[Endpoint]] = {}
        for one in enabled:
            self._enabled.setdefault(one.principal, []).append(one)
        self._matching: dict[tuple[str, str, str | None, str | None], list[Endpoint]] = {}

    def get(self, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint; None if there is none."""
        return self._by_id.get(endpoint_id)

    def of(self, principal: str | None) -> list[Endpoint]:
        """Return a principal's endpoints, or everybody's, the oldest first."""
        mine = (one for one in self._by_id.values() if principal in {None, one.principal})
        return sorted(mine, key=lambda one: one.endpoint_id)

    def told(
        self, principal: str, event_type: str, kind: str | None, queue: str | None
    ) -> list[Endpoint]:
        """Return the endpoints that are to be told of an event of a principal's job."""
        mine = self._enabled.get(principal)
        if mine is None:
            return []
        about = (principal, event_type, kind, queue)
        found = self._matching.get(about)
        if found is None:
            found = [one for one in mine if matches(one, event_type, kind, queue)]
            if len(self._matching) >= _MEMORY:
                self._matching.clear()
            self._matching[about] = found
        return found

    def put(self, endpoint: Endpoint) -> "Endpoints":
        """Return these with one that is new, or as it is now."""
        return Endpoints((self._by_id | {endpoint.endpoint_id: endpoint}).values())

    def without(self, endpoint_id: str) -> "Endpoints":
        """Return these without that one."""
        return Endpoints(one for one in self._by_id.values() if one.endpoint_id != endpoint_id)


def check(given: NewEndpoint | EndpointChange, policy: Policy) -> None:
    """Raise Invalid for what an endpoint may not be; looks up no name.

    `callback_url_forbidden` for a URL that is not to be sent to, else `validation_error`;
    each error has a pointer.
    """
    if isinstance(given.url, str):
        _check_url(given.url, policy)
    errors = [
        *_wrong_events(given.events),
        *_wrong_names("kinds", given.kinds),
        *_wrong_names("queues", given.queues),
        *_wrong_rate(given.rate_per_s),
    ]
    if isinstance(given.description, str) and len(given.description) > MAX_DESCRIPTION_CHARS:
        errors.append(_error(f"has at most {MAX_DESCRIPTION_CHARS} characters", "description"))
    if isinstance(given, NewEndpoint):
        errors += _wrong_secret(given.secret)
    if errors:
        raise Invalid("validation_error", "The endpoint cannot be like that.", errors=tuple(errors))


def _check_url(url: str, policy: Policy) -> None:
    try:
        parse_target(url, policy)
    except Invalid as refused:
        errors = tuple(msgspec.structs.replace(one, pointer="#/url") for one in refused.errors)
        raise Invalid(refused.code, refused.detail, errors=errors) from refused


def _wrong_events(events: _Words) -> Iterator[FieldError]:
    if not isinstance(events, tuple):
        return
    yield from _wrong_number("events", events)
    known = ", ".join(EVENT_TYPES)
    for n, type_ in enumerate(events):
        if type_ not in EVENT_TYPES:
            yield _error(f"is no event that can be told; there are {known}", "events", n)


def _wrong_names(field: Literal["kinds", "queues"], names: _Words) -> Iterator[FieldError]:
    if not isinstance(names, tuple):
        return
    yield from _wrong_number(field, names)
    for n, name in enumerate(names):
        plain = name.removesuffix(_ANY) if field == "kinds" else name
        if not NAME.fullmatch(plain):
            yield _error("is no name" + (", and no name.*" * (field == "kinds")), field, n)


def _wrong_number(field: str, words: tuple[str, ...]) -> Iterator[FieldError]:
    if not words:
        yield _error("is null for all, or names at least one", field)
    if len(words) > MAX_FILTERS:
        yield _error(f"has at most {MAX_FILTERS} entries", field)


def _wrong_rate(rate_per_s: float | UnsetType | None) -> Iterator[FieldError]:
    if isinstance(rate_per_s, int | float) and not (
        math.isfinite(rate_per_s) and MIN_RATE_PER_S <= rate_per_s <= MAX_RATE_PER_S
    ):
        yield _error(
            f"is null, or from {MIN_RATE_PER_S} to {MAX_RATE_PER_S:.0f}", "rate_per_second"
        )


def _wrong_secret(secret: str) -> Iterator[FieldError]:
    try:
        size = len(signing.key_of(secret))
    except ValueError:
        size = 0
    if not secret.startswith(signing.PREFIX) or size < _SHORTEST_SECRET_BYTES:
        yield _error("is whsec_ and the base64 of 24 to 64 bytes", "secret")


def _error(detail: str, *path: str | int) -> FieldError:
    return FieldError(detail, pointer=pointer(path))


class Outright(msgspec.Struct, frozen=True, kw_only=True):
    """A message about no job, with its body as it is sent: a test, or of the daemon itself.

    It goes to an endpoint, or without one to `url`, signed with the secrets of `principal`.
    """

    type: str
    body: bytes
    principal: str
    url: str
    endpoint_id: str | None = None
