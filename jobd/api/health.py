"""`/v1/status` for people, `/livez` and `/readyz` for machines.

Alive means that the event loop answers; ready, that every check does. The probes ask
nobody who is asking.
"""

import platform

from aiohttp import web

from jobd import __version__
from jobd.api import parameters
from jobd.api.codec import encode
from jobd.api.services import Services
from jobd.domain.statuses import Status
from jobd.wire import status as wire
from jobd.wire.times import from_ms

_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_ALIVE = encode(wire.Health("ok"))


class HealthRoutes:
    """The handlers of `/v1/status`, `/livez` and `/readyz`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def status(self, request: web.Request) -> web.Response:
        """Answer what runs here and how busy it is."""
        parameters.check(request)
        services = self._services
        tally = services.tally()
        counts = tally.statuses if tally.known else await services.readers.counts()
        document = wire.Status(
            version=__version__,
            api="v1",
            python=platform.python_version(),
            sqlite=services.sqlite_version,
            instance_id=services.instance_id,
            started_at=from_ms(services.started_at_ms),
            accepting=services.catalog() is not None,
            queued=counts.get(Status.QUEUED, 0),
            processing=counts.get(Status.PROCESSING, 0),
            worker_slots=dict(services.slots()),
            estimated_wait_seconds=services.estimated_wait_s(),
        )
        return web.Response(body=encode(document), headers=_HEADERS)

    async def alive(self, _request: web.Request) -> web.Response:
        """Answer 200: the event loop runs."""
        return web.Response(body=_ALIVE, headers=_HEADERS)

    async def ready(self, _request: web.Request) -> web.Response:
        """Answer 200 when every check is ok, else 503; the body says which is not."""
        checks = dict(await self._services.ready())
        ok = all(check.status == "ok" for check in checks.values())
        document = wire.Health("ok" if ok else "unavailable", checks)
        return web.Response(body=encode(document), status=200 if ok else 503, headers=_HEADERS)
