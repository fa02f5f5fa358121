"""`/v1/webhook-endpoints/default`: the secret that signs the caller's callbacks."""

from aiohttp import web

from jobd.api import parameters
from jobd.api.auth import PRINCIPAL
from jobd.api.codec import Decoder, encode, read_json
from jobd.api.services import Services
from jobd.wire.webhooks import RotateRequest, render_rotated

_decoder = Decoder(RotateRequest)


class WebhookRoutes:
    """The handler of `/rotate-secret` below the endpoint `default`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def rotate_secret(self, request: web.Request) -> web.Response:
        """Make a new secret and show it, this once; a body may say how long the old one signs."""
        parameters.check(request)
        asked = RotateRequest()
        if request.can_read_body:
            body = await read_json(
                request,
                limit_bytes=self._services.config.limits.body_bytes,
                timeout_s=self._services.body_timeout_s,
            )
            asked = _decoder.decode(body)
        rotated = await self._services.rotate_secret(request[PRINCIPAL], asked.overlap_seconds)
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return web.Response(body=encode(render_rotated("default", rotated)), headers=headers)
