"""What the document says of single fields beyond their types: forms, known words, examples.

A known word is no closed set (`x-extensible-enum`): later versions may add some, and a
client must bear them. Not here: what a field means, which is said where it is defined.
"""

from typing import Any, get_args

from jobd.api.problems import PROBLEMS
from jobd.domain.deliveries import MAX_URL_CHARS, AttemptError, DeadReason
from jobd.domain.endpoints import (
    EVENT_TYPES,
    MAX_DESCRIPTION_CHARS,
    MAX_FILTERS,
    MAX_RATE_PER_S,
    MIN_RATE_PER_S,
    DisabledReason,
)
from jobd.domain.events import CALLBACK_TYPES, EventType
from jobd.domain.statuses import Status
from jobd.wire.webhooks import DAEMON_TYPES, TEST

_HEX = "019b76daa400700080000000000000aa"
_JOB_ID = f"job_{_HEX}"
_JOB_URL = f"/v1/jobs/{_JOB_ID}"
_BATCH_ID = f"bat_{_HEX}"
MOMENT = "2026-01-02T03:04:05.678000Z"
_URL = {"format": "uri-reference"}
_SHA256 = "0f" * 32


def _words(*words: str) -> dict[str, Any]:
    return {"x-extensible-enum": list(words), "examples": [words[0]]}


def _id(prefix: str, digits: int = 32) -> dict[str, Any]:
    return {"pattern": f"^{prefix}_[0-9a-f]{{{digits}}}$"}


def _like(example: Any, **more: Any) -> dict[str, Any]:
    return {**more, "examples": [example]}


def _list_of(pattern: str) -> dict[str, Any]:
    items = {"type": "string", "pattern": pattern}
    return {"items": items, "minItems": 1, "maxItems": MAX_FILTERS}


_STATUS = {"x-extensible-enum": [str(word) for word in Status], "examples": ["processing"]}
_LANE = _words("cpu", "io")
_EVENT = {"x-extensible-enum": [*get_args(EventType)], "examples": ["job.processing"]}

_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - an example
_KEY_FORM = (
    r"^whsec_(([A-Za-z0-9+/]{4}){8}"
    r"|([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)"
    r"|([A-Za-z0-9+/]{4}){21}[A-Za-z0-9+/]{2}==)$"
)
"""The base64 of 24 to 64 bytes."""

_KINDS = _like(["report.*"], **_list_of(r"^[a-z0-9][a-z0-9._-]{0,99}(\.\*)?$"))
_QUEUES = _like(["default"], **_list_of(r"^[a-z0-9][a-z0-9._-]{0,99}$"))
_HOOK = _like("https://app.example/hooks/jobd", maxLength=MAX_URL_CHARS)
_EVENTS_TOLD = _like(
    ["job.failed"],
    items={"type": "string", "enum": [*EVENT_TYPES]},
    minItems=1,
    maxItems=MAX_FILTERS,
)

FIELDS: dict[str, dict[str, Any]] = {
    "job_id": _like(_JOB_ID, **_id("job")),
    "batch_id": _id("bat"),
    "file_id": _like(f"file_{_SHA256}", **_id("file", 64)),
    "retry_of": _id("job"),
    "retried_as": _id("job"),
    "kind": _like("report.generate"),
    "queue": _like("default"),
    "lane": _LANE,
    "poll_url": _like(_JOB_URL, **_URL),
    "events_url": _like(f"{_JOB_URL}/events", **_URL),
    "cancel_url": _like(f"{_JOB_URL}/cancel", **_URL),
    "result_url": _URL,
    "logs_url": _like(f"{_JOB_URL}/logs", **_URL),
    "artifacts_url": _like(f"{_JOB_URL}/artifacts", **_URL),
    "retry_url": _URL,
    "jobs_url": _like(f"/v1/jobs?batch_id={_BATCH_ID}", **_URL),
    "url": _like(f"{_JOB_URL}/artifacts/report.pdf", **_URL),
    "sha256": _like(_SHA256, pattern="^[0-9a-f]{64}$"),
    "size_bytes": _like(4096, minimum=0),
    "media_type": _like("application/pdf"),
    "metadata": _like({"customer": "4711"}),
    "priority": {"minimum": 0, "maximum": 9, "examples": [5]},
    "started_at": _like(MOMENT),
    "attempt": {"minimum": 0, "examples": [1]},
    "max_attempts": {"minimum": 1, "examples": [3]},
    "progress_pct": {"minimum": 0, "maximum": 100, "examples": [42.5]},
    "step": _like("render"),
    "step_index": {"minimum": 1, "examples": [2]},
    "step_count": {"minimum": 1, "examples": [4]},
    "queue_position": {"minimum": 0},
    "estimated_duration_seconds": _like(30.0, minimum=0),
    "estimated_completion_time": _like(MOMENT),
    "suggested_next_poll_time": _like(MOMENT),
    "principal": _like("uid:1001"),
    "timeout_seconds": _like(3600.0),
    "retention_seconds": _like(604800, minimum=60),
    "concurrency": {"minimum": 1},
    "message": _like("page 12 of 40"),
    "distribution": _like("jobd-report"),
    "version": _like("0.1.0"),
    "target": _like("jobd_report:generate"),
    "description": _like("Makes a report."),
    "line": _like("page 12 done"),
    "name": _like("report.pdf"),
    "total": _like(100, minimum=0),
    "succeeded": _like(97, minimum=0),
    "failed": _like(3, minimum=0),
    "Job.status": _STATUS,
    "JobNotice.status": _STATUS,
    "Batch.status": _words("processing", "completed"),
    "Batch.batch_id": _like(_BATCH_ID, **_id("bat")),
    "Batch.poll_url": _like(f"/v1/batches/{_BATCH_ID}", **_URL),
    "Batch.cancel_url": _like(f"/v1/batches/{_BATCH_ID}/cancel", **_URL),
    "Batch.retry_url": _like(f"/v1/batches/{_BATCH_ID}/retry", **_URL),
    "Batch.retry_of": _id("bat"),
    "BatchDetail.job_ids": _like([_JOB_ID, None]),
    "BatchError.line": _like(2, minimum=1),
    "BatchError.code": _like("validation_error", pattern="^[a-z][a-z0-9_]{1,62}$"),
    "BatchError.detail": _like("Expected `int`, got `str`"),
    "BatchWebhook.type": _words("batch.completed"),
    "JobDetail.args": _like({"pages": 40}, type="object"),
    "JobDetail.result": _like(None),
    "JobDetail.waiting_for": {
        "x-extensible-enum": [
            "run_at",
            "backoff",
            "slot",
            "queue_limit",
            "queue_paused",
            "handler_missing",
            "storage_full",
        ]
    },
    "JobError.code": _like("render_timeout", pattern="^[a-z][a-z0-9_]{1,62}$"),
    "NoticeError.code": _like("render_timeout", pattern="^[a-z][a-z0-9_]{1,62}$"),
    "JobEvent.type": _EVENT,
    "PastEvent.type": _EVENT,
    "PastEvent.id": _like("4711", pattern="^[0-9]+$"),
    "LogEvent.type": _words("job.log"),
    "LogLine.stream": _words("stdout", "stderr", "log", "jobd"),
    "LogLine.attempt": {"minimum": 1, "examples": [1]},
    "token_id": _like("0123456789ab", pattern="^[0-9a-f]{12}$"),
    "token": _like(f"jdk_0123456789ab_{'A' * 43}"),
    "scopes": _like(["submit"]),
    "Token.description": _like("The build server"),
    "TokenRequest.description": _like("The build server"),
    "Attempt.outcome": _like("completed"),
    "Attempt.handler": _like("jobd-report 0.1.0"),
    "Step.name": _like("render"),
    "Queue.name": _like("default"),
    "FieldError.detail": _like("Expected `int`, got `str`"),
    "FieldError.line": {"minimum": 1},
    "LoadError.message": _like("No module named 'weasyprint'"),
    "Worker.worker_id": _like("3"),
    "Worker.pid": _like(4711, minimum=1),
    "Worker.state": _words("ready", "starting", "spare"),
    "Worker.job_ids": _like([_JOB_ID]),
    "Status.api": _like("v1"),
    "Status.python": _like("3.11.7"),
    "Status.sqlite": _like("3.40.1"),
    "Status.instance_id": _like(_HEX),
    "Status.worker_slots": _like({"cpu": {"total": 2, "free": 1}}),
    "Status.accepting": _like(example=True),
    "Webhook.type": {"x-extensible-enum": [*CALLBACK_TYPES], "examples": ["job.completed"]},
    "endpoint_id": _like(f"whe_{_HEX}", **_id("whe")),
    "delivery_id": _like(f"dlv_{_HEX}", **_id("dlv")),
    "message_id": _like(f"msg_{_HEX}", **_id("msg")),
    "secret": _like(_SECRET, pattern="^whsec_"),
    "rate_per_second": {"minimum": MIN_RATE_PER_S, "maximum": MAX_RATE_PER_S, "examples": [10.0]},
    "redelivered": _like(3, minimum=0),
    "DaemonWebhook.type": _words(TEST, *DAEMON_TYPES),
    "DaemonWebhook.data": _like({"endpoint_id": f"whe_{_HEX}"}),
    "Delivery.endpoint_id": _id("whe"),
    "Delivery.receiver": _like(f"whe_{_HEX}"),
    "Delivery.event_type": _like("job.completed"),
    "Delivery.status": _words("pending", "retrying", "succeeded", "dead"),
    "Delivery.url": _HOOK,
    "Delivery.job_id": _id("job"),
    "Delivery.attempt_count": _like(1, minimum=0),
    "Delivery.dead_reason": {"x-extensible-enum": [*get_args(DeadReason)]},
    "DeliveryAttempt.attempt": {"minimum": 1, "examples": [1]},
    "DeliveryAttempt.duration_ms": _like(12, minimum=0),
    "DeliveryAttempt.status_code": _like(204, minimum=100, maximum=999),
    "DeliveryAttempt.error": {"x-extensible-enum": [*get_args(AttemptError)]},
    "DeliveryAttempt.response_headers": _like({"content-type": "text/plain"}),
    "Endpoint.description": _like("Billing", maxLength=MAX_DESCRIPTION_CHARS),
    "Endpoint.disabled_reason": {"x-extensible-enum": [*get_args(DisabledReason)]},
    "Endpoint.enabled": _like(example=True),
    "Endpoint.events": _EVENTS_TOLD,
    "Endpoint.kinds": _KINDS,
    "Endpoint.queues": _QUEUES,
    "Endpoint.payload": _words("notice", "job"),
    "Endpoint.secret_hint": _like(f"whsec_…{_SECRET[-4:]}"),
    "Endpoint.url": _HOOK,
    "EndpointPatch.description": {"maxLength": MAX_DESCRIPTION_CHARS},
    "EndpointPatch.events": _EVENTS_TOLD,
    "EndpointPatch.kinds": _KINDS,
    "EndpointPatch.queues": _QUEUES,
    "EndpointPatch.url": _HOOK,
    "EndpointRequest.description": {"maxLength": MAX_DESCRIPTION_CHARS},
    "EndpointRequest.events": _EVENTS_TOLD,
    "EndpointRequest.kinds": _KINDS,
    "EndpointRequest.queues": _QUEUES,
    "EndpointRequest.secret": _like(_SECRET, pattern=_KEY_FORM),
    "EndpointRequest.url": _HOOK,
    "RedeliverRequest.endpoint_id": {},
    "RedeliverRequest.job_id": {},
    "RotatedEndpoint.endpoint_id": _like("default"),
    "SubmitRequest.callback_url": _like("https://app.example/hooks/jobd", maxLength=2048),
    "SubmitRequest.callback_events": {
        "items": {"type": "string", "enum": [*CALLBACK_TYPES]},
        "examples": [["job.completed", "job.failed"]],
    },
    "Problem.type": _like("urn:jobd:problem:job_not_found", pattern="^urn:jobd:problem:[a-z_]+$"),
    "Problem.title": _like(PROBLEMS["job_not_found"].title),
    "Problem.status": {"minimum": 400, "maximum": 599, "examples": [404]},
    "Problem.detail": _like(f"There is no job {_JOB_ID}."),
    "Problem.instance": _like(f"urn:uuid:{_HEX}", pattern="^urn:uuid:"),
    "Problem.code": {"x-extensible-enum": [*PROBLEMS], "examples": ["job_not_found"]},
    "Problem.request_id": _like(f"req_{_HEX}"),
    "Problem.errors": _like([]),
}
"""By field name, or for one Struct and those made of it by `Struct.field`."""

BODIES: dict[str, dict[str, Any]] = {
    "SubmitRequest": {
        "kind": "report.generate",
        "args": {"pages": 40},
        "metadata": {"customer": "4711"},
    },
    "BatchRequest": {
        "jobs": [
            {"kind": "report.generate", "args": {"pages": 40}, "idempotency_key": "order-4711"},
            {"kind": "report.generate", "args": {"pages": 2}},
        ]
    },
    "QueuePatch": {"concurrency": 2},
    "EndpointRequest": {
        "url": "https://app.example/hooks/jobd",
        "events": ["job.completed", "job.failed"],
        "kinds": ["report.*"],
    },
    "EndpointPatch": {"paused": True},
    "RedeliverRequest": {"endpoint_id": f"whe_{_HEX}", "since": MOMENT},
    "RotateRequest": {"overlap_seconds": 3600},
    "Health": {"status": "ok", "checks": {"database": {"status": "ok", "latency_ms": 0.4}}},
}
"""Examples that are more than one of each field's."""
