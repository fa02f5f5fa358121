"""`/v1/webhook-deliveries`: what was sent, whether it arrived, and sending it once more.

Not here: what a redelivery does (engine/endpoints.py), the documents (wire/deliveries.py).
"""

import base64
import binascii
import hashlib

import msgspec
from aiohttp import web

from jobd.api import parameters
from jobd.api.auth import PRINCIPAL
from jobd.api.codec import Decoder, encode, read_json
from jobd.api.services import Services
from jobd.domain.deliveries import DeliveryFilter, DeliveryStatus
from jobd.domain.errors import FieldError, Malformed
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
_ID_BYTES = 16
_DIGEST_BYTES = 8


class DeliveryRoutes:
    """The handlers of `/v1/webhook-deliveries`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._webhooks = services.webhooks

    async def page(self, request: web.Request) -> web.Response:
        """Answer a page of the caller's deliveries, newest first."""
        wanted, size = parameters.delivery_filter(request, _owner(request))
        token = request.query.get("page_token")
        before_id = _before_id(token, wanted) if token else None
        found = await self._webhooks.log.page(wanted, before_id, size + 1)
        shown = found[:size]
        url = self._services.public_url
        links = [f'<{parameters.page_url(request, None, url)}>; rel="first"']
        token = None
        if len(found) > size:
            token = _page_token(shown[-1].delivery.delivery_id, wanted)
            links.append(f'<{parameters.page_url(request, token, url)}>; rel="next"')
        document = DeliveryList(list(map(render_delivery, shown)), token)
        return web.Response(body=encode(document), headers={**_READ, "Link": ", ".join(links)})

    async def read(self, request: web.Request) -> web.Response:
        """Answer one delivery with all its attempts."""
        parameters.check(request)
        seen = await self._webhooks.log.one(_owner(request), request.match_info["delivery_id"])
        return web.Response(body=encode(render_detail(seen)), headers=_READ)

    async def redeliver(self, request: web.Request) -> web.Response:
        """Send what is over once more, by a new schedule, and answer with its delivery."""
        parameters.check(request)
        delivery_id = request.match_info["delivery_id"]
        seen = await self._webhooks.redeliver(_owner(request), delivery_id)
        return web.Response(body=encode(render_delivery(seen)), status=202, headers=_NOW)

    async def redeliver_all(self, request: web.Request) -> web.Response:
        """Send once more all that fits the body, and answer how many they are."""
        parameters.check(request)
        body = await read_json(
            request,
            limit_bytes=self._services.config.limits.body_bytes,
            timeout_s=self._services.body_timeout_s,
        )
        asked = _decoder.decode(body)
        wanted = DeliveryFilter(
            principal=_owner(request),
            status=DeliveryStatus(asked.status),
            endpoint_id=asked.endpoint_id,
            job_id=asked.job_id,
            since_ms=None if asked.since is None else max(0, to_ms(asked.since)),
        )
        document = Redelivered(await self._webhooks.log.redeliver(wanted))
        return web.Response(body=encode(document), status=202, headers=_NOW)


def _owner(request: web.Request) -> str:
    """Return the principal whose deliveries the caller may see and send once more."""
    return request[PRINCIPAL]


def _page_token(delivery_id: str, wanted: DeliveryFilter) -> str:
    token = bytes.fromhex(delivery_id.removeprefix(_PREFIX)) + _digest(wanted)
    return base64.urlsafe_b64encode(token).decode()


def _before_id(token: str, wanted: DeliveryFilter) -> str:
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _ID_BYTES + _DIGEST_BYTES or raw[_ID_BYTES:] != _digest(wanted):
        detail = "The token is not one of this list with these parameters."
        error = FieldError(detail, parameter="page_token")
        raise Malformed("invalid_page_token", detail, errors=(error,))
    return _PREFIX + raw[:_ID_BYTES].hex()


def _digest(wanted: DeliveryFilter) -> bytes:
    """Digest what must stay the same from page to page."""
    return hashlib.sha256(msgspec.json.encode(wanted)).digest()[:_DIGEST_BYTES]
