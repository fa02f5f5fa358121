"""The lines of a batch as they come: NDJSON in pieces, or one JSON document.

Nothing here takes long at a time: lines come in portions. A JSON document is decoded in one
go, so it may be no longer than another body; a batch that is longer comes as lines.

Not here: what a line asks for (batches.py), what is taken (engine/batch_lines.py).
"""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import NamedTuple

import msgspec
from aiohttp import web

from jobd.api.codec import NotTaken, read_pieces
from jobd.domain.errors import FieldError, Invalid, Malformed, TooLarge
from jobd.wire.batches import RawBatchRequest

NDJSON = "application/x-ndjson"

_TAKEN = f"{NDJSON}, application/json"

LINES_AT_ONCE = 200
BYTES_AT_ONCE = 256 * 1024

_TYPE = re.compile(
    r"application/(?P<subtype>json|x-ndjson)\s*(;\s*charset=\"?utf-8\"?\s*)?", re.IGNORECASE
)

_decode = msgspec.json.Decoder(RawBatchRequest).decode

Numbered = Iterable[tuple[int, bytes]]
"""Lines with their numbers, from 1; blank ones are counted and are not among them."""


class Caps(NamedTuple):
    """How much may come, and how long nothing of it."""

    batch_bytes: int
    body_bytes: int
    """Of one line, as of the body of one job; or of a JSON document."""
    stall_timeout_s: float


async def lines_of(request: web.Request, caps: Caps) -> AsyncIterator[list[tuple[int, bytes]]]:
    """Yield the lines of a batch, some at a time. Raises Malformed, Invalid or TooLarge."""
    match = _TYPE.fullmatch(request.headers.get("Content-Type", ""))
    if match is None:
        detail = f"The Content-Type must be {NDJSON} or application/json."
        raise NotTaken(detail, _TAKEN)
    if match["subtype"].lower() == "json":
        some = _of_json(request, caps)
    else:
        some = _of_ndjson(request, caps)
    async for lines in some:
        for one in _portions(lines, caps.body_bytes):
            yield one


async def _of_ndjson(request: web.Request, caps: Caps) -> AsyncIterator[Numbered]:
    held, size, number = bytearray(), 0, 1
    async for piece in _pieces(request, caps, caps.batch_bytes):
        size += len(piece)
        if size > caps.batch_bytes:
            raise _too_large(caps.batch_bytes)
        before = len(held)
        held += piece
        end = held.rfind(b"\n", before)
        if end >= 0:
            lines = bytes(held[:end]).split(b"\n")
            del held[: end + 1]
            yield enumerate(lines, start=number)
            number += len(lines)
        if len(held) > caps.body_bytes:
            raise _line_too_long(caps.body_bytes)
    yield [(number, bytes(held))]


async def _of_json(request: web.Request, caps: Caps) -> AsyncIterator[Numbered]:
    limit_bytes = min(caps.body_bytes, caps.batch_bytes)
    body = bytearray()
    async for piece in _pieces(request, caps, limit_bytes):
        body += piece
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
    try:
        document = _decode(body)
    except msgspec.ValidationError as error:
        pointer = "#/jobs" if "jobs" in str(error) else "#"
        raise Invalid(
            "validation_error",
            "The body does not fit the schema of this request.",
            errors=(FieldError(str(error), pointer=pointer),),
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Malformed("malformed_json", f"The body is not JSON: {detail}.") from None
    lines = [bytes(raw) for raw in document.jobs]
    if body.count(b":") > 1 + sum(line.count(b":") for line in lines):  # `jobs` came twice
        raise Malformed("malformed_json", "The key 'jobs' comes twice in an object.")
    yield enumerate(lines, start=1)


def _pieces(request: web.Request, caps: Caps, limit_bytes: int) -> AsyncIterator[bytes]:
    return read_pieces(
        request,
        _too_large,
        limit_bytes=limit_bytes,
        stall_timeout_s=caps.stall_timeout_s,
        accept=_TAKEN,
    )


def _portions(lines: Numbered, line_bytes: int) -> Iterator[list[tuple[int, bytes]]]:
    portion: list[tuple[int, bytes]] = []
    size = 0
    for number, line in lines:
        if len(line) > line_bytes:
            raise _line_too_long(line_bytes)
        if not line or line.isspace():
            continue
        portion.append((number, line))
        size += len(line)
        if len(portion) >= LINES_AT_ONCE or size >= BYTES_AT_ONCE:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _too_large(limit_bytes: int) -> TooLarge:
    detail = f"A batch may have {limit_bytes} bytes at most in this form."
    return TooLarge("body_too_large", detail)


def _line_too_long(limit_bytes: int) -> TooLarge:
    return TooLarge("body_too_large", f"A line of a batch may have {limit_bytes} bytes at most.")
