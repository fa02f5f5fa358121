"""The one middleware: request id, principal, and every exception as a problem document.

One, because each costs every request a call. Not here: the documents (problems.py).
"""

import logging
import re

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from jobd.api import problems
from jobd.api.auth import PRINCIPAL, principal_of
from jobd.domain.clock import Clock
from jobd.domain.errors import JobdError
from jobd.domain.ids import IdSource

log = logging.getLogger(__name__)

SERVER = "jobd"
"""What the header of that name says: no version."""

REQUEST_ID = web.RequestKey("request_id", str)

OPEN_PATHS = frozenset({"/livez", "/readyz"})
"""Answered to anybody who reaches the socket."""

_OURS_TO_ECHO = re.compile(r"[A-Za-z0-9._-]{1,128}")


def boundary(clock: Clock) -> Middleware:
    """Return the middleware; no exception passes it."""
    ids = IdSource()

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request.headers.get("X-Request-Id")
        if request_id is None or _OURS_TO_ECHO.fullmatch(request_id) is None:
            request_id = ids.next("req_", clock.wall_ms())
        request[REQUEST_ID] = request_id
        try:
            if request.path not in OPEN_PATHS:
                request[PRINCIPAL] = principal_of(request)
            response = await handler(request)
        except ConnectionError:
            response = _nobodys(request)
        except Exception as error:  # noqa: BLE001 - the last resort of every request
            response = _refusal(error, request, request_id)
        if not response.prepared:
            response.headers.update(identity_headers(request_id))
        return response

    return around


def identity_headers(request_id: str) -> dict[str, str]:
    """Return what every response carries; for those that are sent before they return."""
    return {"X-Request-Id": request_id, "Server": SERVER}


def _nobodys(request: web.Request) -> web.Response:
    """Break the connection off, and return an answer that nobody gets.

    A client that goes away is no error; aiohttp would log a traceback for each.
    """
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _refusal(error: Exception, request: web.Request, request_id: str) -> web.Response:
    try:
        if isinstance(error, JobdError):
            return problems.of_error(error, request_id)
        if isinstance(error, web.HTTPException):
            return problems.of_router(error, request, request_id)
    except KeyError:
        log.exception("An error has no problem document.")
    log.error(
        "A request failed.",
        exc_info=error,
        extra={"request_id": request_id, "method": request.method, "path": request.path},
    )
    return problems.of_bug(request_id)
