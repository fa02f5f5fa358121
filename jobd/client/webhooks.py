"""Endpoints that are told of events, and what became of what was sent to them.

Not here: the receiver's side (domain/signing.py verifies a message).
"""

import http.client
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypedDict, TypeVar, Unpack
from urllib.parse import quote, urlencode

import msgspec

from jobd.client.link import Answer, ApiError, Link, answer
from jobd.wire.deliveries import (
    Delivery,
    DeliveryAttempt,
    DeliveryDetail,
    DeliveryList,
    Redelivered,
    RedeliverRequest,
)
from jobd.wire.endpoints import (
    Endpoint,
    EndpointList,
    EndpointPatch,
    EndpointRequest,
    NewEndpoint,
    RotatedEndpoint,
    RotateRequest,
)

__all__ = [
    "Delivery",
    "DeliveryAttempt",
    "DeliveryDetail",
    "DeliveryFilters",
    "Endpoint",
    "EndpointPatch",
    "EndpointRequest",
    "RedeliverRequest",
    "WebhookCalls",
]

T = TypeVar("T")

_ENDPOINTS = "/v1/webhook-endpoints"
_DELIVERIES = "/v1/webhook-deliveries"
_LOOK_S = 0.1
_LONGEST_LOOK_S = 1.0
_JSON = {"Content-Type": "application/json"}


class DeliveryFilters(TypedDict, total=False):
    """What deliveries must be to be listed; what is left out, or None, does not matter."""

    status: str | None
    job_id: str | None
    endpoint_id: str | None
    since: datetime | None
    """Only what was made from then on."""
    all: bool
    """Everybody's, which takes the right to read."""


class WebhookCalls:
    """`client.webhooks`: who is told of what, and whether it has arrived."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def endpoints(
        self,
        *,
        all: bool = False,  # noqa: A002 - as the API calls it
        page_size: int | None = None,
        page_token: str | None = None,
    ) -> Answer[EndpointList]:
        """Return the oldest of the caller's endpoints, or of everybody's, or another page."""
        named = {"all": "true" if all else None, "page_size": page_size, "page_token": page_token}
        return self._link.json("GET", f"{_ENDPOINTS}{_query(named)}", EndpointList)

    def add(self, request: EndpointRequest) -> Answer[NewEndpoint]:
        """Register an endpoint and return it with its secret, which is shown this once.

        Asked once: if the answer is lost, the list says whether it is there.
        """
        return self._once(_ENDPOINTS, NewEndpoint, request)

    def get(self, endpoint_id: str) -> Answer[Endpoint]:
        """Return the endpoint as it is now."""
        return self._link.json("GET", _endpoint(endpoint_id), Endpoint)

    def change(
        self, endpoint_id: str, patch: EndpointPatch, *, etag: str | None = None
    ) -> Answer[Endpoint]:
        """Change what the patch names and return the endpoint as it is then.

        ApiError (`precondition_failed`) when it is not as the `etag` of an earlier answer has it.
        """
        headers = _JSON if etag is None else {**_JSON, "If-Match": etag}
        body = msgspec.json.encode(patch)
        return self._link.json(
            "PATCH", _endpoint(endpoint_id), Endpoint, headers=headers, body=body
        )

    def delete(self, endpoint_id: str) -> None:
        """Remove the endpoint; what still waited for it is dead."""
        path = _endpoint(endpoint_id)
        try:
            self._link.patiently(lambda: self._link.open("DELETE", path).read())
        except ApiError as error:
            if not self._link.repeated or error.problem.code != "endpoint_not_found":
                raise  # else the answer that was lost was a yes

    def test(self, endpoint_id: str) -> Answer[Delivery]:
        """Have a `webhook.test` sent, and return its delivery, which is due."""
        return self._link.json("POST", f"{_endpoint(endpoint_id)}/test", Delivery)

    def rotate_secret(
        self, endpoint_id: str = "default", *, overlap_s: float | None = None
    ) -> Answer[RotatedEndpoint]:
        """Return a new secret; the one before signs for a while too.

        `default` signs the callbacks of the caller's jobs. Asked once: a second time would
        make the first one's secret, which nobody saw, the one before.
        """
        asked = None if overlap_s is None else RotateRequest(overlap_s)
        return self._once(f"{_endpoint(endpoint_id)}/rotate-secret", RotatedEndpoint, asked)

    def deliveries(
        self,
        *,
        page_size: int | None = None,
        page_token: str | None = None,
        **filters: Unpack[DeliveryFilters],
    ) -> Answer[DeliveryList]:
        """Return the newest deliveries that match, one page, or the page of `page_token`.

        ValueError for a time without a zone.
        """
        since = filters.get("since")
        if since is not None and since.tzinfo is None:
            raise ValueError("since has no zone")
        named = {**filters, "page_size": page_size, "page_token": page_token}
        named["all"] = "true" if filters.get("all") else None
        return self._link.json("GET", f"{_DELIVERIES}{_query(named)}", DeliveryList)

    def all_deliveries(self, **filters: Unpack[DeliveryFilters]) -> Iterator[Delivery]:
        """Yield all deliveries that match, newest first; a page is asked for when it is needed."""
        token: str | None = None
        while True:
            page = self.deliveries(page_token=token, **filters).value
            yield from page.deliveries
            token = page.next_page_token
            if not token:
                return

    def delivery(self, delivery_id: str) -> Answer[DeliveryDetail]:
        """Return a delivery with all its attempts."""
        return self._link.json("GET", _delivery(delivery_id), DeliveryDetail)

    def tried(self, delivery_id: str, *, timeout_s: float) -> DeliveryDetail:
        """Return the delivery once it was attempted or has ended, or as it is after `timeout_s`."""
        until_s, pause_s = time.monotonic() + timeout_s, _LOOK_S
        while True:
            delivery = self.delivery(delivery_id).value
            left_s = until_s - time.monotonic()
            if delivery.attempt_count or delivery.dead_reason or left_s <= 0:
                return delivery
            self._link.pause(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_LOOK_S)

    def redeliver(self, delivery_id: str) -> Answer[Delivery]:
        """Have a delivery that is over sent anew, with its webhook-id, by a new schedule."""
        path = f"{_delivery(delivery_id)}/redeliver"
        try:
            return self._link.json("POST", path, Delivery)
        except ApiError as error:
            if not self._link.repeated or error.problem.code != "delivery_active":
                raise
        # the answer that was lost was a yes
        return self._link.json("GET", _delivery(delivery_id), Delivery)

    def redeliver_all(self, request: RedeliverRequest) -> Answer[Redelivered]:
        """Have all that fit sent anew, and return how many they are."""
        body = msgspec.json.encode(request)
        path = f"{_DELIVERIES}/redeliver"
        return self._link.json("POST", path, Redelivered, headers=_JSON, body=body)

    def _once(self, path: str, shape: type[T], document: msgspec.Struct | None) -> Answer[T]:
        """Send what must not be sent twice."""
        self._link.close()  # a connection that was kept may be dead
        headers = None if document is None else _JSON
        body = None if document is None else msgspec.json.encode(document)
        try:
            response = self._link.open("POST", path, headers, body)
            return answer(response, response.read(), shape)
        except (OSError, http.client.HTTPException) as error:
            raise self._link.broken(error) from error


def _query(named: Mapping[str, Any]) -> str:
    given = {name: msgspec.to_builtins(value) for name, value in named.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _endpoint(endpoint_id: str) -> str:
    return f"{_ENDPOINTS}/{quote(endpoint_id, safe='')}"


def _delivery(delivery_id: str) -> str:
    return f"{_DELIVERIES}/{quote(delivery_id, safe='')}"
