"""`/v1/webhook-endpoints`: who is told of what; their secrets; tests.

`default` stands for the callbacks of the caller's jobs, `ops` for what befalls the daemon
itself: of both only the secret can be changed.

Not here: what a change does (engine/endpoints.py), what was sent (deliveries.py).
"""

import os
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET

from jobd.api import parameters
from jobd.api.auth import PRINCIPAL
from jobd.api.codec import Decoder, encode, read_json
from jobd.api.conditions import refuse_unmatched
from jobd.api.deliveries import ROUTE as DELIVERIES
from jobd.api.preferences import matches
from jobd.api.services import Services
from jobd.domain.deliveries import RotatedSecret
from jobd.domain.endpoints import OPS, Endpoint, EndpointChange, EndpointRemoval, NewEndpoint
from jobd.domain.errors import NotFound
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
        asked = _requests.decode(await self._body(request))
        new = NewEndpoint(
            endpoint_id=self._webhooks.new_id(),
            principal=_owner(request),
            **_fields(asked),
        )
        endpoint = await self._webhooks.add(new)
        location = f"{self._services.public_url}{ROUTE}/{endpoint.endpoint_id}"
        headers = {**_NOW, "ETag": _etag(endpoint), "Location": location}
        return web.Response(body=encode(render_new(endpoint)), status=201, headers=headers)

    async def page(self, request: web.Request) -> web.Response:
        """Answer all endpoints of the caller."""
        parameters.check(request)
        document = EndpointList(list(map(render_endpoint, self._webhooks.of(_owner(request)))))
        return web.Response(body=encode(document), headers=_NOW)

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
        patch = _patches.decode(await self._body(request))
        endpoint = self._find(request)
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
        endpoint = self._find(request)
        version = _wanted_version(request, endpoint)
        await self._webhooks.remove(
            EndpointRemoval(endpoint.endpoint_id, endpoint.principal, version)
        )
        return web.Response(status=204)

    async def test(self, request: web.Request) -> web.Response:
        """Send the endpoint a `webhook.test` and answer with its delivery."""
        parameters.check(request)
        endpoint = self._find(request)
        seen = await self._webhooks.test(endpoint.principal, endpoint.endpoint_id)
        url = f"{self._services.public_url}{DELIVERIES}/{seen.delivery.delivery_id}"
        headers = {**_NOW, "Location": url}
        return web.Response(body=encode(render_delivery(seen)), status=202, headers=headers)

    async def rotate_secret(self, request: web.Request) -> web.Response:
        """Make a new secret and show it, this once; a body may say how long the old one signs."""
        overlap_s = await self._overlap_s(request)
        endpoint = self._find(request)
        rotated = await self._webhooks.rotate(endpoint.principal, endpoint.endpoint_id, overlap_s)
        return _rotated(endpoint.endpoint_id, rotated)

    async def rotate_default(self, request: web.Request) -> web.Response:
        """Do the same for the callbacks of the caller's jobs."""
        overlap_s = await self._overlap_s(request)
        return _rotated("default", await self._webhooks.rotate_default(_owner(request), overlap_s))

    async def rotate_ops(self, request: web.Request) -> web.Response:
        """Do the same for what befalls the daemon itself, for who runs it."""
        overlap_s = await self._overlap_s(request)
        if not _runs_it(request):
            raise NotFound("endpoint_not_found", "There is no endpoint ops that you may see.")
        return _rotated("ops", await self._webhooks.rotate_default(OPS, overlap_s))

    async def _overlap_s(self, request: web.Request) -> float:
        parameters.check(request)
        if not request.can_read_body:
            return RotateRequest().overlap_seconds
        return _rotations.decode(await self._body(request)).overlap_seconds

    async def _body(self, request: web.Request) -> bytes:
        return await read_json(
            request,
            limit_bytes=self._services.config.limits.body_bytes,
            timeout_s=self._services.body_timeout_s,
        )

    def _find(self, request: web.Request) -> Endpoint:
        """Return the endpoint of the path, as its principal may see it; raises NotFound."""
        return self._webhooks.get(_owner(request), request.match_info["endpoint_id"])


def _owner(request: web.Request) -> str:
    """Return the principal whose endpoints the caller may see and change."""
    return request[PRINCIPAL]


def _runs_it(request: web.Request) -> bool:
    return request[PRINCIPAL] in {"uid:0", f"uid:{os.getuid()}"}


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
