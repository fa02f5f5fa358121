"""`GET /v1/jobs/{id}`: versions, the long poll, and jobs that are not there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from jobd.bus import Bus
from jobd.domain.jobs import Progress, Result, Update
from jobd.domain.queues import QueueChange
from jobd.domain.statuses import Status
from jobd.engine.estimates import Estimates
from jobd.store.tally import Tally
from jobd.wire.times import from_ms
from tests.support.clock import START_MS

if TYPE_CHECKING:
    from tests.api.conftest import Api


async def test_a_job_is_read(api: Api) -> None:
    url = (await api.submit()).headers["Location"]

    reply = await api.get(url)

    assert (reply.status, reply.job.poll_url) == (200, url)
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert reply.headers["Vary"] == "Authorization, Prefer"
    assert reply.headers["Retry-After"] == "1"


async def test_a_finished_job_is_not_asked_for_again(api: Api) -> None:
    result = Result("application/json", 2, "00" * 32, body=b"42")

    reply = await api.get(await api.ended(result=result))

    assert (reply.job.done, reply.job.result_url) == (True, f"{reply.job.poll_url}/result")
    assert bytes(reply.job.result) == b"42"
    assert "Retry-After" not in reply.headers


async def test_a_known_version_is_not_sent_again(api: Api) -> None:
    submitted = await api.submit()

    reply = await api.get(submitted.headers["Location"], If_None_Match=submitted.headers["ETag"])

    assert (reply.status, reply.body) == (304, b"")
    assert reply.headers["ETag"] == submitted.headers["ETag"]
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert reply.headers["Vary"] == "Authorization, Prefer"
    assert reply.headers["Retry-After"] == "1"
    assert "Date" in reply.headers


async def test_each_change_makes_a_new_version(api: Api) -> None:
    submitted = await api.submit()
    url, seen = submitted.headers["Location"], [submitted.headers["ETag"]]

    claim = await api.claim()
    seen.append((await api.get(url)).headers["ETag"])
    await api.writer.progress(Update(claim.seq, claim.token, Progress(pct=5.0)))
    seen.append((await api.get(url)).headers["ETag"])
    await api.end(claim)
    seen.append((await api.get(url)).headers["ETag"])

    assert len(set(seen)) == 4


async def test_a_long_poll_answers_at_the_next_change(api: Api) -> None:
    submitted = await api.submit()
    asking = asyncio.create_task(
        api.get(
            submitted.headers["Location"],
            If_None_Match=submitted.headers["ETag"],
            Prefer="wait=50",
        )
    )
    await api.next_watch()
    await api.claim()

    reply = await asking

    assert (reply.status, reply.job.status) == (200, "processing")
    assert reply.headers["Preference-Applied"] == "wait=50"


async def test_a_long_poll_answers_at_progress(api: Api) -> None:
    url = (await api.submit()).headers["Location"]
    claim = await api.claim()
    asking = asyncio.create_task(api.get(url, Prefer="wait=50"))
    await api.next_watch()
    await api.writer.progress(Update(claim.seq, claim.token, Progress(pct=5.0, step="read")))

    job = (await asking).job

    assert (job.progress_pct, job.step) == (5.0, "read")


async def test_a_long_poll_with_an_old_version_answers_at_once(api: Api) -> None:
    submitted = await api.submit()
    await api.claim()

    reply = await api.get(
        submitted.headers["Location"], If_None_Match=submitted.headers["ETag"], Prefer="wait=50"
    )

    assert (reply.status, reply.job.status) == (200, "processing")


@pytest.mark.parametrize("prefer", ["wait=50; until=done", "wait=50, until=done"])
async def test_a_long_poll_for_the_end(api: Api, prefer: str) -> None:
    url = (await api.submit()).headers["Location"]
    asking = asyncio.create_task(api.get(url, Prefer=prefer))
    await api.next_watch()
    await api.end(await api.claim())

    assert (await asking).job.status == "completed"


async def test_a_long_poll_of_a_finished_job_answers_at_once(api: Api) -> None:
    url = await api.ended()
    etag = (await api.get(url)).headers["ETag"]

    assert (await api.get(url, Prefer="wait=50")).status == 200
    assert (await api.get(url, Prefer="wait=50", If_None_Match=etag)).status == 304


async def test_a_drain_ends_a_long_poll(api: Api) -> None:
    submitted = await api.submit()
    url, etag = submitted.headers["Location"], submitted.headers["ETag"]
    waits = [
        asyncio.create_task(api.get(url, Prefer="wait=50", If_None_Match=etag)),
        asyncio.create_task(api.get(url, Prefer="wait=50; until=done")),
    ]
    await api.next_watch()
    await api.next_watch()

    api.draining.set()

    assert [reply.status for reply in await asyncio.gather(*waits)] == [304, 200]


@pytest.mark.parametrize("job_id", ["job_", "job_" + "0" * 31, "x", "job_" + "g" * 32, "%00"])
async def test_what_is_no_id_is_no_job(api: Api, job_id: str) -> None:
    (await api.get(f"/v1/jobs/{job_id}")).problem(404, "job_not_found")


async def test_a_job_that_never_was(api: Api) -> None:
    recent = f"job_{api.clock.ms:012x}70008000000000000000"

    (await api.get(f"/v1/jobs/{recent}")).problem(404, "job_not_found")


async def test_a_job_older_than_the_retention_is_gone(api: Api) -> None:
    old = f"job_{api.clock.ms - 604_800_001:012x}70008000000000000000"

    (await api.get(f"/v1/jobs/{old}")).problem(410, "job_expired")


async def test_a_job_past_its_own_retention_is_gone(api: Api) -> None:
    url = await api.ended()
    api.clock.ms += 604_800_000

    for path in (url, f"{url}/result", f"{url}/artifacts", f"{url}/artifacts/a"):
        (await api.get(path)).problem(410, "job_expired")
    (await api.ask("POST", f"{url}/cancel")).problem(410, "job_expired")


async def test_a_parameter_is_refused(api: Api) -> None:
    url = (await api.submit()).headers["Location"]

    for path in (url, f"{url}/result", f"{url}/artifacts", f"{url}/artifacts/a"):
        (await api.get(f"{path}?a=1")).problem(400, "unknown_parameter")


async def test_a_queued_job_says_where_it_stands_and_what_it_waits_for(api: Api) -> None:
    await api.submit()
    url = (await api.submit()).headers["Location"]

    waits = (await api.get(url)).job
    api.storage_full = True
    has_no_room = (await api.get(url)).job
    await api.writer.set_queue(QueueChange("default", paused=True))
    paused = (await api.get(url)).job

    assert (waits.queue_position, waits.waiting_for) == (1, "slot")
    assert (has_no_room.queue_position, has_no_room.waiting_for) == (1, "storage_full")
    assert paused.waiting_for == "queue_paused"


async def test_a_job_waits_for_a_place_in_its_queue(api: Api) -> None:
    await api.writer.set_queue(QueueChange("default", concurrency=1))
    await api.submit()
    await api.claim()

    waits = (await api.get((await api.submit()).headers["Location"])).job

    assert (waits.queue_position, waits.waiting_for) == (0, "queue_limit")


async def test_runs_teach_what_to_expect(api: Api) -> None:
    await api.submit(Prefer="respond-async")
    claim = await api.claim()
    api.clock.advance(40)
    await api.end(claim)

    new = await api.submit(Prefer="respond-async")
    await api.claim()
    api.clock.advance(10)
    running = await api.get(new.headers["Location"])

    assert new.job.estimated_duration_seconds == 40
    assert new.job.estimated_completion_time == from_ms(START_MS + 100_000)
    assert new.headers["Retry-After"] == "5"
    assert running.job.estimated_completion_time == from_ms(START_MS + 80_000)
    assert running.headers["Retry-After"] == "6"
    assert running.job.suggested_next_poll_time == from_ms(START_MS + 56_000)


async def test_runs_of_an_earlier_start_are_learned(api: Api) -> None:
    await api.submit(Prefer="respond-async")
    claim = await api.claim()
    api.clock.advance(3)
    await api.end(claim)
    later = Estimates(api.clock, Bus(), slots={}, free=dict, tally=Tally)

    await later.learn_from_past(api.readers)

    done = await api.readers.get(claim.job_id)
    assert done is not None
    running = msgspec.structs.replace(done, status=Status.PROCESSING, started_at_ms=api.clock.ms)
    assert later.of_job(running, api.clock.ms).ends_in_s == 3
