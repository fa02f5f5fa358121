"""Query parameters: unknown, repeated and malformed ones are 400.

A page token carries where the page begins and a digest of the filter it was made for;
with another filter it is refused. It gives no rights: whose jobs are asked for is part of it.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection
from typing import NoReturn
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from jobd.api.auth import CALLER, IN_QUERY
from jobd.domain.deliveries import DeliveryFilter, DeliveryStatus
from jobd.domain.errors import FieldError, Malformed
from jobd.domain.jobs import JobFilter
from jobd.domain.statuses import Status
from jobd.wire.times import Timestamp, to_ms

MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 50

_LIST = frozenset(
    {
        "status",
        "kind",
        "queue",
        "batch_id",
        "created_after",
        "created_before",
        "idempotency_key",
        "all",
        "page_size",
        "page_token",
    }
)
_DELIVERIES = frozenset(
    {"status", "job_id", "endpoint_id", "since", "all", "page_size", "page_token"}
)
_REPEATABLE = frozenset({"status"})
_WHOLE = re.compile(r"[0-9]{1,9}")
_FLAGS = {"0": False, "false": False, "1": True, "true": True}
_SEQ_BYTES = 8
_ID_BYTES = 16
_DIGEST_BYTES = 8


def check(request: web.Request, known: Collection[str] = ()) -> None:
    """Raise Malformed unless every parameter is known and given once."""
    if not request.rel_url.raw_query_string:
        return
    by_job_token = CALLER in request and request[CALLER].job_id is not None
    for name in request.query:
        if name not in known and not (name == IN_QUERY and by_job_token):
            detail = f"There is no parameter {name!r} here."
            error = FieldError(detail, parameter=name)
            raise Malformed("unknown_parameter", detail, errors=(error,))
        values = request.query.getall(name)
        if name not in _REPEATABLE and len(values) > 1:
            _refuse(name, "It was given more than once.")
        if any("\0" in value for value in values):
            _refuse(name, "There is a NUL in it.")


def job_filter(request: web.Request, principal: str | None) -> JobFilter:
    """Return which of the principal's jobs, or of everybody's, are asked for; raises Malformed."""
    check(request, _LIST)
    query = request.query
    asked = JobFilter(
        statuses=statuses(request),
        kind=query.get("kind"),
        queue=query.get("queue"),
        batch_id=query.get("batch_id"),
        created_after_ms=_moment(request, "created_after"),
        created_before_ms=_moment(request, "created_before"),
        idempotency_key=query.get("idempotency_key"),
        principal=principal,
        limit=page_size(request),
    )
    token = query.get("page_token")
    if not token:
        return asked
    return msgspec.structs.replace(asked, before_seq=_before_seq(token, asked))


def delivery_filter(request: web.Request, principal: str | None) -> tuple[DeliveryFilter, int]:
    """Return which of the principal's deliveries, or of everybody's, are asked for, and how many.

    Raises Malformed.
    """
    check(request, _DELIVERIES)
    query = request.query
    if len(query.getall("status", ())) > 1:
        _refuse("status", "It was given more than once.")
    status = query.get("status")
    if status is not None and status not in list(DeliveryStatus):
        _refuse("status", f"{status!r} is not one of {', '.join(DeliveryStatus)}.")
    since_ms = _moment(request, "since")
    wanted = DeliveryFilter(
        principal=principal,
        status=None if status is None else DeliveryStatus(status),
        job_id=query.get("job_id"),
        endpoint_id=query.get("endpoint_id"),
        since_ms=None if since_ms is None else max(0, since_ms),
    )
    return wanted, page_size(request)


def page_token(asked: JobFilter, before_seq: int) -> str:
    """Return the token of the page that begins below the job `before_seq`."""
    token = before_seq.to_bytes(_SEQ_BYTES) + _digest(asked)
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def page_at(id_: str, asked: msgspec.Struct | str | None) -> str:
    """Return the token of the page that begins behind a thing of a list by ids."""
    digits = id_.rpartition("_")[2]
    raw = bytes.fromhex(digits) + _digest_of(asked)
    return base64.urlsafe_b64encode(raw).decode()


def page_behind(
    request: web.Request, prefix: str, asked: msgspec.Struct | str | None
) -> str | None:
    """Return the id behind which the page begins that is asked for; None: it is the first."""
    token = request.query.get("page_token")
    if not token:
        return None
    raw = _decoded(token)
    if len(raw) != _ID_BYTES + _DIGEST_BYTES or raw[_ID_BYTES:] != _digest_of(asked):
        _refuse_token()
    return prefix + raw[:_ID_BYTES].hex()


def page_url(request: web.Request, token: str | None, public_url: str = "") -> str:
    """Return this request's URL with `token` in place of its own; None: the first page."""
    pairs = [(name, value) for name, value in request.query.items() if name != "page_token"]
    if token is not None:
        pairs.append(("page_token", token))
    url = public_url + request.path
    return f"{url}?{urlencode(pairs)}" if pairs else url


def _before_seq(token: str, asked: JobFilter) -> int:
    raw = _decoded(token)
    seq = int.from_bytes(raw[:_SEQ_BYTES])
    if raw[_SEQ_BYTES:] != _digest(asked) or seq >= 1 << 63:
        _refuse_token()
    return seq


def _decoded(token: str) -> bytes:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _refuse_token() -> NoReturn:
    detail = "The token is not one of this list with these parameters."
    error = FieldError(detail, parameter="page_token")
    raise Malformed("invalid_page_token", detail, errors=(error,))


def _digest(asked: JobFilter) -> bytes:
    """Digest what must stay the same from page to page: all but the page and its size."""
    return _digest_of(msgspec.structs.replace(asked, before_seq=None, limit=0))


def _digest_of(same: msgspec.Struct | str | None) -> bytes:
    return hashlib.sha256(msgspec.json.encode(same)).digest()[:_DIGEST_BYTES]


def statuses(request: web.Request) -> tuple[Status, ...]:
    """Return the statuses asked for, each once, none when all are; raises Malformed."""
    words = request.query.getall("status", ())
    return tuple(dict.fromkeys(_status(word) for word in words))


def whole(request: web.Request, name: str, lowest: int, highest: int) -> int | None:
    """Return a whole number between two others, None when it is not given; raises Malformed."""
    value = request.query.get(name)
    if value is None:
        return None
    number = int(value) if _WHOLE.fullmatch(value) else lowest - 1
    if not lowest <= number <= highest:
        _refuse(name, f"It must be a whole number from {lowest} to {highest}.")
    return number


def flag(request: web.Request, name: str) -> bool:
    """Return whether something is asked for, as 1 or true; raises Malformed."""
    value = request.query.get(name, "0")
    if value not in _FLAGS:
        _refuse(name, f"It must be one of {', '.join(_FLAGS)}.")
    return _FLAGS[value]


def _status(word: str) -> Status:
    try:
        return Status(word)
    except ValueError:
        _refuse("status", f"{word!r} is not one of {', '.join(Status)}.")


def _moment(request: web.Request, name: str) -> int | None:
    value = request.query.get(name)
    if value is None:
        return None
    try:
        return to_ms(msgspec.convert(value, Timestamp))
    except msgspec.ValidationError:
        _refuse(name, "It is not an RFC 3339 timestamp with a zone; write + as %2B.")


def page_size(request: web.Request) -> int:
    """Return how many are asked for; raises Malformed."""
    value = request.query.get("page_size")
    if not value:
        return DEFAULT_PAGE_SIZE
    size = int(value) if _WHOLE.fullmatch(value) else 0
    if not 1 <= size <= MAX_PAGE_SIZE:
        _refuse("page_size", f"It must be a whole number from 1 to {MAX_PAGE_SIZE}.")
    return size


def _refuse(name: str, detail: str) -> NoReturn:
    raise Malformed(
        "invalid_parameter",
        f"The parameter {name} is not valid. {detail}",
        errors=(FieldError(detail, parameter=name),),
    )
