"""The routes, and the application made of them.

Not here: the listening socket and the server's own limits (daemon.py).
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler

from jobd.api.handlers import HandlerRoutes
from jobd.api.health import HealthRoutes
from jobd.api.jobs import JobRoutes
from jobd.api.middleware import boundary
from jobd.api.results import ResultRoutes
from jobd.api.services import Services
from jobd.api.waiting import Waits

__all__ = ["Services", "build"]


def build(services: Services) -> web.Application:
    """Return the application; it is started and cleaned up by its runner."""
    waits = Waits(services.draining)
    app = web.Application(
        middlewares=[boundary(services.clock)],
        client_max_size=services.config.limits.body_bytes,
    )
    for method, path, handler in _routes(services, waits):
        app.router.add_route(method, path, handler, expect_handler=_body_is_asked_for_later)

    async def drained_waits(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(waits.end_when_draining())
        yield
        task.cancel()
        await asyncio.wait([task])

    app.cleanup_ctx.append(drained_waits)
    return app


def _routes(services: Services, waits: Waits) -> list[tuple[str, str, Handler]]:
    jobs, results = JobRoutes(services, waits), ResultRoutes(services)
    handlers, health = HandlerRoutes(services), HealthRoutes(services)
    one = "/v1/jobs/{job_id}"
    return [
        ("POST", "/v1/jobs", jobs.submit),
        ("GET", "/v1/jobs", jobs.page),
        ("GET", one, jobs.read),
        ("POST", f"{one}/cancel", jobs.cancel),
        ("GET", f"{one}/result", results.result),
        ("HEAD", f"{one}/result", results.result),
        ("GET", f"{one}/artifacts", results.artifacts),
        ("GET", f"{one}/artifacts/{{name}}", results.artifact),
        ("HEAD", f"{one}/artifacts/{{name}}", results.artifact),
        ("GET", "/v1/handlers", handlers.page),
        ("GET", "/v1/status", health.status),
        ("GET", "/livez", health.alive),
        ("GET", "/readyz", health.ready),
    ]


async def _body_is_asked_for_later(_request: web.Request) -> None:
    """Leave `Expect: 100-continue` to the reading of the body, after all that may refuse it."""
