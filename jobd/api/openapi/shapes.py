"""What the table of operations is made of.

Not here: the operations (jobs.py and the files beside it), the document (document.py).
"""

from typing import Any, NamedTuple

import msgspec

JSON = "application/json"
NDJSON = "application/x-ndjson"
EVENT_STREAM = "text/event-stream"

BINARY = {"type": "string", "format": "binary"}
"""A body that is no text; OpenAPI 3.1 would take no schema at all, code generators want this."""


class Content(NamedTuple):
    """A body of one media type: a Struct of wire/, or a schema of its own."""

    schema: type[msgspec.Struct] | dict[str, Any]
    media_type: str = JSON
    items: tuple[type[msgspec.Struct], ...] = ()
    """What one line of NDJSON may hold, or the data of one server-sent event."""


class Body(NamedTuple):
    """What a request carries."""

    contents: tuple[Content, ...]
    required: bool = True
    description: str = ""


class Answer(NamedTuple):
    """One status that is no refusal."""

    status: int
    description: str
    contents: tuple[Content, ...] = ()
    headers: tuple[str, ...] = ()
    """Names in parameters.HEADERS; one that ends in `?` may be absent."""
    links: tuple[str, ...] = ()
    """Names in LINKS."""


class Callback(NamedTuple):
    """What is sent to a URL that a request names."""

    type: str
    url: str
    """Where it stands, as a runtime expression."""


class Operation(NamedTuple):
    """One method of one path: what it takes, and all that it may answer."""

    method: str
    path: str
    id: str
    tag: str
    summary: str
    answers: tuple[Answer, ...]
    problems: tuple[str, ...]
    """Codes in problems.PROBLEMS."""
    parameters: tuple[str, ...] = ()
    """Names in parameters.PARAMETERS."""
    body: Body | None = None
    description: str = ""
    calls_back: Callback | None = None


class Link(NamedTuple):
    """Which operation takes up what an answer gives."""

    operation: str
    parameter: str
    expression: str


LINKS = {
    "getJob": Link("getJob", "job_id", "$response.body#/job_id"),
    "cancelJob": Link("cancelJob", "job_id", "$response.body#/job_id"),
    "retryJob": Link("retryJob", "job_id", "$response.body#/job_id"),
    "deleteJob": Link("deleteJob", "job_id", "$response.body#/job_id"),
    "getResult": Link("getResult", "job_id", "$response.body#/job_id"),
    "getBatch": Link("getBatch", "batch_id", "$response.body#/batch_id"),
    "cancelBatch": Link("cancelBatch", "batch_id", "$response.body#/batch_id"),
    "getUpload": Link("getUpload", "file_id", "$response.body#/file_id"),
    "getEndpoint": Link("getEndpoint", "endpoint_id", "$response.body#/endpoint_id"),
    "changeEndpoint": Link("changeEndpoint", "endpoint_id", "$response.body#/endpoint_id"),
    "deleteEndpoint": Link("deleteEndpoint", "endpoint_id", "$response.body#/endpoint_id"),
    "testEndpoint": Link("testEndpoint", "endpoint_id", "$response.body#/endpoint_id"),
    "getDelivery": Link("getDelivery", "delivery_id", "$response.body#/delivery_id"),
    "redeliver": Link("redeliver", "delivery_id", "$response.body#/delivery_id"),
    "deleteUpload": Link("deleteUpload", "file_id", "$response.body#/file_id"),
    "revokeToken": Link("revokeToken", "token_id", "$response.body#/token_id"),
}

ASKED = (
    "unauthenticated",
    "invalid_token",
    "forbidden",
    "rate_limited",
    "unknown_parameter",
    "internal_error",
)
"""Of every operation that asks who is asking."""

READ = (*ASKED, "starting")
"""Of those that read the database."""

WRITTEN = (*READ, "database_busy", "outcome_unknown", "storage_full")
"""Of those that change it."""

OF_JOB = ("job_not_found", "job_expired")

SENT = (
    "malformed_json",
    "malformed_body",
    "body_timeout",
    "body_too_large",
    "unsupported_media_type",
    "validation_error",
)
"""Of those that take JSON."""

NO_ROOM = ("quota_exceeded", "queue_full")
"""Of those that store new jobs."""

SUBMITTED = (
    *NO_ROOM,
    "args_too_large",
    "unknown_kind",
    "callback_url_forbidden",
    "handler_unavailable",
)
"""Of those that take new jobs."""
