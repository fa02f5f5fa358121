"""The routes, and the application made of them.

Not here: the listening socket and the server's own limits (daemon.py).
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler

from jobd.api.attempts import AttemptRoutes
from jobd.api.auth import Callers
from jobd.api.batches import BatchRoutes
from jobd.api.deliveries import DeliveryRoutes
from jobd.api.endpoints import EndpointRoutes
from jobd.api.events import EventRoutes
from jobd.api.handlers import HandlerRoutes
from jobd.api.health import HealthRoutes
from jobd.api.hub import Hub
from jobd.api.jobs import JobRoutes
from jobd.api.logs import LogRoutes
from jobd.api.middleware import boundary
from jobd.api.nowhere import expect_nothing_of
from jobd.api.openapi.routes import OpenApiRoutes
from jobd.api.origins import origins_of
from jobd.api.queues import QueueRoutes
from jobd.api.rates import Rates
from jobd.api.results import ResultRoutes
from jobd.api.services import Services
from jobd.api.streams import Streams
from jobd.api.tokens import TokenRoutes
from jobd.api.uploads import UploadRoutes
from jobd.api.waiting import Waits
from jobd.api.workers import WorkerRoutes
from jobd.api.ws import SocketRoutes

__all__ = ["Services", "build"]

_JOB = "/v1/jobs/{job_id}"
_BATCH = "/v1/batches/{batch_id}"
_UPLOAD = "/v1/uploads/{file_id}"
_QUEUE = "/v1/queues/{name}"
_ENDPOINT = "/v1/webhook-endpoints/{endpoint_id}"
_DELIVERY = "/v1/webhook-deliveries/{delivery_id:(?!redeliver$)[^{}/]+}"
"""`redeliver` is no id: another method there is not allowed, rather than not found."""

_Route = tuple[str, str, Handler]


def build(services: Services) -> web.Application:
    """Return the application; it is started and cleaned up by its runner."""
    waits = Waits(
        services.draining,
        services.tokens,
        limit=max(1, services.config.limits.connections // 2),
    )
    streams = Streams(
        services.draining,
        services.tokens,
        limit=services.config.limits.streams_per_principal,
        keep_alive_s=services.keep_alive_s,
    )
    hub = Hub(
        services.bus,
        services.readers,
        progress_interval_s=services.progress_interval_s,
        public_url=services.public_url,
    )
    origins = origins_of(services.config.server)
    callers = Callers(services.config.auth, services.tokens)
    rates = Rates(services.config.limits, services.clock.monotonic_s)
    app = web.Application(
        middlewares=[boundary(services.clock, callers, rates, origins.admit if origins else None)],
        client_max_size=services.config.limits.body_bytes,
    )
    routes = [
        *_job_routes(services, waits),
        *_batch_routes(services),
        *_stream_routes(services, streams, hub),
        ("GET", "/v1/ws", SocketRoutes(services, streams, hub, rates, callers).connect),
        *_webhook_routes(services),
        *_other_routes(services),
    ]
    for method, path, handler in routes:
        app.router.add_route(method, path, handler, expect_handler=_body_is_asked_for_later)
    expect_nothing_of(app.router)

    async def ending(_app: web.Application) -> AsyncIterator[None]:
        """End what waits when jobd drains."""
        tasks = [
            asyncio.create_task(waits.end_when_draining()),
            asyncio.create_task(streams.end_when_draining()),
        ]
        yield
        hub.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    app.cleanup_ctx.append(ending)
    if origins is not None and services.config.server.allow_origins:
        app.on_response_prepare.append(origins.add_headers)
    return app


def _job_routes(services: Services, waits: Waits) -> list[_Route]:
    jobs, results = JobRoutes(services, waits), ResultRoutes(services)
    return [
        ("POST", "/v1/jobs", jobs.submit),
        ("GET", "/v1/jobs", jobs.page),
        ("GET", _JOB, jobs.read),
        ("DELETE", _JOB, jobs.delete),
        ("POST", f"{_JOB}/cancel", jobs.cancel),
        ("POST", f"{_JOB}/retry", jobs.retry),
        ("GET", f"{_JOB}/result", results.result),
        ("HEAD", f"{_JOB}/result", results.result),
        ("GET", f"{_JOB}/attempts", AttemptRoutes(services).page),
        ("GET", f"{_JOB}/artifacts", results.artifacts),
        ("GET", f"{_JOB}/artifacts/{{name}}", results.artifact),
        ("HEAD", f"{_JOB}/artifacts/{{name}}", results.artifact),
    ]


def _batch_routes(services: Services) -> list[_Route]:
    batches = BatchRoutes(services)
    return [
        ("POST", "/v1/batches", batches.create),
        ("GET", "/v1/batches", batches.page),
        ("GET", _BATCH, batches.read),
        ("POST", f"{_BATCH}/cancel", batches.cancel),
        ("POST", f"{_BATCH}/retry", batches.retry),
    ]


def _stream_routes(services: Services, streams: Streams, hub: Hub) -> list[_Route]:
    events, logs = EventRoutes(services, streams, hub), LogRoutes(services, streams)
    return [
        ("GET", f"{_JOB}/events", events.of_job),
        ("GET", f"{_JOB}/logs", logs.log),
        ("GET", "/v1/events", events.of_all),
    ]


def _webhook_routes(services: Services) -> list[_Route]:
    endpoints, deliveries = EndpointRoutes(services), DeliveryRoutes(services)
    return [
        ("POST", "/v1/webhook-endpoints", endpoints.create),
        ("GET", "/v1/webhook-endpoints", endpoints.page),
        ("POST", "/v1/webhook-endpoints/default/rotate-secret", endpoints.rotate_default),
        ("POST", "/v1/webhook-endpoints/ops/rotate-secret", endpoints.rotate_ops),
        ("GET", _ENDPOINT, endpoints.read),
        ("PATCH", _ENDPOINT, endpoints.change),
        ("DELETE", _ENDPOINT, endpoints.delete),
        ("POST", f"{_ENDPOINT}/test", endpoints.test),
        ("POST", f"{_ENDPOINT}/rotate-secret", endpoints.rotate_secret),
        ("GET", "/v1/webhook-deliveries", deliveries.page),
        ("POST", "/v1/webhook-deliveries/redeliver", deliveries.redeliver_all),
        ("GET", _DELIVERY, deliveries.read),
        ("POST", f"{_DELIVERY}/redeliver", deliveries.redeliver),
    ]


def _other_routes(services: Services) -> list[_Route]:
    uploads = UploadRoutes(services)
    health, queues = HealthRoutes(services), QueueRoutes(services)
    handlers, tokens = HandlerRoutes(services), TokenRoutes(services)
    return [
        ("POST", "/v1/uploads", uploads.create),
        ("GET", _UPLOAD, uploads.read),
        ("HEAD", _UPLOAD, uploads.read),
        ("DELETE", _UPLOAD, uploads.delete),
        ("GET", "/v1/queues", queues.page),
        ("PATCH", _QUEUE, queues.change),
        ("POST", f"{_QUEUE}/pause", queues.pause),
        ("POST", f"{_QUEUE}/resume", queues.resume),
        ("GET", "/v1/handlers", handlers.page),
        ("POST", "/v1/handlers/reload", handlers.reload),
        ("GET", "/v1/workers", WorkerRoutes(services).page),
        ("POST", "/v1/tokens", tokens.create),
        ("GET", "/v1/tokens", tokens.page),
        ("DELETE", "/v1/tokens/{token_id}", tokens.revoke),
        ("GET", "/v1/status", health.status),
        ("GET", "/livez", health.alive),
        ("GET", "/readyz", health.ready),
        ("GET", "/openapi.json", OpenApiRoutes(services).document),
    ]


async def _body_is_asked_for_later(_request: web.Request) -> None:
    """Leave `Expect: 100-continue` to the reading of the body, after all that may refuse it."""
