"""The documents of endpoints and deliveries, one function for each, for golden/."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.domain.deliveries import Attempted, DeliveryAttempt, DeliveryStatus, Verdict
from jobd.domain.endpoints import Disabling
from jobd.store.deliveries import Deliveries
from jobd.wire.webhooks import encode_test
from tests.support.clock import START_MS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.api.conftest import Api, Reply

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # noqa: S105 - nobody's
ENDPOINT = {"url": "unix:/run/app.sock:/hook", "kinds": ["test.*"], "secret": SECRET}


async def endpoint(api: Api) -> Reply:
    return await api.ask("POST", "/v1/webhook-endpoints", json=ENDPOINT)


async def endpoint_created(api: Api) -> bytes:
    return (await endpoint(api)).body


async def endpoint_read(api: Api) -> bytes:
    url = (await endpoint(api)).headers["Location"]
    await api.writer.disable_endpoint(Disabling(url.rpartition("/")[2], "gone"))
    return (await api.get(url)).body


async def endpoints(api: Api) -> bytes:
    await endpoint(api)
    return (await api.get("/v1/webhook-endpoints")).body


async def dead(api: Api) -> str:
    """A dead letter: the URL of its delivery."""
    url = (await endpoint(api)).headers["Location"]
    due = await api.ask("POST", f"{url}/test")
    attempt = DeliveryAttempt(
        attempt=1,
        started_at_ms=START_MS,
        duration_ms=12,
        status_code=503,
        error="http_status",
        response_excerpt="later",
        response_headers={"retry-after": "7"},
    )
    verdict = Verdict(DeliveryStatus.DEAD, dead_reason="exhausted")
    ended = Attempted(due.json["delivery_id"], attempt, verdict)
    await Deliveries(api.database, api.clock).record([ended])
    return due.headers["Location"]


async def delivery(api: Api) -> bytes:
    return (await api.get(await dead(api))).body


async def delivery_due(api: Api) -> bytes:
    return (await api.ask("POST", f"{await dead(api)}/redeliver")).body


async def deliveries(api: Api) -> bytes:
    await dead(api)
    return (await api.get("/v1/webhook-deliveries")).body


async def redelivered(api: Api) -> bytes:
    await dead(api)
    return (await api.ask("POST", "/v1/webhook-deliveries/redeliver", json={})).body


async def webhook_test(_api: Api) -> bytes:
    return encode_test("whe_019b76daa400700080000000000000aa", START_MS)


GOLDEN: dict[str, Callable[[Api], Awaitable[bytes]]] = {
    "endpoint_created.json": endpoint_created,
    "endpoint.json": endpoint_read,
    "endpoints.json": endpoints,
    "delivery.json": delivery,
    "delivery_due.json": delivery_due,
    "deliveries.json": deliveries,
    "redelivered.json": redelivered,
    "webhook_test.json": webhook_test,
}
