"""`/v1/jobs/{id}/attempts`: how each run of a job went.

Not here: what an attempt is (wire/attempts.py), what it wrote (logs.py).
"""

from aiohttp import web

from jobd.api import lookup, parameters
from jobd.api.codec import encode
from jobd.api.following import events_of
from jobd.api.services import Services
from jobd.wire.attempts import render_attempts

_HEADERS = {"Content-Type": "application/json", "Cache-Control": "private, no-cache"}


class AttemptRoutes:
    """The handler of `/v1/jobs/{id}/attempts`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def page(self, request: web.Request) -> web.Response:
        """Answer the attempts of a job, oldest first."""
        parameters.check(request)
        job = await lookup.find_job(self._services, request)
        attempts = render_attempts(await events_of(self._services.readers, job))
        return web.Response(body=encode(attempts), headers=_HEADERS)
