"""`/v1/queues`: what is in each queue, and the changes: limit, pause, resume.

A queue needs no row to be changed: one can be paused before its first job.
Not here: what a change does (engine/queues.py).
"""

from aiohttp import web
from msgspec import UNSET

from jobd.api import parameters
from jobd.api.codec import Decoder, encode
from jobd.api.services import Services
from jobd.domain.errors import NotFound
from jobd.domain.queues import NAME, QueueChange
from jobd.wire.queues import QueueList, QueuePatch, render_queue

_decoder = Decoder(QueuePatch)
_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}


class QueueRoutes:
    """The handlers of `/v1/queues`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def page(self, request: web.Request) -> web.Response:
        """Answer all queues."""
        parameters.check(request)
        queues = await self._services.commands.queues.all()
        now_ms = self._services.clock.wall_ms()
        document = QueueList([render_queue(queue, now_ms) for queue in queues])
        return web.Response(body=encode(document), headers=_HEADERS)

    async def change(self, request: web.Request) -> web.Response:
        """Set or take away a limit, pause or resume; what is left out stays as it is."""
        parameters.check(request)
        name = _name(request)
        body = await self._services.read_json(request)
        patch = _decoder.decode(body)
        paused = None if patch.paused is UNSET else patch.paused
        return await self._changed(QueueChange(name, paused, patch.concurrency))

    async def pause(self, request: web.Request) -> web.Response:
        """Start no more jobs of the queue; answered when none can start any more."""
        parameters.check(request)
        return await self._changed(QueueChange(_name(request), paused=True))

    async def resume(self, request: web.Request) -> web.Response:
        """Start jobs of the queue again."""
        parameters.check(request)
        return await self._changed(QueueChange(_name(request), paused=False))

    async def _changed(self, change: QueueChange) -> web.Response:
        queue = await self._services.commands.queues.change(change)
        document = render_queue(queue, self._services.clock.wall_ms())
        return web.Response(body=encode(document), headers=_HEADERS)


def _name(request: web.Request) -> str:
    name = request.match_info["name"]
    if NAME.fullmatch(name) is None:
        raise NotFound("not_found", "No queue can be called that.")
    return name
