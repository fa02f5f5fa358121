"""`/v1/webhook-deliveries`: what was sent, whether it arrived, and sending it once more.

Not here: what a redelivery does (engine/endpoints.py), the documents (wire/deliveries.py).
"""

from aiohttp import web

from jobd.api import lookup, parameters
from jobd.api.auth import CALLER
from jobd.api.codec import Decoder, encode
from jobd.api.services import Services
from jobd.domain.deliveries import DeliveryFilter, DeliveryStatus, DeliveryView
from jobd.domain.errors import Forbidden
from jobd.domain.principals import Scope
from jobd.wire.deliveries import (
    DeliveryList,
    Redelivered,
    RedeliverRequest,
    render_delivery,
    render_detail,
)
from jobd.wire.times import to_ms

ROUTE = "/v1/webhook-deliveries"

_decoder = Decoder(RedeliverRequest)
_NOW = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_READ = {**_NOW, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
_PREFIX = "dlv_"


class DeliveryRoutes:
    """The handlers of `/v1/webhook-deliveries`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._webhooks = services.webhooks

    async def page(self, request: web.Request) -> web.Response:
        """Answer a page of the caller's deliveries, or of all, newest first."""
        wanted, size = parameters.delivery_filter(request, lookup.whose(request))
        before_id = parameters.page_behind(request, _PREFIX, wanted)
        found = await self._webhooks.log.page(wanted, before_id, size + 1)
        shown = found[:size]
        url = self._services.public_url
        links = [f'<{parameters.page_url(request, None, url)}>; rel="first"']
        token = None
        if len(found) > size:
            token = parameters.page_at(shown[-1].delivery.delivery_id, wanted)
            links.append(f'<{parameters.page_url(request, token, url)}>; rel="next"')
        document = DeliveryList(list(map(render_delivery, shown)), token)
        return web.Response(body=encode(document), headers={**_READ, "Link": ", ".join(links)})

    async def read(self, request: web.Request) -> web.Response:
        """Answer one delivery with all its attempts."""
        parameters.check(request)
        seen = await self._find(request)
        return web.Response(body=encode(render_detail(seen)), headers=_READ)

    async def redeliver(self, request: web.Request) -> web.Response:
        """Send what is over once more, by a new schedule, and answer with its delivery."""
        parameters.check(request)
        found = (await self._find(request)).delivery
        lookup.refuse_to_change(request[CALLER], found.principal)
        seen = await self._webhooks.redeliver(found.principal, found.delivery_id)
        return web.Response(body=encode(render_delivery(seen)), status=202, headers=_NOW)

    async def redeliver_all(self, request: web.Request) -> web.Response:
        """Send once more all that fits the body, and answer how many they are."""
        parameters.check(request)
        body = await self._services.read_json(request)
        asked = _decoder.decode(body)
        if asked.all and not request[CALLER].may(Scope.OPERATE):
            detail = "To send what is others' takes the scope `operate`."
            raise Forbidden(detail, Scope.OPERATE)
        wanted = DeliveryFilter(
            principal=None if asked.all else request[CALLER].principal,
            status=DeliveryStatus(asked.status),
            endpoint_id=asked.endpoint_id,
            job_id=asked.job_id,
            since_ms=None if asked.since is None else max(0, to_ms(asked.since)),
        )
        document = Redelivered(await self._webhooks.log.redeliver(wanted))
        return web.Response(body=encode(document), status=202, headers=_NOW)

    async def _find(self, request: web.Request) -> DeliveryView:
        """Return the delivery of the path, as the caller may see it; raises NotFound."""
        delivery_id, caller = request.match_info["delivery_id"], request[CALLER]
        seen_of = None if caller.may(Scope.READ) else caller.principal
        return await self._webhooks.log.one(seen_of, delivery_id)
