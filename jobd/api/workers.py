"""`GET /v1/workers`: the processes that run handlers."""

from aiohttp import web

from jobd.api import parameters
from jobd.api.codec import encode
from jobd.api.services import Services
from jobd.wire.workers import WorkerList


class WorkerRoutes:
    """The handler of `/v1/workers`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def page(self, request: web.Request) -> web.Response:
        """Answer all workers and what they run."""
        parameters.check(request)
        document = WorkerList(self._services.workers())
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return web.Response(body=encode(document), headers=headers)
