"""Refusals as problem documents: the one table from code to HTTP status and title.

A code that is not in the table is a bug (a test looks for one). Not here: when something
is refused; the shape (wire/problems.py).
"""

import random
import uuid
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import web
from msgspec import UNSET, UnsetType

from jobd.api.codec import NotTaken, encode
from jobd.domain.errors import Conflict, FieldError, Forbidden, Gone, JobdError
from jobd.domain.jobs import JobError
from jobd.wire import rendering
from jobd.wire.problems import MEDIA_TYPE, Problem, type_uri


class Kind(NamedTuple):
    """What is fixed about a code."""

    status: int
    title: str


PROBLEMS: Mapping[str, Kind] = {
    "malformed_json": Kind(400, "The body is not JSON"),
    "malformed_body": Kind(400, "The body could not be read"),
    "digest_mismatch": Kind(400, "The body is not what its digest says"),
    "invalid_parameter": Kind(400, "A parameter has an invalid value"),
    "unknown_parameter": Kind(400, "There is no such parameter"),
    "invalid_page_token": Kind(400, "The page token is not valid here"),
    "invalid_idempotency_key": Kind(400, "The Idempotency-Key is not valid"),
    "unauthenticated": Kind(401, "Who is asking is not known"),
    "invalid_token": Kind(401, "The token is not valid"),
    "forbidden": Kind(403, "The caller may not do this"),
    "origin_not_allowed": Kind(403, "The page that asks is of another site"),
    "not_found": Kind(404, "There is no such thing"),
    "job_not_found": Kind(404, "There is no such job"),
    "batch_not_found": Kind(404, "There is no such batch"),
    "endpoint_not_found": Kind(404, "There is no such endpoint"),
    "delivery_not_found": Kind(404, "There is no such delivery"),
    "method_not_allowed": Kind(405, "The method is not allowed here"),
    "not_acceptable": Kind(406, "Nothing here is acceptable to the caller"),
    "body_timeout": Kind(408, "The body did not arrive in time"),
    "job_active": Kind(409, "The job has not finished yet"),
    "job_completed": Kind(409, "The job has completed"),
    "job_already_finished": Kind(409, "The job has already finished"),
    "job_already_retried": Kind(409, "The job has been retried already"),
    "input_missing": Kind(409, "An input of the job has been removed"),
    "upload_in_use": Kind(409, "A job still needs the upload"),
    "result_not_ready": Kind(409, "The job has no result yet"),
    "idempotency_in_progress": Kind(409, "A request with this Idempotency-Key is under way"),
    "nothing_to_retry": Kind(409, "No job of the batch can be retried so"),
    "endpoint_disabled": Kind(409, "The endpoint is disabled"),
    "delivery_active": Kind(409, "The delivery is not over yet"),
    "job_failed": Kind(409, "The job has no result, as it did not complete"),
    "job_expired": Kind(410, "The job has expired"),
    "batch_expired": Kind(410, "The batch has expired"),
    "precondition_failed": Kind(412, "It is not as the caller has it"),
    "body_too_large": Kind(413, "The body is too large"),
    "args_too_large": Kind(413, "The args are too large"),
    "upload_too_large": Kind(413, "The upload is too large"),
    "unsupported_media_type": Kind(415, "The form of the body is not taken"),
    "range_not_satisfiable": Kind(416, "The part that is asked for is not there"),
    "host_not_allowed": Kind(421, "The daemon does not go by this name"),
    "validation_error": Kind(422, "The request breaks a rule"),
    "unknown_kind": Kind(422, "No installed plugin handles this kind"),
    "batch_rejected": Kind(422, "Nothing of the batch is queued"),
    "callback_url_forbidden": Kind(422, "The callback URL is not allowed"),
    "idempotency_key_reused": Kind(422, "The Idempotency-Key was used for another request"),
    "upgrade_required": Kind(426, "Only a WebSocket is taken here"),
    "rate_limited": Kind(429, "Too many requests in a short time"),
    "too_many_streams": Kind(429, "Too many streams are open"),
    "too_many_uploads": Kind(429, "Too many uploads are under way"),
    "too_many_batches": Kind(429, "Too many batches are being sent"),
    "quota_exceeded": Kind(429, "Too many of the caller's jobs wait"),
    "endpoint_limit": Kind(429, "There are too many endpoints of the caller"),
    "internal_error": Kind(500, "jobd failed"),
    "queue_full": Kind(503, "The queue is full"),
    "database_busy": Kind(503, "Another program holds the database"),
    "starting": Kind(503, "jobd is starting"),
    "storage_failed": Kind(503, "A file could not be read or written"),
    "outcome_unknown": Kind(503, "Whether it happened is not known"),
    "too_many_connections": Kind(503, "Too many connections are open"),
    "handlers_not_loaded": Kind(503, "The plugins could not be looked up"),
    "handler_unavailable": Kind(503, "The handler of this kind did not load"),
    "storage_full": Kind(507, "There is no room on disk"),
}

_HEADERS: Mapping[str, Mapping[str, str]] = {
    "unauthenticated": {"WWW-Authenticate": 'Bearer realm="jobd"'},
    "invalid_token": {"WWW-Authenticate": 'Bearer realm="jobd", error="invalid_token"'},
    "unsupported_media_type": {"Accept-Encoding": "identity"},
    "body_timeout": {"Connection": "close"},
    "upgrade_required": {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
    },
}

_CODES_OF_THE_ROUTER: Mapping[int, str] = {
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
}

_TRY_AGAIN_S: Mapping[int, int] = {429: 1, 503: 1, 507: 10}
"""Statuses that say when to come back, and how soon if the error does not know."""

_JITTER_S = 2
_JITTER_SHARE = 0.25
"""Clients that were refused together come back so far apart: whichever of the two is longer."""


class JobFailed(Conflict):
    """A result was asked for of a job that failed or was cancelled; carries its error."""

    def __init__(self, detail: str, error: JobError | None) -> None:
        super().__init__("job_failed", detail)
        self.error = error


class RangeNotSatisfiable(JobdError):  # noqa: N818 - named as its base's other kinds are
    """A part was asked for that begins behind the end; says where the end is."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__("range_not_satisfiable", f"There are {size_bytes} bytes.")
        self.size_bytes = size_bytes


def of_error(error: JobdError, request_id: str) -> web.Response:
    """Return the problem document of an expected error; KeyError if its code is unknown."""
    status = PROBLEMS[error.code].status
    headers = dict(_HEADERS.get(error.code, ()))
    if status in _TRY_AGAIN_S:
        headers["Retry-After"] = str(_spread_s(error.retry_after_s or _TRY_AGAIN_S[status]))
    elif error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, NotTaken):
        headers["Accept"] = error.accept
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size_bytes}"
    if isinstance(error, Forbidden):
        challenge = f'Bearer realm="jobd", error="insufficient_scope", scope="{error.scope}"'
        headers["WWW-Authenticate"] = challenge
    job_error = error.error if isinstance(error, JobFailed) else None
    job_id = error.job_id if isinstance(error, Gone) else None
    return _response(
        error.code,
        error.detail,
        request_id,
        headers,
        errors=error.errors,
        retryable=error.retryable,
        job_error=job_error,
        job_id=job_id,
    )


def _spread_s(seconds: int) -> int:
    """Return so many seconds or somewhat more, another number each time."""
    return seconds + random.randint(0, max(_JITTER_S, round(seconds * _JITTER_SHARE)))  # noqa: S311


def of_router(error: web.HTTPException, request: web.BaseRequest, request_id: str) -> web.Response:
    """Return the problem document of a refusal by aiohttp; KeyError for one it never makes."""
    code = _CODES_OF_THE_ROUTER[error.status]
    details = {
        "not_found": f"There is nothing at {request.path}.",
        "method_not_allowed": f"{request.path} does not take {request.method}.",
        "body_too_large": "The body is over the limit.",
    }
    headers = {"Allow": error.headers["Allow"]} if code == "method_not_allowed" else {}
    return _response(code, details[code], request_id, headers, retryable=False)


def of_bug(request_id: str) -> web.Response:
    """Return the problem document of an unexpected exception: nothing of it leaks."""
    detail = "Something unexpected happened; the log of jobd says what, under this request_id."
    return _response("internal_error", detail, request_id, {})


def _response(
    code: str,
    detail: str,
    request_id: str,
    headers: Mapping[str, str],
    *,
    errors: tuple[FieldError, ...] = (),
    retryable: bool | UnsetType = UNSET,
    job_error: JobError | None = None,
    job_id: str | None = None,
) -> web.Response:
    kind = PROBLEMS[code]
    problem = Problem(
        type=type_uri(code),
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance=_instance(request_id),
        code=code,
        request_id=request_id,
        errors=errors,
        retryable=retryable,
        error=UNSET if job_error is None else rendering.render_error(job_error),
        job_id=UNSET if job_id is None else job_id,
    )
    return web.Response(
        body=encode(problem),
        status=kind.status,
        headers={"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", **headers},
    )


def _instance(request_id: str) -> str:
    """Return the URN of the request: of jobd's own ids the UUID in it, else one made from it."""
    try:
        return uuid.UUID(request_id.removeprefix("req_")).urn
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, request_id).urn
