"""The dispatcher between the writer and a pool: slots, cancels, leases, progress."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.errors import Unavailable
from jobd.domain.jobs import JobError, Progress, Settlement
from jobd.domain.outcomes import (
    CancelledByRequest,
    Completed,
    Failed,
    HandlerUnavailable,
    NotStarted,
)
from jobd.domain.statuses import Status
from jobd.files.uploads import path_of
from jobd.store.parking import START

if TYPE_CHECKING:
    from jobd.domain.jobs import Claim
    from tests.engine.conftest import Engine


async def types(engine: Engine, seq: int) -> list[str]:
    return [event.type.removeprefix("job.") for event in await engine.readers.events(seq)]


async def test_slots_are_never_fewer_than_none(engine: Engine) -> None:
    """A worker died between the claims for its slots and their hand-over."""
    attempt = await engine.begin()
    slots: list[dict[Any, int]] = []

    def lose_the_worker() -> None:
        engine.pool.slots["cpu"] = 0
        slots.append(dict(engine.dispatcher.free_slots()))

    engine.when_claimed = lose_the_worker
    engine.pool.slots["cpu"] = 1
    await engine.submit()
    other = await engine.pool.begun.get()

    assert slots == [{"cpu": 0, "io": 0}]
    for one in (attempt, other):
        one.end(Completed())
    await engine.dispatcher.settled()


async def test_without_a_start_nothing_is_claimed(starting: Engine) -> None:
    assert starting.dispatcher.free_slots() == {}


async def test_what_was_not_started_waits_again(engine: Engine) -> None:
    job = await engine.ended(NotStarted())

    assert (job.status, job.attempt) == (Status.QUEUED, 0)
    assert await types(engine, job.seq) == ["queued", "processing", "queued"]


async def test_a_job_whose_upload_is_gone_fails_without_a_charge(engine: Engine) -> None:
    upload = await engine.upload()
    path_of(engine.layout, upload.file_id).unlink()
    engine.pool.slots["cpu"] = 1

    submitted = await engine.submit(args={"rows": [{"$file": upload.file_id}]})
    await engine.dispatcher.settled()

    job = await engine.job(submitted.job_id)
    assert job.error is not None
    assert (job.status, job.attempt, job.failures) == (Status.FAILED, 0, 0)
    assert (job.error.code, job.error.retryable) == ("input_missing", False)
    assert upload.file_id in job.error.message
    assert engine.pool.begun.empty()


async def test_a_job_whose_upload_is_there_begins(engine: Engine) -> None:
    upload = await engine.upload()

    job = await engine.ended(Completed(), args={"rows": {"$file": upload.file_id}})

    assert job.status is Status.COMPLETED


async def test_a_claim_of_a_paused_queue_that_is_not_begun_is_released(engine: Engine) -> None:
    """Its queue is paused while its upload is looked at."""
    upload = await engine.upload()
    engine.pool.slots["cpu"] = 1
    engine.when_claimed = lambda: engine.dispatcher.paused("slow")
    paused = await engine.submit(queue="slow", args={"rows": {"$file": upload.file_id}})
    engine.pool.slots["cpu"] = 0
    await engine.dispatcher.settled()

    job = await engine.job(paused.job_id)
    assert (job.status, job.attempt, job.released) == (Status.QUEUED, 0, 0)
    assert engine.pool.begun.empty()


async def test_a_claim_of_a_paused_queue_that_waits_in_the_pool_is_recalled(
    engine: Engine,
) -> None:
    attempt = await engine.begin()

    engine.dispatcher.paused("other")
    engine.dispatcher.paused("default")

    assert engine.pool.recalled == [attempt.claim.token]
    attempt.end(NotStarted())
    await engine.dispatcher.settled()


async def test_a_job_whose_handler_cannot_be_imported_waits_for_the_next_catalogue(
    engine: Engine,
) -> None:
    attempt = await engine.begin()

    engine.dispatcher.unavailable("test.echo", "no module")
    engine.pool.slots["cpu"] = 1
    attempt.end(HandlerUnavailable("no module"))
    await engine.dispatcher.settled()

    job = await engine.job(attempt.claim.job_id)
    assert (job.status, job.attempt, job.failures) == (Status.QUEUED, 0, 0)
    with pytest.raises(Unavailable, match="no module"):
        await engine.submit()
    engine.know_kinds()
    await engine.writer.unpark(START)
    again = await engine.pool.begun.get()
    assert again.claim.job_id == job.job_id
    again.end(Completed())
    await engine.dispatcher.settled()


async def test_the_wait_for_settlements_has_an_end(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = await engine.begin()

    in_time = await engine.dispatcher.settled(0.001)
    attempt.end(Completed())

    assert in_time is False
    assert "not stored" in caplog.text
    assert await engine.dispatcher.settled()


async def test_a_running_job_is_cancelled_through_the_pool(engine: Engine) -> None:
    attempt = await engine.begin()

    job, still_running = await engine.commands.cancel(attempt.claim.job_id)
    attempt.end(CancelledByRequest())
    await engine.dispatcher.settled()

    assert (job.status, still_running) == (Status.PROCESSING, True)
    assert engine.pool.cancelled == [attempt.claim.token]
    assert (await engine.job(job.job_id)).status is Status.CANCELLED


async def test_a_result_that_came_before_the_cancel_stands(engine: Engine) -> None:
    attempt = await engine.begin()

    await engine.commands.cancel(attempt.claim.job_id)
    attempt.end(Completed())
    await engine.dispatcher.settled()

    assert (await engine.job(attempt.claim.job_id)).status is Status.COMPLETED


async def test_a_cancelled_job_does_not_try_again(engine: Engine) -> None:
    attempt = await engine.begin()

    await engine.commands.cancel(attempt.claim.job_id)
    attempt.end(Failed(JobError("handler_error", "no", retryable=True)))
    await engine.dispatcher.settled()

    assert (await engine.job(attempt.claim.job_id)).status is Status.CANCELLED


async def test_the_outcome_of_a_lost_lease_is_dropped(engine: Engine) -> None:
    attempt = await engine.begin()
    claim = attempt.claim
    await engine.writer.settle(Settlement(claim.seq, claim.token, Status.FAILED))

    attempt.end(Completed())
    await engine.dispatcher.settled()

    assert (await engine.job(claim.job_id)).status is Status.FAILED
    assert await types(engine, claim.seq) == ["queued", "processing", "failed"]
    assert not await engine.dispatcher.checkpointed(claim, b"7")


async def test_progress_is_stored_at_once_and_then_the_newest(engine: Engine) -> None:
    attempt = await engine.begin()
    claim = attempt.claim

    with engine.bus.watch(claim.seq) as watch:
        for done in range(100):
            engine.dispatcher.progressed(claim, Progress(done=done))
        first, second = await watch.next(), await watch.next()

    assert [first.data, second.data] == [{"done": 0}, {"done": 99}]
    assert (await engine.job(claim.job_id)).progress == Progress(done=99)
    attempt.end(Completed())
    await engine.dispatcher.settled()


async def test_progress_behind_the_end_is_dropped(engine: Engine) -> None:
    attempt = await engine.begin()
    claim = attempt.claim

    with engine.bus.watch(claim.seq) as watch:
        for done in range(2):
            engine.dispatcher.progressed(claim, Progress(done=done))
        seen = [await watch.next()]
        attempt.end(Completed())
        seen.append(await watch.next())
        await engine.dispatcher.settled()

    assert [event.data.get("done") for event in seen] == [0, None]
    assert seen[-1].type == "job.completed"
    assert await engine.query("SELECT count(*) FROM progress") == [(0,)]


async def test_progress_that_finds_no_room_is_nobodys_error(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = await engine.begin()
    await limit_pages(engine, 1)

    unhandled = await while_reporting(engine, attempt.claim, "x" * 100_000)

    assert unhandled == []
    await limit_pages(engine, 1_000_000)
    attempt.end(Completed())
    await engine.dispatcher.settled()
    assert (await engine.job(attempt.claim.job_id)).status is Status.COMPLETED


async def test_progress_behind_the_writers_end_is_nobodys_error(engine: Engine) -> None:
    attempt = await engine.begin()
    await engine.writer.close()

    unhandled = await while_reporting(engine, attempt.claim, "late")
    attempt.end(Completed())
    await engine.dispatcher.settled()

    assert unhandled == []


async def while_reporting(engine: Engine, claim: Claim, message: str) -> list[dict[str, Any]]:
    """Report once, let the report be written or refused, return what nobody has handled."""
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    before = asyncio.all_tasks()
    engine.dispatcher.progressed(claim, Progress(message=message))
    await asyncio.wait(asyncio.all_tasks() - before)
    gc.collect()  # a task says so when it is collected
    loop.set_exception_handler(None)
    return unhandled


async def limit_pages(engine: Engine, pages: int) -> None:
    """Let the file have that many pages, or as many as it has now."""
    limit = f"PRAGMA max_page_count = {pages}"
    await engine.database.run(lambda connection: connection.execute(limit).fetchall())
