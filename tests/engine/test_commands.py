"""Commands: what a submission becomes, retry and delete as the API asks for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobd.domain.errors import Conflict, Invalid, NotFound, Unavailable
from jobd.domain.jobs import JobError
from jobd.domain.outcomes import Completed, Failed
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from tests.engine.conftest import Engine

URL = "https://example.com/hook"
FAILED = Failed(JobError("handler_error", "no", retryable=False))


async def told(engine: Engine) -> list[str]:
    rows = await engine.query("SELECT type FROM messages ORDER BY event_id")
    return [type_ for (type_,) in rows]


async def test_a_callback_is_told_of_the_end_unless_it_asked_for_more(engine: Engine) -> None:
    job = await engine.ended(Completed(), callback_url=URL)

    assert await told(engine) == ["job.completed"]
    assert engine.told == 1
    assert job.inputs is not None
    assert job.inputs.callback_url == URL


async def test_a_callback_is_told_of_what_it_asked_for(engine: Engine) -> None:
    events = ("job.queued", "job.processing")

    await engine.ended(Completed(), callback_url=URL, callback_events=events)

    assert await told(engine) == ["job.queued", "job.processing"]


async def test_an_answer_shows_the_callback_as_a_reading_does(engine: Engine) -> None:
    job = await engine.submit(callback_url=URL)

    read = await engine.job(job.job_id)
    assert (job.inputs, job.event_id) == (read.inputs, read.event_id)


async def test_a_callback_url_is_checked_before_anything_is_stored(engine: Engine) -> None:
    engine.forbidden = URL

    with pytest.raises(Invalid, match=f"not {URL}"):
        await engine.submit(callback_url=URL)
    await engine.submit()

    assert await engine.query("SELECT count(*) FROM jobs") == [(1,)]


async def test_events_that_no_callback_can_be_told_of_are_refused(engine: Engine) -> None:
    events = ("job.completed", "job.progress", "job.born")

    with pytest.raises(Invalid) as refused:
        await engine.submit(callback_url=URL, callback_events=events)

    pointers = [error.pointer for error in refused.value.errors]
    assert pointers == ["#/callback_events/1", "#/callback_events/2"]


async def test_a_submission_waits_for_the_first_catalogue(starting: Engine) -> None:
    submitting = asyncio.create_task(starting.submit())
    await asyncio.wait([submitting], timeout=0)

    starting.know_kinds()

    assert (await submitting).status is Status.QUEUED


async def test_it_does_not_wait_for_long(impatient: Engine) -> None:
    with pytest.raises(Unavailable) as refused:
        await impatient.submit()

    assert refused.value.code == "starting"


async def test_a_retry_is_a_new_job_that_names_the_old_one(engine: Engine) -> None:
    job = await engine.ended(FAILED, args={"n": 1}, metadata={"team": "data"})

    again = await engine.commands.retry(job.job_id)

    assert again.job_id > job.job_id
    assert (again.status, again.retry_of) == (Status.QUEUED, job.job_id)
    assert again.inputs == job.inputs
    assert (await engine.job(job.job_id)).retried_as == again.job_id


async def test_a_retry_runs(engine: Engine) -> None:
    job = await engine.ended(FAILED)
    engine.pool.slots["cpu"] = 1

    again = await engine.commands.retry(job.job_id)

    assert (await engine.pool.begun.get()).claim.job_id == again.job_id


async def test_what_is_not_retried(engine: Engine) -> None:
    completed = await engine.ended(Completed())

    with pytest.raises(Conflict):
        await engine.commands.retry(completed.job_id)
    with pytest.raises(NotFound):
        await engine.commands.retry("job_none")


async def test_a_deleted_job_leaves_no_file(engine: Engine) -> None:
    job, other = [await engine.ended(Completed()) for _ in range(2)]
    for one in (job, other):
        artifacts = engine.layout.attempt_artifacts(one.job_id, "token")
        (artifacts / "below").mkdir(parents=True)
        (artifacts / "below" / "out.csv").write_text("a,b")
        (engine.layout.logs / one.job_id).mkdir()
        (engine.layout.logs / one.job_id / "1.ndjson").write_text("{}")

    await engine.commands.delete(job.job_id)

    assert await engine.readers.get(job.job_id) is None
    for folder in (engine.layout.artifacts, engine.layout.logs):
        assert [path.name for path in folder.iterdir()] == [other.job_id]


async def test_a_job_that_left_no_file_is_deleted(engine: Engine) -> None:
    job = await engine.ended(Completed())

    await engine.commands.delete(job.job_id)

    with pytest.raises(NotFound):
        await engine.commands.delete(job.job_id)


async def test_a_link_that_a_handler_left_is_not_followed(engine: Engine) -> None:
    job = await engine.ended(Completed())
    beyond = engine.layout.scratch / "precious"
    beyond.mkdir()
    (beyond / "file").write_text("x")
    (engine.layout.artifacts / job.job_id).mkdir()
    (engine.layout.artifacts / job.job_id / "link").symlink_to(beyond)

    await engine.commands.delete(job.job_id)

    assert (beyond / "file").read_text() == "x"
    assert list(engine.layout.artifacts.iterdir()) == []


async def test_a_running_job_is_not_deleted(engine: Engine) -> None:
    attempt = await engine.begin()
    folder = engine.layout.attempt_artifacts(attempt.claim.job_id, attempt.claim.token)
    folder.mkdir(parents=True)

    with pytest.raises(Conflict):
        await engine.commands.delete(attempt.claim.job_id)

    assert folder.exists()
    attempt.end(Completed())
    await engine.dispatcher.settled()
