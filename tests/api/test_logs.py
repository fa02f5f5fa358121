"""`GET /v1/jobs/{id}/logs`, and log lines among events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from jobd.domain.jobs import Claim
    from tests.api.conftest import Api

NDJSON = "application/x-ndjson"
AT_MS = 1_767_225_600_500


async def written(api: Api) -> tuple[str, Claim]:
    """A job that has failed once, having written, and writes on; its URL and lease."""
    url = (await api.submit(Prefer="respond-async")).headers["Location"]
    first = await api.claim()
    with api.attempt_log(first) as log:
        log.append(AT_MS, "stdout", "one", "zwei ü")
    await api.end(first, Status.RETRYING, delay_ms=0)
    await api.writer.promote()
    return url, await api.claim()


async def test_the_lines_of_all_attempts(api: Api) -> None:
    url, claim = await written(api)
    with api.attempt_log(claim) as log:
        log.append(AT_MS, "stderr", "three")
        running = await api.get(f"{url}/logs")

    assert (running.status, running.body) == (200, "one\nzwei ü\nthree\n".encode())
    assert running.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert running.headers["Cache-Control"] == "no-store"
    assert running.headers["X-Content-Type-Options"] == "nosniff"
    assert (await api.get(f"{url}/logs")).body == running.body


async def test_as_ndjson(api: Api) -> None:
    url, _ = await written(api)

    reply = await api.get(f"{url}/logs?tail=1", Accept=NDJSON)

    assert reply.headers["Content-Type"] == f"{NDJSON}; charset=utf-8"
    assert reply.body.endswith(b"\n")
    assert reply.json == {
        "attempt": 1,
        "timestamp": "2026-01-01T00:00:00.500000Z",
        "stream": "stdout",
        "line": "zwei ü",
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("attempt=1", b"one\nzwei \xc3\xbc\n"),
        ("attempt=2", b"three\n"),
        ("attempt=3", b""),
        ("tail=2", b"zwei \xc3\xbc\nthree\n"),
        ("tail=0", b""),
        ("attempt=1&tail=1", b"zwei \xc3\xbc\n"),
        ("follow=0", b"one\nzwei \xc3\xbc\nthree\n"),
    ],
)
async def test_some_of_them(api: Api, query: str, expected: bytes) -> None:
    url, claim = await written(api)
    with api.attempt_log(claim) as log:
        log.append(AT_MS, "stderr", "three")

    assert (await api.get(f"{url}/logs?{query}")).body == expected


async def test_a_job_that_wrote_nothing(api: Api) -> None:
    url = (await api.submit()).headers["Location"]

    assert (await api.get(f"{url}/logs")).body == b""


@pytest.mark.parametrize("query", ["", "?attempt=2", "?tail=1"])
async def test_lines_are_followed_until_the_job_ends(api: Api, query: str) -> None:
    url, claim = await written(api)
    first = {
        "": [b"one\n", "zwei ü\n".encode()],
        "?attempt=2": [],
        "?tail=1": ["zwei ü\n".encode()],
    }

    path = f"http://jobd{url}/logs{query or '?'}&follow=1"
    async with api.http.get(path) as response:
        lines = [await response.content.readline() for _ in first[query]]
        with api.attempt_log(claim) as log:
            log.append(AT_MS, "stdout", "three")
            lines.append(await response.content.readline())
            log.append(AT_MS, "stdout", "four")
            log.append(AT_MS, "stdout", "five")
        await api.end(claim)
        lines.append(await response.content.read())

    assert lines == [*first[query], b"three\n", b"four\nfive\n"]


async def test_nothing_is_followed_when_the_job_is_over(api: Api) -> None:
    url, claim = await written(api)
    await api.end(claim)

    assert (await api.get(f"{url}/logs?follow=1")).body == "one\nzwei ü\n".encode()


async def test_a_follower_waits_for_the_first_attempt(api: Api) -> None:
    url = (await api.submit(Prefer="respond-async")).headers["Location"]

    following = asyncio.create_task(api.get(f"{url}/logs?follow=true", Accept=NDJSON))
    await api.next_watch()
    claim = await api.claim()
    with api.attempt_log(claim) as log:
        log.append(AT_MS, "log", "hello")
    await api.end(claim)

    assert (await following).json["line"] == "hello"


async def test_following_ends_when_jobd_drains(api: Api) -> None:
    url, _ = await written(api)

    following = asyncio.create_task(api.get(f"{url}/logs?follow=1"))
    await api.next_watch()
    api.draining.set()

    assert (await following).body == "one\nzwei ü\n".encode()


async def test_what_is_refused(api: Api) -> None:
    url, _ = await written(api)

    (await api.get(f"{url}/logs", Accept="application/json")).problem(406, "not_acceptable")
    for query in ("attempt=0", "attempt=x", "tail=-1", "follow=yes", "tail=1&tail=2"):
        (await api.get(f"{url}/logs?{query}")).problem(400, "invalid_parameter")
    (await api.get(f"{url}/logs?lines=1")).problem(400, "unknown_parameter")
    (await api.get("/v1/jobs/x/logs")).problem(404, "job_not_found")


async def test_lines_come_among_the_events_where_they_belong(api: Api) -> None:
    url, claim = await written(api)

    async with api.stream(f"{url}/events?logs=1") as events:
        snapshot = await events.next()
        with api.attempt_log(claim) as log:
            log.append(AT_MS, "stdout", "three")
            line = await events.next()
            log.append(AT_MS, "stderr", "four")
        await api.end(claim)
        rest = await events.rest()

    assert snapshot is not None
    assert line is not None
    assert (line.event, line.id) == ("job.log", snapshot.id)
    assert line.data == {
        "type": "job.log",
        "timestamp": "2026-01-01T00:00:00.500000Z",
        "data": {
            "attempt": 2,
            "timestamp": "2026-01-01T00:00:00.500000Z",
            "stream": "stdout",
            "line": "three",
        },
    }
    assert [(frame.event, frame.data["data"].get("line")) for frame in rest] == [
        ("job.log", "four"),
        ("job.completed", None),
    ]
