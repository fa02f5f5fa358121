"""The one middleware: request id, caller, access, and every exception as a problem document.

One, because each costs every request a call. Not here: the documents (problems.py).
"""

import logging
import re

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from jobd.api import access, problems
from jobd.api.auth import CALLER, IN_QUERY, PRINCIPAL, Callers
from jobd.api.origins import Admit
from jobd.api.rates import Rates
from jobd.domain.clock import Clock
from jobd.domain.errors import JobdError
from jobd.domain.ids import IdSource

log = logging.getLogger(__name__)

SERVER = "jobd"
"""What the header of that name says: no version."""

REQUEST_ID = web.RequestKey("request_id", str)

_OURS_TO_ECHO = re.compile(r"[A-Za-z0-9._-]{1,128}")


def boundary(
    clock: Clock, callers: Callers, rates: Rates, admit: Admit | None = None
) -> Middleware:
    """Return the middleware; no exception passes it. `admit` may refuse or answer a request."""
    ids = IdSource()

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request.headers.get("X-Request-Id")
        if request_id is None or _OURS_TO_ECHO.fullmatch(request_id) is None:
            request_id = ids.next("req_", clock.wall_ms())
        request[REQUEST_ID] = request_id
        if request.version is not HttpVersion11 and request.version != HttpVersion10:
            return _nobodys(request)  # HTTP/0.9 or 2.0: an answer would be in neither
        try:
            answer = None if admit is None else admit(request)
            if answer is None and request.path not in access.OPEN_PATHS:
                _let_in(request, callers, rates)
            response = await handler(request) if answer is None else answer
        except ConnectionError:
            response = _nobodys(request)
        except Exception as error:  # noqa: BLE001 - the last resort of every request
            response = _refusal(error, request, request_id)
        if not response.prepared:
            response.headers.update(identity_headers(request))
        return response

    return around


def _let_in(request: web.Request, callers: Callers, rates: Rates) -> None:
    """Note who is asking; raises JobdError unless they may, and not too often."""
    try:
        caller = callers.of(request)
    except JobdError as error:
        if error.code == "unauthenticated" and request.path in access.TOLD_LATER:
            return
        raise
    rates.spend(caller)
    request[CALLER], request[PRINCIPAL] = caller, caller.principal
    access.check(request, caller)


def identity_headers(request: web.BaseRequest) -> dict[str, str]:
    """Return what every response carries; for those that are sent before they return."""
    headers = {"X-Request-Id": request[REQUEST_ID], "Server": SERVER}
    if request.rel_url.raw_query_string and IN_QUERY in request.query:
        # a link in what is answered must not carry the token on
        headers["Referrer-Policy"] = "no-referrer"
    return headers


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
