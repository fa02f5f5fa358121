"""Messages, their deliveries and attempts, and the decisions about them: whereto, what next.

A message is one event, rendered once. A delivery brings it to one URL by as many attempts
as it takes; it ends `succeeded`, or `dead` with the reason: a dead letter.

Not here: the message's signature (signing.py), which addresses may be dialled
(webhooks/egress.py), the breaker of a receiver that fails (breaker.py), endpoints
(endpoints.py).
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import msgspec

from jobd.domain.errors import FieldError, Invalid

if TYPE_CHECKING:
    from jobd.domain.endpoints import Endpoint

MAX_URL_CHARS = 2048

MAX_RETRY_AFTER_S = 24 * 3600.0
"""The longest a receiver can put a delivery off."""

DISABLED_AFTER_S = 5 * 24 * 3600.0
"""An endpoint of which every attempt has failed for so long is disabled."""

_LATE_S = 60.0
"""What a schedule may take beyond its waits and attempts: nobody is punctual to the second."""

Address = IPv4Address | IPv6Address

DeadReason = Literal[
    "exhausted",
    "gone",
    "blocked_address",
    "endpoint_disabled",
    "endpoint_deleted",
    "callback_not_allowed",
]

AttemptError = Literal[
    "dns", "connect", "tls", "timeout", "blocked_address", "http_status", "protocol"
]


class DeliveryStatus(StrEnum):
    """Where a delivery is in its life; it is attempted again while pending or retrying."""

    PENDING = "pending"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    DEAD = "dead"


Payload = Literal["notice", "job"]
"""What a body carries: a thin notice, or the job as lists show it."""


class Message(msgspec.Struct, frozen=True):
    """One event that somebody is told of. `body` is what is sent, None until it is rendered.

    `attempt` and `data` are those of the job's event, for the rendering. A message has one
    body for each payload; this is the one of `payload`. `seq` is 0 if it is about no job.
    """

    message_id: str
    seq: int
    event_id: int
    type: str
    at_ms: int
    attempt: int = 0
    data: dict[str, Any] = {}
    traceparent: str | None = None
    body: bytes | None = None
    payload: Payload = "notice"


class Body(NamedTuple):
    """A body that was rendered, to be saved before it is sent to anybody."""

    message_id: str
    payload: Payload
    body: bytes


class Delivery(msgspec.Struct, frozen=True):
    """One message on its way to one receiver.

    It goes to a registered endpoint and is signed with its secrets, or to a `callback_url`,
    signed with those of `principal`. Its schedule began at `begun_at_ms`, when
    `earlier_attempts` had been made: more than none if it is delivered once more.
    """

    delivery_id: str
    message_id: str
    principal: str
    url: str
    status: DeliveryStatus
    attempt_count: int
    created_at_ms: int
    next_attempt_at_ms: int | None
    dead_reason: DeadReason | None = None
    endpoint_id: str | None = None
    receiver: str = ""
    begun_at_ms: int = 0
    earlier_attempts: int = 0


class DeliveryAttempt(msgspec.Struct, frozen=True):
    """What one POST came to. Of the answer's headers retry-after and content-type are kept."""

    attempt: int
    started_at_ms: int
    duration_ms: int
    status_code: int | None = None
    error: AttemptError | None = None
    response_excerpt: str | None = None
    response_headers: dict[str, str] = {}


class Due(msgspec.Struct, frozen=True):
    """A delivery whose next attempt may be made now.

    `endpoint` is as it is by now, None for a callback and for an endpoint that is gone; the
    delivery's URL is the endpoint's if there is one.
    """

    delivery: Delivery
    message: Message
    endpoint: "Endpoint | None" = None


class DeliveryView(msgspec.Struct, frozen=True):
    """A delivery as people see it: what it tells of, and its attempts, oldest first.

    In a list there is only the last attempt. `job_id` is None if it tells of no job.
    """

    delivery: Delivery
    type: str
    job_id: str | None
    attempts: tuple[DeliveryAttempt, ...]


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries of a principal, None: of all: those that fit all that is said."""

    principal: str | None
    status: DeliveryStatus | None = None
    endpoint_id: str | None = None
    job_id: str | None = None
    since_ms: int | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a delivery after an attempt; `delay_s` only with retrying."""

    status: DeliveryStatus
    delay_s: float | None = None
    dead_reason: DeadReason | None = None


class Attempted(msgspec.Struct, frozen=True):
    """An attempt that is over and what it means, ready to be recorded."""

    delivery_id: str
    attempt: DeliveryAttempt
    verdict: Verdict


class RotatedSecret(msgspec.Struct, frozen=True):
    """An endpoint's new secret; the one before signs beside it until `previous_until_ms`."""

    secret: str
    previous_until_ms: int | None


def next_attempt(
    schedule_s: Sequence[float],
    attempt: DeliveryAttempt,
    random: Callable[[], float],
    *,
    earlier: int = 0,
) -> Verdict:
    """Return what follows from an attempt; `random` gives [0, 1).

    `earlier` attempts belong to schedules before this one.

    `schedule_s` holds the wait after each attempt, ±10 % so that what failed together does
    not come back together; a receiver's Retry-After can only make it longer. Redirects
    are failures: where they lead nobody has checked.
    """
    if attempt.error is None:
        return Verdict(DeliveryStatus.SUCCEEDED)
    if attempt.error == "blocked_address":
        return Verdict(DeliveryStatus.DEAD, dead_reason="blocked_address")
    if attempt.status_code == HTTPStatus.GONE:
        return Verdict(DeliveryStatus.DEAD, dead_reason="gone")
    ordinal = attempt.attempt - earlier
    if ordinal > len(schedule_s):
        return Verdict(DeliveryStatus.DEAD, dead_reason="exhausted")
    delay_s = schedule_s[ordinal - 1] * (0.9 + 0.2 * random())
    return Verdict(DeliveryStatus.RETRYING, delay_s=max(delay_s, _retry_after_s(attempt)))


def age_limit_s(schedule_s: Sequence[float], timeout_s: float) -> float:
    """Return how long a schedule takes at most, its jitter and its attempts too.

    What is older has had its time, though its receiver was never asked.
    """
    return 1.1 * sum(schedule_s) + (len(schedule_s) + 1) * timeout_s + _LATE_S


def pause_s(attempt: DeliveryAttempt) -> float:
    """Return for how long the receiver asks to be left alone altogether; 0 if it does not."""
    if attempt.status_code in _LEAVE_ALONE:
        return _retry_after_s(attempt)
    return 0.0


def speaks_of_receiver(attempt: DeliveryAttempt) -> bool:
    """Whether an attempt says how its receiver is: not what was never sent, nor 410.

    A 410 comes from one that is well and does not want this.
    """
    return attempt.error != "blocked_address" and attempt.status_code != HTTPStatus.GONE


def has_failed_too_long(failing_since_ms: int | None, now_ms: int) -> bool:
    """Whether an endpoint of which nothing but failures are known since then is to be disabled.

    Asked right after a failure.
    """
    return failing_since_ms is not None and now_ms - failing_since_ms >= DISABLED_AFTER_S * 1000


def _retry_after_s(attempt: DeliveryAttempt) -> float:
    """Return how long the receiver asked to be left alone; 0 if it did not, or not legibly."""
    value = attempt.response_headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(value)
        at_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    now_s = (attempt.started_at_ms + attempt.duration_ms) / 1000
    return min(max(0.0, at_s - now_s), MAX_RETRY_AFTER_S)


_LEAVE_ALONE = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class Policy(Protocol):
    """Where this daemon may send to, as the operator set it (webhooks/egress.py)."""

    @property
    def allow_http(self) -> bool:
        """Whether a URL may do without TLS."""

    @property
    def allow_unix(self) -> tuple[str, ...]:
        """The unix sockets that may be sent to, as absolute paths."""

    def permits(self, address: Address, port: int = 0) -> bool:
        """Whether this address may be dialled, at this port if one is said."""


class Target(msgspec.Struct, frozen=True):
    """Where a POST goes: to `url`, over the unix socket if there is one."""

    url: str
    socket: str | None = None

    @property
    def origin(self) -> str:
        """What answers there: the socket's path, or scheme, host and port."""
        return self.socket or "/".join(self.url.split("/", 3)[:3])


_PORTS = {"https": 443, "http": 80}


def receiver_of(url: str) -> str:
    """Return who is dialled for a callback URL: the socket's path, or scheme, host and port.

    Takes what `parse_target` has let through some time; of anything else it makes something.
    """
    if match := _UNIX.fullmatch(url):
        return match["socket"]
    scheme, _, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    origin = f"{scheme}://{authority}".lower()
    usual = _PORTS.get(scheme.lower())
    return origin.removesuffix(f":{usual}")


_PRINTABLE = re.compile(r"[!-~]+")
_UNIX = re.compile(r"unix:(?P<socket>/[^:?#]+):(?P<path>/[^#]*)")
_WEB = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>[/?][^#]*)?", re.IGNORECASE)
_AUTHORITY = re.compile(
    r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<name>[a-zA-Z0-9._-]+))(?::(?P<port>\d{1,5}))?"
)
_NAME = re.compile(r"(?=.{1,253}\.?$)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE)

_LOW_PORTS = (80, 443)
_FIRST_HIGH_PORT = 1024
_LAST_PORT = 65535


def parse_target(url: str, policy: Policy) -> Target:
    """Return where `url` leads; looks up no name.

    Raises Invalid (`callback_url_forbidden`) for what is not to be sent to; the code of
    its one error is the reason a delivery is dead for. A name may still lead to a
    forbidden address: that is seen when it is dialled.
    """
    if len(url) > MAX_URL_CHARS:
        raise _forbidden(f"A callback URL has at most {MAX_URL_CHARS} characters.")
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise _forbidden("A callback URL is ASCII, without spaces and backslashes.")
    if "#" in url:
        raise _forbidden("A callback URL has no fragment.")
    if match := _UNIX.fullmatch(url):
        return _unix_target(match["socket"], match["path"], policy)
    if match := _WEB.fullmatch(url):
        return _web_target(match, policy)
    raise _forbidden("A callback URL begins with https://, http:// or is unix:/path.sock:/url.")


def _unix_target(socket: str, path: str, policy: Policy) -> Target:
    if socket not in policy.allow_unix:
        raise _forbidden(f"The socket {socket} is not listed in webhooks.allow_unix.")
    return Target(f"http://localhost{path}", socket)


def _web_target(match: re.Match[str], policy: Policy) -> Target:
    scheme = match["scheme"].lower()
    if scheme == "http" and not policy.allow_http:
        raise _forbidden("A callback URL is https, unless webhooks.allow_http is set.")
    if "@" in match["authority"]:
        raise _forbidden("A callback URL has no user name and no password.")
    authority = _AUTHORITY.fullmatch(match["authority"])
    if authority is None:
        raise _forbidden("The host of the callback URL cannot be read.")
    port = int(authority["port"] or _PORTS[scheme])
    _check_port(port)
    address = _literal(authority)
    if address is not None and not policy.permits(address, port):
        raise _forbidden(f"The address {address} may not be sent to.", "blocked_address")
    rest = match["rest"] or "/"
    path = rest if rest.startswith("/") else f"/{rest}"
    return Target(f"{scheme}://{match['authority'].lower()}{path}")


def _check_port(port: int) -> None:
    if port not in _LOW_PORTS and not _FIRST_HIGH_PORT <= port <= _LAST_PORT:
        raise _forbidden("The port of a callback URL is 80, 443, or 1024 and above.")


def _literal(authority: re.Match[str]) -> Address | None:
    """Return the address that the host is, None for a name.

    Whatever a C library might take for an address (`127.1`, `0x7f.1`, `2130706433`) but
    is not written as one is refused: a name does not end in a number.
    """
    try:
        if ipv6 := authority["ipv6"]:
            return IPv6Address(ipv6)
        name = authority["name"]
        if _NUMBER.fullmatch(name.removesuffix(".").rpartition(".")[2]):
            return IPv4Address(name)
    except AddressValueError:
        raise _forbidden("The host of the callback URL is not an address.") from None
    if not _NAME.fullmatch(name):
        raise _forbidden("The host of the callback URL is not a name.")
    return None


def _forbidden(detail: str, reason: DeadReason = "callback_not_allowed") -> Invalid:
    error = FieldError(detail, pointer="#/callback_url", code=reason)
    return Invalid("callback_url_forbidden", detail, errors=(error,))
