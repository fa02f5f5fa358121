"""What each operation needs of its caller: the one table, and the check of it.

A route that is not in it is refused to all, as a bug; a test looks for one. Not here: whose
things a caller sees (lookup.py), who is asking (auth.py).
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractResource

from jobd.domain.errors import Forbidden
from jobd.domain.principals import Caller, Scope

_JOB = "/v1/jobs/{job_id}"
_BATCH = "/v1/batches/{batch_id}"
_UPLOAD = "/v1/uploads/{file_id}"
_QUEUE = "/v1/queues/{name}"
_ENDPOINT = "/v1/webhook-endpoints/{endpoint_id}"
_DELIVERY = "/v1/webhook-deliveries/{delivery_id}"


class Need(NamedTuple):
    """Any one of `scopes` will do; `by_job` says that the token of a job opens it too."""

    scopes: tuple[Scope, ...]
    by_job: bool = False


_SEEN = Need((Scope.READ, Scope.SUBMIT))
"""Of reading what is one's own; the narrower of the two stands first, and is named in a 403."""
_SEEN_OF_JOB = Need(_SEEN.scopes, by_job=True)
_OWN = Need((Scope.SUBMIT,))
_READ = Need((Scope.READ,))
_OPERATE = Need((Scope.OPERATE,))
_ADMIN = Need((Scope.ADMIN,))

OPEN_PATHS = frozenset({"/livez", "/readyz"})
"""Nobody is asked who they are."""

TOLD_LATER = frozenset({"/v1/ws"})
"""Who is not known yet may say it in the first message."""

NEEDS: Mapping[tuple[str, str], Need] = {
    ("POST", "/v1/jobs"): _OWN,
    ("GET", "/v1/jobs"): _SEEN,
    ("GET", _JOB): _SEEN_OF_JOB,
    ("DELETE", _JOB): _OWN,
    ("POST", f"{_JOB}/cancel"): Need(_OWN.scopes, by_job=True),
    ("POST", f"{_JOB}/retry"): _OWN,
    ("GET", f"{_JOB}/result"): _SEEN_OF_JOB,
    ("HEAD", f"{_JOB}/result"): _SEEN_OF_JOB,
    ("GET", f"{_JOB}/attempts"): _SEEN_OF_JOB,
    ("GET", f"{_JOB}/events"): _SEEN_OF_JOB,
    ("GET", f"{_JOB}/logs"): _SEEN_OF_JOB,
    ("GET", f"{_JOB}/artifacts"): _SEEN_OF_JOB,
    ("GET", f"{_JOB}/artifacts/{{name}}"): _SEEN_OF_JOB,
    ("HEAD", f"{_JOB}/artifacts/{{name}}"): _SEEN_OF_JOB,
    ("GET", "/v1/events"): _SEEN,
    ("GET", "/v1/ws"): _SEEN_OF_JOB,
    ("POST", "/v1/batches"): _OWN,
    ("GET", "/v1/batches"): _SEEN,
    ("GET", _BATCH): _SEEN,
    ("POST", f"{_BATCH}/cancel"): _OWN,
    ("POST", f"{_BATCH}/retry"): _OWN,
    ("POST", "/v1/uploads"): _OWN,
    ("GET", _UPLOAD): _SEEN,
    ("HEAD", _UPLOAD): _SEEN,
    ("DELETE", _UPLOAD): _OWN,
    ("POST", "/v1/webhook-endpoints"): _OWN,
    ("GET", "/v1/webhook-endpoints"): _SEEN,
    ("POST", "/v1/webhook-endpoints/default/rotate-secret"): _OWN,
    ("POST", "/v1/webhook-endpoints/ops/rotate-secret"): _ADMIN,
    ("GET", _ENDPOINT): _SEEN,
    ("PATCH", _ENDPOINT): _OWN,
    ("DELETE", _ENDPOINT): _OWN,
    ("POST", f"{_ENDPOINT}/test"): _OWN,
    ("POST", f"{_ENDPOINT}/rotate-secret"): _OWN,
    ("GET", "/v1/webhook-deliveries"): _SEEN,
    ("POST", "/v1/webhook-deliveries/redeliver"): _OWN,
    ("GET", _DELIVERY): _SEEN,
    ("POST", f"{_DELIVERY}/redeliver"): _OWN,
    ("GET", "/v1/queues"): _SEEN,
    ("PATCH", _QUEUE): _OPERATE,
    ("POST", f"{_QUEUE}/pause"): _OPERATE,
    ("POST", f"{_QUEUE}/resume"): _OPERATE,
    ("GET", "/v1/handlers"): _SEEN,
    ("POST", "/v1/handlers/reload"): _OPERATE,
    ("GET", "/v1/workers"): _READ,
    ("GET", "/v1/status"): _SEEN,
    ("GET", "/openapi.json"): _SEEN,
    ("POST", "/v1/tokens"): _ADMIN,
    ("GET", "/v1/tokens"): _ADMIN,
    ("DELETE", "/v1/tokens/{token_id}"): _ADMIN,
}


def check(request: web.Request, caller: Caller) -> None:
    """Raise Forbidden if the caller may not use this route at all; where there is none, pass."""
    resource = request.match_info.route.resource
    if resource is None:
        return  # the router's own 404 or 405
    need = _need(request.method, resource)
    if caller.job_id is not None or caller.scopes.isdisjoint(need.scopes):
        check_need(need, caller)


@functools.lru_cache(maxsize=256)
def _need(method: str, resource: AbstractResource) -> Need:
    return NEEDS[method, resource.canonical]


def check_need(need: Need, caller: Caller) -> None:
    """Raise Forbidden if the caller has none of the scopes."""
    if caller.job_id is not None:
        if not need.by_job:
            raise Forbidden("The token of a job opens that job alone.", need.scopes[0])
    elif caller.scopes.isdisjoint(need.scopes):
        wanted = " or ".join(f"`{scope}`" for scope in need.scopes)
        raise Forbidden(f"This needs the scope {wanted}.", need.scopes[0])
