"""Queues as commands: what a pause takes back, what is listed, jobs whose plugin comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobd.domain.catalog import Catalog, HandlerSpec
from jobd.domain.outcomes import Completed
from jobd.domain.queues import QueueChange
from jobd.domain.statuses import Status
from jobd.engine.commands import Submission
from jobd.engine.queues import unpark
from tests.engine.conftest import CATALOG, ME

if TYPE_CHECKING:
    from tests.engine.conftest import Engine


async def set_paused(engine: Engine, *, paused: bool) -> None:
    await engine.commands.queues.change(QueueChange("default", paused=paused))


async def test_a_pause_takes_back_what_has_no_worker_yet(engine: Engine) -> None:
    attempt = await engine.begin()

    await set_paused(engine, paused=True)

    # the pool knows whether the claim still waits for a worker
    assert engine.pool.recalled == [attempt.claim.token]
    attempt.end(Completed())
    await engine.dispatcher.settled()


async def test_what_a_pause_took_back_waits_uncharged_and_starts_after_it(engine: Engine) -> None:
    claimed = asyncio.Event()

    def take_back() -> None:
        engine.dispatcher.paused("default")
        claimed.set()

    engine.when_claimed = take_back
    upload = await engine.upload()  # it is not begun before that is looked at
    job = await engine.submit(args={"rows": {"$file": upload.file_id}})
    engine.pool.slots["cpu"] = 1
    engine.dispatcher.slots_free()
    await claimed.wait()
    await set_paused(engine, paused=True)
    await engine.dispatcher.settled()

    found = await engine.job(job.job_id)
    assert (found.status, found.attempt) == (Status.QUEUED, 0)
    assert engine.pool.begun.empty()

    engine.when_claimed = lambda: None
    await set_paused(engine, paused=False)
    attempt = await engine.pool.begun.get()

    assert attempt.claim.attempt == 1
    attempt.end(Completed())
    await engine.dispatcher.settled()


async def test_a_job_of_a_paused_queue_is_not_waited_for(engine: Engine) -> None:
    await set_paused(engine, paused=True)
    engine.pool.slots["cpu"] = 1
    await engine.submit()

    accepted = await engine.commands.submit(Submission(principal=ME, kind="test.echo", args={}))

    assert not accepted.may_start_now


async def test_a_limit_takes_back_what_has_no_worker_yet(engine: Engine) -> None:
    attempt = await engine.begin()

    await engine.commands.queues.change(QueueChange("default", concurrency=5))
    await engine.commands.queues.change(QueueChange("default", concurrency=None))

    assert engine.pool.recalled == [attempt.claim.token]
    attempt.end(Completed())
    await engine.dispatcher.settled()


async def test_a_resume_takes_nothing_back(engine: Engine) -> None:
    attempt = await engine.begin()

    await set_paused(engine, paused=False)

    assert engine.pool.recalled == []
    attempt.end(Completed())
    await engine.dispatcher.settled()


async def test_the_queues_of_handlers_are_listed_before_their_first_job(engine: Engine) -> None:
    await engine.submit(queue="own")

    listed = await engine.commands.queues.all()

    assert [(queue.name, queue.queued) for queue in listed] == [("default", 0), ("own", 1)]


async def test_no_queue_is_known_before_the_kinds_are(starting: Engine) -> None:
    assert await starting.commands.queues.all() == []


async def test_jobs_of_a_plugin_that_comes_back_run(engine: Engine) -> None:
    engine.dispatcher.pause()
    job = await engine.submit()
    engine.kinds.install(Catalog({"test.other": HandlerSpec("test.other", "cpu", "d", "1", "m:f")}))
    engine.dispatcher.start(engine.pool, engine.writer)
    engine.pool.slots["cpu"] = 1
    await engine.writer.set_queue(QueueChange("other", paused=True))
    assert await engine.query("SELECT count(*) FROM jobs WHERE parked_at IS NOT NULL") == [(1,)]

    engine.kinds.install(CATALOG)
    await unpark(engine.writer)
    attempt = await engine.pool.begun.get()

    assert attempt.claim.job_id == job.job_id
    attempt.end(Completed())
    await engine.dispatcher.settled()
