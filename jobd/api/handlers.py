"""`/v1/handlers`: what can be submitted here, and the look for new and changed plugins."""

from aiohttp import web

from jobd.api import parameters
from jobd.api.codec import encode
from jobd.api.services import Services
from jobd.domain.errors import Unavailable
from jobd.wire.handlers import render_catalog


class HandlerRoutes:
    """The handlers of `/v1/handlers`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def page(self, request: web.Request) -> web.Response:
        """Answer the installed kinds, and those that did not load; 503 before they are known."""
        parameters.check(request)
        return self._known()

    async def reload(self, request: web.Request) -> web.Response:
        """Load the plugins again and answer what is installed now.

        By then no job starts with the old code; those that run end with it.
        """
        parameters.check(request)
        await self._services.reload_handlers()
        return self._known()

    def _known(self) -> web.Response:
        catalog = self._services.catalog()
        if catalog is None:
            raise Unavailable(
                "starting", "The handlers are still being loaded.", retryable=True, retry_after_s=1
            )
        headers = {"Content-Type": "application/json", "Cache-Control": "private, no-cache"}
        return web.Response(body=encode(render_catalog(catalog)), headers=headers)
