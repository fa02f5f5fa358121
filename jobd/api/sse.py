"""The form of server-sent events, and of an answer that goes on.

A frame has its id, its type and one line of data, and ends with an empty line. What is no
event must not: some clients take any empty line for an event. So `retry` is the first line
of the first event, and the keep-alive is a comment inside the event to come.

Not here: which events (hub.py), when a stream ends (streams.py).
"""

import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from jobd.api.codec import encode
from jobd.api.middleware import REQUEST_ID, identity_headers
from jobd.domain.history import Moment
from jobd.wire.logs import LogEvent, LogLine
from jobd.wire.rendering import render_event

log = logging.getLogger(__name__)

EVENT_STREAM = "text/event-stream"

HEADERS = {
    "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
    "Cache-Control": "no-store",
    "Vary": "Accept",
    "X-Accel-Buffering": "no",
}

RETRY = b"retry: 2000\n"
"""Before the first event: clients come back after two seconds."""

KEEP_ALIVE = b": keep-alive\n"

LOG = "job.log"

_DATA = b"\ndata: "
_ID = re.compile(r"[0-9]{1,19}")


def frame(moment: Moment, public_url: str) -> bytes:
    """Return an event as a stream carries it; the job's URLs begin with `public_url`."""
    event, job = moment
    return frame_of(event.id, event.type, encode(render_event(event, job, public_url)))


def frame_of(id_: int, type_: str, data: bytes) -> bytes:
    """Return a frame; `data` is JSON, so it is one line."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (id_, type_.encode(), data)


def data_of(frame: bytes) -> bytes:
    """Return the data of a frame that `frame_of` has made."""
    return frame[frame.index(_DATA) + len(_DATA) : -2]


def log_frame(id_: int, line: LogLine) -> bytes:
    """Return a line of the log as a stream carries it, behind the event `id_`.

    It has no id of its own: a client comes back with that of the event.
    """
    return frame_of(id_, LOG, encode(LogEvent(LOG, line.timestamp, line)))


def last_event_id(request: web.Request) -> int | None:
    """Return the event that the caller has seen last, None when that makes no sense.

    The header wins: a client that reconnects has it newer than its URL.
    """
    value = request.headers.get("Last-Event-ID") or request.query.get("last_event_id", "")
    return int(value) if _ID.fullmatch(value) else None


@asynccontextmanager
async def begun(
    request: web.Request, headers: Mapping[str, str]
) -> AsyncIterator[web.StreamResponse]:
    """Begin an answer of unknown length and give it to the block.

    Its head is out, so an error in the block cannot be told any more: it is logged, and the
    answer breaks off.
    """
    response = web.StreamResponse(headers={**headers, **identity_headers(request)})
    await response.prepare(request)
    try:
        yield response
    except ConnectionError:
        raise
    except Exception as error:
        log.exception("A stream broke.", extra={"request_id": request[REQUEST_ID]})
        raise ConnectionAbortedError("the stream broke") from error
