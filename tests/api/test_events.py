"""`GET /v1/jobs/{id}/events`: the frames, the past, the resuming, the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobd.config import Config, Limits
from jobd.domain.jobs import Claim, JobError, Progress, Update
from jobd.domain.outcomes import was_cancelled
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.api.conftest import Api, EventReader, Frame

    Serve = Callable[..., AbstractAsyncContextManager[Api]]


async def queued(api: Api) -> str:
    """Submit a job and return its URL."""
    return (await api.submit(Prefer="respond-async")).headers["Location"]


async def report(api: Api, claim: Claim, pct: float) -> None:
    await api.writer.progress(Update(claim.seq, claim.token, Progress(pct=pct)))


async def lived(api: Api) -> tuple[str, list[Any]]:
    """A job that failed once and was cancelled while it ran again; its URL and history."""
    url = await queued(api)
    error = JobError("broken", "It broke.", retryable=True)
    fields = {"delay_ms": 0, "error": error, "failures_delta": 1}
    await api.end(await api.claim(), Status.RETRYING, **fields)
    await api.writer.promote()
    claim = await api.claim()
    await api.ask("POST", f"{url}/cancel")
    await api.end(claim, Status.CANCELLED, error=was_cancelled(2))
    return url, (await api.get(f"{url}/events", Accept="application/json")).json["events"]


def told(frames: list[Frame]) -> list[Any]:
    """The frames as a history has them."""
    return [{"id": str(frame.id), **frame.data} for frame in frames]


async def test_a_job_is_followed_to_its_end(api: Api) -> None:
    url = await queued(api)

    async with api.stream(f"{url}/events") as events:
        first = await events.next()
        claim = await api.claim()
        second = await events.next()
        await report(api, claim, 5.0)
        third = await events.next()
        await api.end(claim)
        rest = await events.rest()

    assert first is not None
    assert second is not None
    assert third is not None
    frames = [first, second, third, *rest]
    assert [frame.event for frame in frames] == [
        "job.queued",
        "job.processing",
        "job.progress",
        "job.completed",
    ]
    assert [frame.data["type"] for frame in frames] == [frame.event for frame in frames]
    assert [frame.retry for frame in frames] == ["2000", None, None, None]
    assert [frame.id for frame in frames] == sorted({frame.id for frame in frames})
    jobs = [frame.data["data"] for frame in frames]
    assert [job["status"] for job in jobs] == ["queued", "processing", "processing", "completed"]
    assert [job["progress_pct"] for job in jobs] == [0.0, 0.0, 5.0, 100.0]
    assert jobs[-1]["done"]
    assert jobs[-1] == (await api.get("/v1/jobs")).json["jobs"][0]


async def test_the_answer(api: Api) -> None:
    url = await queued(api)

    async with api.stream(f"{url}/events", X_Request_Id="mine") as events:
        assert events.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert events.headers["Cache-Control"] == "no-store"
        assert events.headers["X-Accel-Buffering"] == "no"
        assert events.headers["Transfer-Encoding"] == "chunked"
        assert events.headers["X-Request-Id"] == "mine"
        assert not {"Content-Length", "Content-Encoding", "Connection"} & events.headers.keys()
        lines = [await events.content.readline() for _ in range(5)]

    assert lines[0] == b"retry: 2000\n"
    assert lines[1].startswith(b"id: ")
    assert lines[2] == b"event: job.queued\n"
    assert lines[3].startswith(b'data: {"type":"job.queued","timestamp":"2026-01-01T00:00:00Z",')
    assert lines[4] == b"\n"


async def test_without_an_id_it_begins_with_how_the_job_stands(api: Api) -> None:
    url = await queued(api)
    claim = await api.claim()
    await report(api, claim, 7.0)
    history = (await api.get(f"{url}/events", Accept="application/json")).json["events"]

    async with api.stream(f"{url}/events") as events:
        first = await events.next()

    assert first is not None
    assert [past["type"] for past in history] == ["job.queued", "job.processing", "job.progress"]
    assert (str(first.id), first.event) == (history[1]["id"], "job.processing")
    assert first.data["data"] == history[2]["data"]


async def test_with_an_id_it_goes_on_behind_it(api: Api) -> None:
    url, history = await lived(api)
    types = ["queued", "processing", "retrying", "queued", "processing", "cancel_requested"]
    assert [past["type"] for past in history] == [f"job.{t}" for t in [*types, "cancelled"]]

    for n, past in enumerate(history[:-1]):
        async with api.stream(f"{url}/events", Last_Event_ID=past["id"]) as events:
            assert told(await events.rest()) == history[n + 1 :]


async def test_the_id_may_stand_in_the_url_but_the_header_is_newer(api: Api) -> None:
    url, history = await lived(api)

    async with api.stream(f"{url}/events?last_event_id=0") as events:
        assert told(await events.rest()) == history
    path = f"{url}/events?last_event_id={history[0]['id']}"
    async with api.stream(path, Last_Event_ID=history[-2]["id"]) as events:
        assert told(await events.rest()) == history[-1:]


@pytest.mark.parametrize("id_", ["", "x", "-1", "1.5", "+1", "9" * 18, "9" * 19, "9" * 99])
async def test_an_id_that_was_never_given_out_is_none(api: Api, id_: str) -> None:
    url, history = await lived(api)

    async with api.stream(f"{url}/events", Last_Event_ID=id_) as events:
        assert told(await events.rest()) == history[-1:]


async def test_who_has_seen_the_end_is_told_to_stay_away(api: Api) -> None:
    url, history = await lived(api)
    later = (await api.submit()).json["job_id"]
    newest = (await api.get(f"/v1/jobs/{later}/events", Accept="application/json")).json["events"]

    for id_ in (history[-1]["id"], newest[0]["id"]):
        reply = await api.get(f"{url}/events", Last_Event_ID=id_)
        assert (reply.status, reply.body, reply.headers["Cache-Control"]) == (204, b"", "no-store")


async def test_a_retry_is_no_news_of_the_old_job(api: Api) -> None:
    url, history = await lived(api)
    assert (await api.ask("POST", f"{url}/retry")).status == 202

    assert (await api.get(f"{url}/events", Last_Event_ID=history[-1]["id"])).status == 204
    async with api.stream(f"{url}/events") as events:
        assert told(await events.rest()) == history[-1:]


async def test_a_stream_is_resumed_at_another_daemon(serve: Serve) -> None:
    async with serve(Config()) as api:
        url = await queued(api)
        async with api.stream(f"{url}/events") as events:
            seen = [await events.next()]
            await api.claim()
            seen.append(await events.next())
    async with serve(Config()) as api:
        await api.writer.recover()
        async with api.stream(f"{url}/events", Last_Event_ID=str(seen[-1].id)) as events:  # type: ignore[union-attr]
            seen.append(await events.next())
            claim = await api.claim()
            seen.append(await events.next())
            await api.end(claim)
            seen += await events.rest()
        history = (await api.get(f"{url}/events", Accept="application/json")).json["events"]

    assert told([frame for frame in seen if frame is not None]) == history
    assert [past["type"] for past in history] == [
        "job.queued",
        "job.processing",
        "job.queued",
        "job.processing",
        "job.completed",
    ]


async def next_pct(events: EventReader) -> float:
    frame = await events.next()
    assert frame is not None
    pct: float = frame.data["data"]["progress_pct"]
    return pct


async def test_progress_comes_at_most_once_in_an_interval(serve: Serve) -> None:
    async with serve(Config(), progress_interval_s=0.5) as api:
        url = await queued(api)
        claim = await api.claim()
        loop = asyncio.get_running_loop()
        async with api.stream(f"{url}/events") as events:
            await events.next()
            began_s = loop.time()
            for pct in range(1, 50):
                await report(api, claim, float(pct))
            pcts = [await next_pct(events)]
            while pcts[-1] != 49.0:
                pcts.append(await next_pct(events))
            took_s = loop.time() - began_s
            await report(api, claim, 60.0)
            await api.end(claim)
            rest = await events.rest()

    assert pcts[0] == 1.0
    assert 0.5 * (len(pcts) - 1) <= took_s
    # what is held when the job ends is not news any more
    assert [frame.event for frame in rest] == ["job.completed"]


async def test_the_history_as_json(api: Api) -> None:
    url, history = await lived(api)

    reply = await api.get(f"{url}/events", Accept="application/json, text/event-stream;q=0.5")

    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert reply.headers["Vary"] == "Authorization, Accept"
    assert reply.json == {"events": history, "next_page_token": None}
    retrying = history[2]["data"]
    assert (retrying["status"], retrying["error"]["code"]) == ("retrying", "broken")
    assert history[3]["data"]["error"] is None
    assert [past["data"]["cancel_requested"] for past in history[4:]] == [False, True, True]


@pytest.mark.parametrize("accept", ["text/html", "application/*;q=0", "text/event-stream;q=0"])
async def test_who_accepts_neither_form(api: Api, accept: str) -> None:
    url = await queued(api)

    (await api.get(f"{url}/events", Accept=accept)).problem(406, "not_acceptable")


@pytest.mark.parametrize("accept", ["text/*", "*/*", "text/event-stream;charset=utf-8, */*;q=0"])
async def test_who_accepts_a_stream(api: Api, accept: str) -> None:
    url = await queued(api)

    async with api.stream(f"{url}/events", Accept=accept) as events:
        assert await events.next() is not None


@pytest.mark.parametrize(
    "query", ["timeout=0", "timeout=3601", "timeout=x", "timeout=1&timeout=1", "logs=yes"]
)
async def test_a_parameter_that_makes_no_sense(api: Api, query: str) -> None:
    url = await queued(api)

    (await api.get(f"{url}/events?{query}")).problem(400, "invalid_parameter")


async def test_a_parameter_that_is_not_there(api: Api) -> None:
    url = await queued(api)

    (await api.get(f"{url}/events?after=1")).problem(400, "unknown_parameter")


async def test_a_job_that_never_was(api: Api) -> None:
    (await api.get(f"/v1/jobs/job_{'0' * 12}7{'0' * 19}/events")).problem(410, "job_expired")
    (await api.get("/v1/jobs/x/events")).problem(404, "job_not_found")


async def test_a_stream_ends_when_its_time_is_over(api: Api) -> None:
    url = await queued(api)

    async with api.stream(f"{url}/events?timeout=1") as events:
        assert [frame.event for frame in await events.rest()] == ["job.queued"]


async def test_streams_end_when_jobd_drains(api: Api) -> None:
    url = await queued(api)

    async with api.stream(f"{url}/events") as of_job, api.stream("/v1/events") as of_all:
        await of_job.next()
        api.draining.set()
        assert await of_job.rest() == await of_all.rest() == []
    async with api.stream(f"{url}/events") as events:
        assert [frame.event for frame in await events.rest()] == ["job.queued"]


async def test_a_principal_has_only_so_many_streams(serve: Serve) -> None:
    async with serve(Config(limits=Limits(streams_per_principal=2))) as api:
        url = await queued(api)
        async with api.stream(f"{url}/events") as events, api.stream("/v1/events"):
            await events.next()
            problem = (await api.get(f"{url}/logs?follow=1")).problem(429, "too_many_streams")
            assert problem.retryable
            assert (await api.get(f"{url}/events", Accept="application/json")).status == 200
        # both clients have gone: nobody told, but they are not counted
        async with api.stream(f"{url}/events") as events, api.stream("/v1/events"):
            await events.next()
