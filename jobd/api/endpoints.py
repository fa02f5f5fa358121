"""`/v1/webhook-endpoints`: who is told of what; their secrets; tests.

`default` stands for the callbacks of the caller's jobs, `ops` for what befalls the daemon
itself: of both only the secret can be changed.

Not here: what a change does (engine/endpoints.py), what was sent (deliveries.py).
"""

from functools import partial
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET

from jobd.api import lookup, parameters
from jobd.api.auth import CALLER, PRINCIPAL
from jobd.api.codec import Decoder, encode
from jobd.api.conditions import refuse_unmatched
from jobd.api.deliveries import ROUTE as DELIVERIES
from jobd.api.preferences import matches
from jobd.api.services import Services
from jobd.domain.deliveries import RotatedSecret
from jobd.domain.endpoints import (
    ID_PREFIX,
    OPS,
    Endpoint,
    EndpointChange,
    EndpointRemoval,
    NewEndpoint,
)
from jobd.domain.signing import new_secret
from jobd.wire.deliveries import render_delivery
from jobd.wire.endpoints import (
    EndpointList,
    EndpointPatch,
    EndpointRequest,
    RotateRequest,
    render_endpoint,
    render_new,
    render_rotated,
)

ROUTE = "/v1/webhook-endpoints"

_requests = Decoder(EndpointRequest)
_patches = Decoder(EndpointPatch)
_rotations = Decoder(RotateRequest)
_NOW = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_READ = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}
_LISTS = {"events", "kinds", "queues"}


class EndpointRoutes:
    """The handlers of `/v1/webhook-endpoints`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._webhooks = services.webhooks

    async def create(self, request: web.Request) -> web.Response:
        """Register an endpoint and show its secret, this once."""
        parameters.check(request)
        asked = _requests.decode(await self._services.read_json(request))
        new = NewEndpoint(
            endpoint_id=self._webhooks.new_id(),
            principal=request[PRINCIPAL],
            **_fields(asked),
        )
        endpoint = await self._webhooks.add(new)
        location = f"{self._services.public_url}{ROUTE}/{endpoint.endpoint_id}"
        headers = {**_NOW, "ETag": _etag(endpoint), "Location": location}
        return web.Response(body=encode(render_new(endpoint)), status=201, headers=headers)

    async def page(self, request: web.Request) -> web.Response:
        """Answer a page of the caller's endpoints, or of everybody's, oldest first."""
        parameters.check(request, ("all", "page_size", "page_token"))
        principal, size = lookup.whose(request), parameters.page_size(request)
        after_id = parameters.page_behind(request, ID_PREFIX, principal) or ""
        found = [one for one in self._webhooks.of(principal) if one.endpoint_id > after_id]
        shown, url = found[:size], self._services.public_url
        links = [f'<{parameters.page_url(request, None, url)}>; rel="first"']
        token = None
        if len(found) > size:
            token = parameters.page_at(shown[-1].endpoint_id, principal)
            links.append(f'<{parameters.page_url(request, token, url)}>; rel="next"')
        document = EndpointList(list(map(render_endpoint, shown)), token)
        return web.Response(body=encode(document), headers={**_NOW, "Link": ", ".join(links)})

    async def read(self, request: web.Request) -> web.Response:
        """Answer one endpoint; 304 when the caller has it."""
        parameters.check(request)
        endpoint = self._find(request)
        headers = {**_READ, "ETag": _etag(endpoint)}
        if matches(request.headers, headers["ETag"]):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = "application/json"
        return web.Response(body=encode(render_endpoint(endpoint)), headers=headers)

    async def change(self, request: web.Request) -> web.Response:
        """Change what the body names; with If-Match only if it is as the caller has it."""
        parameters.check(request)
        patch = _patches.decode(await self._services.read_json(request))
        endpoint = self._find_to_change(request)
        change = EndpointChange(
            endpoint_id=endpoint.endpoint_id,
            principal=endpoint.principal,
            **_fields(patch),
        )
        self._webhooks.check(change)  # what is wrong with every version is said first
        version = _wanted_version(request, endpoint)
        changed = await self._webhooks.change(msgspec.structs.replace(change, version=version))
        headers = {**_NOW, "ETag": _etag(changed)}
        return web.Response(body=encode(render_endpoint(changed)), headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        """Remove an endpoint; what waits for it is dead."""
        parameters.check(request)
        endpoint = self._find_to_change(request)
        version = _wanted_version(request, endpoint)
        await self._webhooks.remove(
            EndpointRemoval(endpoint.endpoint_id, endpoint.principal, version)
        )
        return web.Response(status=204)

    async def test(self, request: web.Request) -> web.Response:
        """Send the endpoint a `webhook.test` and answer with its delivery."""
        parameters.check(request)
        endpoint = self._find_to_change(request)
        seen = await self._webhooks.test(endpoint.endpoint_id)
        url = f"{self._services.public_url}{DELIVERIES}/{seen.delivery.delivery_id}"
        headers = {**_NOW, "Location": url}
        return web.Response(body=encode(render_delivery(seen)), status=202, headers=headers)

    async def rotate_secret(self, request: web.Request) -> web.Response:
        """Make a new secret and show it, this once; a body may say how long the old one signs."""
        overlap_s = await self._overlap_s(request)
        endpoint = self._find_to_change(request)
        rotated = await self._webhooks.rotate(endpoint.principal, endpoint.endpoint_id, overlap_s)
        return _rotated(endpoint.endpoint_id, rotated)

    async def rotate_default(self, request: web.Request) -> web.Response:
        """Do the same for the callbacks of the caller's jobs."""
        overlap_s = await self._overlap_s(request)
        rotated = await self._webhooks.rotate_default(request[PRINCIPAL], overlap_s)
        return _rotated("default", rotated)

    async def rotate_ops(self, request: web.Request) -> web.Response:
        """Do the same for what befalls the daemon itself."""
        overlap_s = await self._overlap_s(request)
        return _rotated("ops", await self._webhooks.rotate_default(OPS, overlap_s))

    async def _overlap_s(self, request: web.Request) -> float:
        parameters.check(request)
        if not request.can_read_body:
            return RotateRequest().overlap_seconds
        return _rotations.decode(await self._services.read_json(request)).overlap_seconds

    def _find(self, request: web.Request) -> Endpoint:
        """Return the endpoint of the path, as the caller may see it; raises NotFound."""
        seen = partial(lookup.may_see, request[CALLER])
        return self._webhooks.get(request.match_info["endpoint_id"], seen)

    def _find_to_change(self, request: web.Request) -> Endpoint:
        """Return the endpoint of the path, to be changed; raises NotFound or Forbidden."""
        endpoint = self._find(request)
        lookup.refuse_to_change(request[CALLER], endpoint.principal)
        return endpoint


def _fields(asked: EndpointRequest | EndpointPatch) -> dict[str, Any]:
    """Return what the domain calls the fields that were given."""
    fields = {
        name: tuple(value) if name in _LISTS and value is not None else value
        for name, value in msgspec.structs.asdict(asked).items()
        if value is not UNSET
    }
    if "rate_per_second" in fields:
        fields["rate_per_s"] = fields.pop("rate_per_second")
    if fields.get("secret", "") is None:
        fields["secret"] = new_secret()
    return fields


def _etag(endpoint: Endpoint) -> str:
    return f'"{endpoint.version}"'


def _wanted_version(request: web.Request, endpoint: Endpoint) -> int | None:
    """Return the version that the change is for, if the caller has said which."""
    if "If-Match" not in request.headers:
        return None
    refuse_unmatched(request.headers, _etag(endpoint))
    return None if request.headers["If-Match"].strip() == "*" else endpoint.version


def _rotated(endpoint_id: str, rotated: RotatedSecret) -> web.Response:
    return web.Response(body=encode(render_rotated(endpoint_id, rotated)), headers=_NOW)
