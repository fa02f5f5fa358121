"""`/v1/handlers`, `/v1/status`, `/livez`, `/readyz`."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from jobd import __version__
from jobd.wire.status import Check
from jobd.wire.times import from_ms
from jobd.wire.workers import Worker

if TYPE_CHECKING:
    from tests.api.conftest import Api


async def test_the_handlers_and_those_that_did_not_load(api: Api) -> None:
    reply = await api.get("/v1/handlers")

    listed = reply.json
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert [handler["kind"] for handler in listed["handlers"]] == ["test.any", "test.strict"]
    strict = listed["handlers"][1]
    assert strict.pop("args_schema")["required"] == ["n"]
    assert strict == {
        "kind": "test.strict",
        "description": "Takes one number.",
        "lane": "io",
        "queue": "slow",
        "timeout_seconds": 10.0,
        "max_attempts": 7,
        "backoff_base_seconds": None,
        "backoff_cap_seconds": None,
        "heartbeat_timeout_seconds": None,
        "memory_mb": None,
        "distribution": "jobd-test",
        "version": "1.0",
        "target": "test:strict",
    }
    assert listed["load_errors"] == [
        {
            "kind": "test.broken",
            "distribution": "jobd-bad",
            "target": "bad:f",
            "message": "No module named 'x'",
        }
    ]
    assert listed["next_page_token"] is None


async def test_the_handlers_before_they_are_known(api: Api) -> None:
    api.kinds.catalog = None

    (await api.get("/v1/handlers")).problem(503, "starting")


async def test_the_status(api: Api) -> None:
    await api.submit()
    await api.submit()
    await api.claim()
    api.pool.free["cpu"] = 1

    reply = await api.get("/v1/status")

    assert reply.json == {
        "version": __version__,
        "api": "v1",
        "python": platform.python_version(),
        "sqlite": "3.99",
        "instance_id": "instance",
        "started_at": "2026-01-01T00:00:00Z",
        "accepting": True,
        "queued": 1,
        "processing": 1,
        "worker_slots": {"cpu": {"total": 2, "free": 1}},
        "estimated_wait_seconds": None,
    }
    assert reply.headers["Cache-Control"] == "no-store"


async def test_the_status_before_the_jobs_are_counted(api: Api) -> None:
    await api.submit(Prefer="respond-async")
    api.writer.tally.known = False

    reply = await api.get("/v1/status")

    assert (reply.json["queued"], reply.json["estimated_wait_seconds"]) == (1, None)


async def test_the_status_says_how_long_a_job_would_wait(api: Api) -> None:
    api.pool.free = {"cpu": 1, "io": 1}

    assert (await api.get("/v1/status")).json["estimated_wait_seconds"] == 0.0


async def test_without_a_catalogue_nothing_is_accepted(api: Api) -> None:
    api.kinds.catalog = None

    assert (await api.get("/v1/status")).json["accepting"] is False


async def test_a_parameter_is_refused(api: Api) -> None:
    (await api.get("/v1/status?a=1")).problem(400, "unknown_parameter")
    (await api.get("/v1/handlers?a=1")).problem(400, "unknown_parameter")


async def test_alive(api: Api) -> None:
    reply = await api.get("/livez", Authorization="Bearer x")

    assert (reply.status, reply.body) == (200, b'{"status":"ok"}')
    assert reply.headers["Cache-Control"] == "no-store"


async def test_ready(api: Api) -> None:
    api.checks = {"database": Check("ok", latency_ms=0.5)}

    reply = await api.get("/readyz", Authorization="Bearer x")

    assert (reply.status, reply.headers["Cache-Control"]) == (200, "no-store")
    assert reply.json == {
        "status": "ok",
        "checks": {"database": {"status": "ok", "latency_ms": 0.5}},
    }


async def test_one_failed_check_is_not_ready(api: Api) -> None:
    api.checks = {"database": Check("ok"), "draining": Check("unavailable", detail="stopping")}

    reply = await api.get("/readyz")

    assert (reply.status, reply.json["status"]) == (503, "unavailable")
    assert reply.json["checks"]["draining"] == {"status": "unavailable", "detail": "stopping"}


async def test_the_workers(api: Api) -> None:
    api.workers = [
        Worker(
            worker_id="1",
            lane="cpu",
            pid=42,
            state="ready",
            job_ids=["job_x"],
            jobs_done=7,
            rss_bytes=None,
            started_at=from_ms(0),
        )
    ]

    reply = await api.get("/v1/workers")

    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.json == {
        "workers": [
            {
                "worker_id": "1",
                "lane": "cpu",
                "pid": 42,
                "state": "ready",
                "job_ids": ["job_x"],
                "jobs_done": 7,
                "rss_bytes": None,
                "started_at": "1970-01-01T00:00:00Z",
            }
        ],
        "next_page_token": None,
    }
    (await api.get("/v1/workers?a=1")).problem(400, "unknown_parameter")
