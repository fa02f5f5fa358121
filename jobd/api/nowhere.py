"""Requests for what is not there: no body is asked for, and no expectation is looked at.

For a path or a method without a route aiohttp has an `Expect` handled by its own: it tells a
client that waits to send the body, writes to a client that has left, which is an error in the
log, and answers any other expectation with its own text.

Not here: what is answered (problems.py).
"""

from aiohttp import web
from aiohttp.web_urldispatcher import (
    MatchInfoError,
    PlainResource,
    SystemRoute,
    UrlMappingMatchInfo,
)


class _Nowhere(SystemRoute):
    """The route of what has none."""

    async def handle_expect_header(self, request: web.Request) -> None:
        """Leave it: the request is refused in any case."""


class _NoMatch(MatchInfoError):  # noqa: N818 - it is a match, and aiohttp raises it
    """What is known of a request that no route is for."""

    def __init__(self, error: web.HTTPException) -> None:
        UrlMappingMatchInfo.__init__(self, {}, _Nowhere(error))
        self._exception = error


def expect_nothing_of(router: web.UrlDispatcher) -> None:
    """Have the router leave `Expect` alone where it finds no route."""
    resolve = router.resolve
    plain = {
        (route.method, route.resource.canonical): route
        for route in router.routes()
        if isinstance(route.resource, PlainResource)
    }

    async def resolved(request: web.Request) -> UrlMappingMatchInfo:
        route = plain.get((request.method, request.rel_url.path_safe))
        if route is not None:
            return UrlMappingMatchInfo({}, route)
        found = await resolve(request)
        error = found.http_exception
        return found if error is None else _NoMatch(error)

    router.resolve = resolved  # type: ignore[method-assign] # there is no other way in
