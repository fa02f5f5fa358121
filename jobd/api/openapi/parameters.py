"""Parameters and headers of the contract, each described once and named in the operations.

Not here: how they are parsed (api/parameters.py, api/preferences.py).
"""

from typing import Any

from jobd.api.events import MAX_TIMEOUT_S
from jobd.api.parameters import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from jobd.domain.deliveries import DeliveryStatus
from jobd.domain.statuses import Status

_TEXT = {"type": "string", "pattern": r"^[^\x00]*$"}
_MOMENT = {"type": "string", "format": "date-time"}
_FLAG = {"type": "string", "enum": ["false", "true", "0", "1"], "default": "false"}
_EXAMPLE_MOMENT = "2026-01-02T03:04:05Z"
_ID = "019b76daa400700080000000000000aa"
_MOST = 1_000_000


def _named(
    where: str, name: str, description: str, schema: dict[str, Any], example: Any, **more: Any
) -> dict[str, Any]:
    found = {"name": name, "in": where, "description": description, "schema": schema, **more}
    return found if example is None else {**found, "example": example}


def _path(name: str, description: str, pattern: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern} if pattern else _TEXT
    return _named("path", name, description, schema, example, required=True)


def _query(
    name: str, description: str, schema: dict[str, Any], example: Any = None, **more: Any
) -> dict[str, Any]:
    return _named("query", name, description, schema, example, **more)


def _header(
    name: str, description: str, schema: dict[str, Any] | None = None, example: Any = None
) -> dict[str, Any]:
    return _named("header", name, description, schema or _TEXT, example)


def _whole(lowest: int, highest: int, **more: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": lowest, "maximum": highest, **more}


PARAMETERS: dict[str, dict[str, Any]] = {
    "job_id": _path("job_id", "A job.", r"^job_[0-9a-f]{32}$", f"job_{_ID}"),
    "batch_id": _path("batch_id", "A batch.", r"^bat_[0-9a-f]{32}$", f"bat_{_ID}"),
    "file_id": _path("file_id", "An upload.", r"^file_[0-9a-f]{64}$", f"file_{'0f' * 32}"),
    "token_id": _path("token_id", "A token.", r"^[0-9a-f]{12}$", "0123456789ab"),
    "queue_name": _path("name", "A queue.", r"^[a-z0-9][a-z0-9._-]{0,99}$", "default"),
    "artifact_name": _path("name", "The name that the handler gave it.", "", "report.pdf"),
    "of_status": _query(
        "status",
        "Only jobs in this status, or in one of these: it may be repeated.",
        {"type": "array", "items": {"type": "string", "enum": [str(word) for word in Status]}},
        ["queued", "processing"],
        style="form",
        explode=True,
    ),
    "endpoint_id": _path("endpoint_id", "An endpoint.", r"^whe_[0-9a-f]{32}$", f"whe_{_ID}"),
    "delivery_id": _path("delivery_id", "A delivery.", r"^dlv_[0-9a-f]{32}$", f"dlv_{_ID}"),
    "of_delivery_status": _query(
        "status",
        "Only deliveries in this status.",
        {"type": "string", "enum": [str(word) for word in DeliveryStatus]},
        "dead",
    ),
    "of_job": _query("job_id", "Only what tells of this job.", _TEXT, f"job_{_ID}"),
    "of_endpoint": _query("endpoint_id", "Only to this endpoint.", _TEXT, f"whe_{_ID}"),
    "since": _query("since", "Only what was made from then on.", _MOMENT, _EXAMPLE_MOMENT),
    "of_kind": _query("kind", "Only jobs of this kind.", _TEXT, "report.generate"),
    "of_queue": _query("queue", "Only jobs of this queue.", _TEXT, "default"),
    "of_batch": _query("batch_id", "Only jobs of this batch.", _TEXT, f"bat_{_ID}"),
    "of_key": _query(
        "idempotency_key", "The job that was submitted with this key.", _TEXT, "order-4711"
    ),
    "created_after": _query("created_after", "Only younger jobs.", _MOMENT, _EXAMPLE_MOMENT),
    "created_before": _query("created_before", "Only older jobs.", _MOMENT, _EXAMPLE_MOMENT),
    "page_size": _query(
        "page_size",
        "How many at most; a page may have fewer and not be the last.",
        _whole(1, MAX_PAGE_SIZE, default=DEFAULT_PAGE_SIZE),
        20,
    ),
    "page_token": _query(
        "page_token",
        "`next_page_token` of the page before; all parameters but page_size must be as then.",
        _TEXT,
    ),
    "all": _query("all", "Everybody's, which takes the scope `read`.", _FLAG, "true"),
    "access_token": _query(
        "access_token",
        "The token of this job, for clients that cannot send it as a header.",
        {"type": "string", "pattern": "^jdj_[0-9a-f]{32}_[A-Za-z0-9_-]{32}$"},
    ),
    "last_event_id": _query(
        "last_event_id", "As Last-Event-ID, for clients that cannot send it.", _TEXT, "4711"
    ),
    "timeout": _query(
        "timeout", "Seconds after which the stream ends.", _whole(1, MAX_TIMEOUT_S), 60
    ),
    "logs": _query("logs", "Whether log lines come as `job.log` events too.", _FLAG, "1"),
    "of_attempt": _query("attempt", "Only lines of this attempt.", _whole(1, _MOST), 1),
    "tail": _query("tail", "Only so many of the last lines.", _whole(0, _MOST), 100),
    "follow": _query("follow", "Whether to go on until the job ends.", _FLAG, "1"),
    "atomic": _query(
        "atomic", "Whether one bad line refuses all; at most 1000 lines then.", _FLAG, "true"
    ),
    "callback_url": _query(
        "callback_url",
        "Where a signed POST goes when every job of the batch is done.",
        {"type": "string", "maxLength": 2048},
        "https://app.example/hooks/jobd",
    ),
    "retry_status": _query(
        "status",
        "Which jobs of the batch are submitted anew: those that failed, unless it is said.",
        {"type": "array", "items": {"type": "string", "enum": ["failed", "cancelled"]}},
        ["failed", "cancelled"],
        style="form",
        explode=True,
    ),
    "request_id": _header(
        "X-Request-Id",
        "Names the request in logs and in the answer, when it matches"
        " `^[A-Za-z0-9._-]{1,128}$`; else the daemon makes one.",
        example="req-7",
    ),
    "prefer": _header(
        "Prefer",
        "RFC 7240: `wait=N` for how many seconds to wait for the end, or for the next change;"
        " `respond-async` for not at all; `wait=N; until=done` on a GET for the end. What makes"
        " no sense is ignored.",
        example="wait=10",
    ),
    "idempotency_key": _header(
        "Idempotency-Key",
        "Makes a submission safe to send again: the same key gives exactly one job. With or"
        " without quotes.",
        {"type": "string", "pattern": r'^("[ -!#-~]{1,255}"|[!#-~]{1,255})$'},
        '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
    ),
    "traceparent": _header(
        "traceparent",
        "W3C trace context; the job goes on with its trace. One that is not valid is ignored.",
        example="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    "content_digest": _header(
        "Content-Digest",
        "RFC 9530: refused when it does not fit the body.",
        example="sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:",
    ),
    "if_none_match": _header(
        "If-None-Match", "An ETag that the caller has: 304 while it is the newest.", example='"17"'
    ),
    "if_match": _header(
        "If-Match",
        "An ETag that must be the newest. None of a job ever is, as they are weak: for a job"
        " only `*` holds.",
        example="*",
    ),
    "range": _header("Range", "One range of bytes; others are ignored.", example="bytes=0-1023"),
    "if_range": _header("If-Range", "The ETag that the range is of; else all is sent."),
    "last_event": _header("Last-Event-ID", "The id of the last event that was seen.", None, "4711"),
}

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The request's name, in logs and problem documents too.",
        "schema": {"type": "string", "pattern": r"^[A-Za-z0-9._-]{1,128}$"},
        "example": f"req_{_ID}",
    },
    "Location": {
        "description": "Where the thing is.",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": f"/v1/jobs/job_{_ID}",
    },
    "Retry-After": {
        "description": "After how many seconds asking again is worth it.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 2,
    },
    "ETag": {
        "description": "The version; weak (`W/`) of a job, strong of stored bytes.",
        "schema": {"type": "string", "pattern": r'^(W/)?"[^"]*"$'},
        "example": 'W/"17"',
    },
    "Preference-Applied": {
        "description": "Which preferences were honoured.",
        "schema": _TEXT,
        "example": "wait=10",
    },
    "Idempotent-Replayed": {
        "description": "`true` when an earlier request with this key is answered again.",
        "schema": {"type": "string", "enum": ["true"]},
        "example": "true",
    },
    "Link": {
        "description": "RFC 8288: `first` and, unless this is the last page, `next`.",
        "schema": _TEXT,
        "example": '</v1/jobs>; rel="first"',
    },
    "Repr-Digest": {
        "description": "RFC 9530: of all the bytes, whatever part is sent.",
        "schema": {"type": "string", "pattern": r"^sha-256=:[A-Za-z0-9+/]{43}=:$"},
        "example": "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:",
    },
    "Content-Disposition": {
        "description": "The file's name.",
        "schema": _TEXT,
        "example": "attachment; filename*=UTF-8''report.pdf",
    },
    "X-Content-Type-Options": {
        "description": "The media type is what it says.",
        "schema": {"type": "string", "enum": ["nosniff"]},
        "example": "nosniff",
    },
    "Accept-Ranges": {
        "description": "Ranges are of bytes.",
        "schema": {"type": "string", "enum": ["bytes"]},
        "example": "bytes",
    },
    "Content-Range": {
        "description": "Which bytes these are, of how many.",
        "schema": {"type": "string", "pattern": r"^bytes ([0-9]+-[0-9]+|\*)/[0-9]+$"},
        "example": "bytes 0-1023/4096",
    },
    "X-Accel-Buffering": {
        "description": "`no`: a proxy passes on what comes.",
        "schema": {"type": "string", "enum": ["no"]},
        "example": "no",
    },
    "Upgrade": {
        "description": "To which protocol the connection changes, or has to.",
        "schema": {"type": "string", "enum": ["websocket"]},
        "example": "websocket",
    },
    "Sec-WebSocket-Accept": {
        "description": "RFC 6455: the proof that the handshake was read.",
        "schema": _TEXT,
        "example": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    },
    "Sec-WebSocket-Protocol": {
        "description": "The protocol of the messages, if the client offered it.",
        "schema": {"type": "string", "enum": ["jobd.v1"]},
        "example": "jobd.v1",
    },
    "Sec-WebSocket-Version": {
        "description": "The version of the protocol that is taken.",
        "schema": {"type": "string", "enum": ["13"]},
        "example": "13",
    },
    "WWW-Authenticate": {
        "description": "How to say who is asking.",
        "schema": _TEXT,
        "example": 'Bearer realm="jobd"',
    },
    "Accept": {
        "description": "The media types that are taken.",
        "schema": _TEXT,
        "example": "application/json",
    },
    "Accept-Encoding": {
        "description": "The encodings that are taken.",
        "schema": _TEXT,
        "example": "identity",
    },
}

OF_PROBLEMS: dict[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate?",),
    409: ("Retry-After?",),
    415: ("Accept", "Accept-Encoding?"),
    416: ("Content-Range",),
    426: ("Upgrade", "Sec-WebSocket-Version"),
    429: ("Retry-After",),
    503: ("Retry-After",),
    507: ("Retry-After",),
}
"""Headers of refusals, by their status."""
