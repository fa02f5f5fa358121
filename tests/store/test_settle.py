"""How attempts end: what is written, once, and only under the attempt's own lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobd.domain.errors import LeaseLost
from jobd.domain.jobs import (
    Artifact,
    Checkpoint,
    JobError,
    Progress,
    Result,
    Settlement,
    Summary,
    Update,
)
from jobd.domain.statuses import TERMINAL, Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import OpenStore, Store
    from tests.support.clock import FakeClock

ERROR = JobError("handler_error", "It broke.", retryable=True, failed_step="parse", attempt=1)
RESULT = Result("application/json", 7, "ab" * 32, body=b'{"n":1}')


async def test_a_completed_job_keeps_its_result(store: Store, clock: FakeClock) -> None:
    claim = await store.running()
    clock.advance(2)

    await store.settle(claim, Status.COMPLETED, result=RESULT, evidence={"exit": 0})

    job = await store.job(claim.job_id)
    assert (job.status, job.done, job.has_result, job.result) == ("completed", True, True, RESULT)
    assert (job.finished_at_ms, job.expires_at_ms) == (clock.ms, clock.ms + job.retention_ms)
    event = store.seen.events[-1]
    assert (event.type, event.attempt, event.id) == ("job.completed", 1, job.event_id)
    assert event.data == {
        "expires_at_ms": job.expires_at_ms,
        "has_result": True,
        "evidence": {"exit": 0},
    }


@pytest.mark.parametrize(
    "result",
    [
        Result("application/json", 5000, "cd" * 32, body=b"1" * 5000),
        Result("video/mp4", 9, "cd" * 32, path="job_1/t/out.mp4", filename="out.mp4"),
    ],
    ids=["large", "file"],
)
async def test_a_result_may_be_large_or_a_file(store: Store, result: Result) -> None:
    claim = await store.settled(Status.COMPLETED, result=result)

    assert (await store.job(claim.job_id)).result == result


async def test_a_job_without_a_result_has_none(store: Store) -> None:
    claim = await store.settled(Status.COMPLETED)

    job = await store.job(claim.job_id)
    assert (job.has_result, job.result, job.error) == (False, None, None)


async def test_a_job_that_ends_well_without_a_result_shows_no_earlier_error(store: Store) -> None:
    claim = await store.settled(Status.RETRYING, delay_ms=0, failures_delta=1, error=ERROR)
    await store.writer.promote()
    (again,) = await store.claim()

    await store.settle(again, Status.COMPLETED)

    job = await store.job(claim.job_id)
    assert (job.status, job.failures, job.error) == (Status.COMPLETED, 1, None)


async def test_a_partial_result_keeps_its_counts(store: Store) -> None:
    summary = Summary(100, 97, 3)

    claim = await store.settled(Status.COMPLETED, result=RESULT, partial=True, summary=summary)

    job = await store.job(claim.job_id)
    assert (job.partial, job.summary) == (True, summary)
    assert store.seen.events[-1].data["summary"] == {"total": 100, "succeeded": 97, "failed": 3}


async def test_a_failed_job_keeps_its_error(store: Store) -> None:
    claim = await store.settled(Status.FAILED, error=ERROR, failures_delta=1)

    job = await store.job(claim.job_id)
    assert (job.status, job.error, job.failures) == (Status.FAILED, ERROR, 1)
    assert store.seen.events[-1].data["error"]["code"] == "handler_error"
    assert store.seen.events[-1].data["failures"] == 1


async def test_a_retry_shows_the_last_error_until_it_is_due(store: Store, clock: FakeClock) -> None:
    claim = await store.settled(Status.RETRYING, delay_ms=5000, error=ERROR, failures_delta=1)

    waiting = await store.job(claim.job_id)
    clock.advance(5)
    await store.writer.promote()
    due = await store.job(claim.job_id)

    assert (waiting.status, waiting.error) == (Status.RETRYING, ERROR)
    assert waiting.run_at_ms == clock.ms
    assert (waiting.finished_at_ms, waiting.expires_at_ms) == (None, None)
    assert (due.status, due.error, due.attempt) == (Status.QUEUED, None, 1)


async def test_a_snooze_shows_no_older_error(store: Store) -> None:
    claim = await store.settled(Status.RETRYING, delay_ms=0, error=ERROR, failures_delta=1)
    await store.writer.promote()
    (again,) = await store.claim()

    await store.settle(again, Status.RETRYING, delay_ms=1000, snoozes_delta=1)

    job = await store.job(claim.job_id)
    assert (job.status, job.error, job.snoozes, job.failures) == (Status.RETRYING, None, 1, 1)


async def test_a_retry_without_delay_is_due_at_once(store: Store) -> None:
    claim = await store.settled(Status.RETRYING, delay_ms=0, error=ERROR)

    await store.writer.promote()

    assert (await store.job(claim.job_id)).status is Status.QUEUED


@pytest.mark.parametrize(("delta", "attempt"), [(0, 1), (-1, 0)])
async def test_a_release_queues_the_job_again(store: Store, delta: int, attempt: int) -> None:
    claim = await store.settled(
        Status.QUEUED, attempt_delta=delta, released_delta=1, evidence={"outcome": "bystander"}
    )

    job = await store.job(claim.job_id)
    (again,) = await store.claim()

    assert (job.status, job.attempt, job.released) == (Status.QUEUED, attempt, 1)
    assert (again.job_id, again.attempt) == (claim.job_id, attempt + 1)
    assert again.token != claim.token
    released = store.seen.events[2]
    assert (released.type, released.data["released"]) == ("job.queued", 1)


async def test_the_end_of_an_attempt_drops_its_progress_but_not_its_checkpoint(
    store: Store,
) -> None:
    claim = await store.running()
    await store.writer.progress(Update(claim.seq, claim.token, Progress(pct=50.0)))
    await store.writer.checkpoint(Checkpoint(claim.seq, claim.token, b"here"))

    await store.settle(claim, Status.QUEUED)
    (again,) = await store.claim()

    assert again.checkpoint == b"here"
    assert (await store.job(claim.job_id)).progress is None


@pytest.mark.parametrize("status", sorted(TERMINAL))
async def test_nothing_is_left_to_resume_of_a_job_that_is_done(
    store: Store, status: Status
) -> None:
    claim = await store.running()
    await store.writer.checkpoint(Checkpoint(claim.seq, claim.token, b"here"))

    await store.settle(claim, status)

    assert await store.query("SELECT * FROM checkpoints") == []
    assert await store.query("SELECT lease_token, instance FROM jobs") == [(None, None)]


async def test_artifacts_are_kept_the_newest_of_each_name(store: Store) -> None:
    def left(name: str, attempt: int) -> Artifact:
        return Artifact(name, f"j/t{attempt}/{name}", "text/csv", 3, "ab" * 32, attempt)

    first = await store.settled(Status.QUEUED, artifacts=(left("a.csv", 1), left("b.csv", 1)))
    (second,) = await store.claim()
    await store.settle(second, Status.COMPLETED, artifacts=(left("a.csv", 2),))

    assert await store.readers.artifacts(first.job_id) == [left("a.csv", 2), left("b.csv", 1)]
    assert await store.readers.artifacts("job_none") == []


def writes(claim: Any) -> dict[str, tuple[str, Any]]:
    """Every verb that writes about an attempt, with a request under the claim's lease."""
    seq, token = claim.seq, claim.token
    return {
        "settle": ("settle", Settlement(seq, token, Status.COMPLETED, result=RESULT)),
        "progress": ("progress", Update(seq, token, Progress(pct=1.0))),
        "checkpoint": ("checkpoint", Checkpoint(seq, token, b"x")),
    }


@pytest.mark.parametrize("verb", ["settle", "progress", "checkpoint"])
@pytest.mark.parametrize("after", ["settled", "claimed again", "another's seq"])
async def test_a_stale_token_changes_nothing(store: Store, verb: str, after: str) -> None:
    claim = await store.running()
    stale = claim
    if after == "another's seq":
        other = await store.running()
        stale = msgspec.structs.replace(claim, token=other.token)
    else:
        await store.settle(claim, Status.QUEUED)
        if after == "claimed again":
            await store.claim()
    events = list(store.seen.events)
    before = await store.job(claim.job_id)
    name, request = writes(stale)[verb]

    with pytest.raises(LeaseLost):
        await getattr(store.writer, name)(request)

    assert await store.job(claim.job_id) == before
    assert store.seen.events == events
    for table in ("job_results", "progress", "checkpoints"):
        assert await store.query(f"SELECT * FROM {table}") == []  # noqa: S608 - names above


async def test_of_two_outcomes_of_one_attempt_the_first_stands(store: Store) -> None:
    claim = await store.running()
    outcomes = [
        Settlement(claim.seq, claim.token, Status.COMPLETED, result=RESULT),
        Settlement(claim.seq, claim.token, Status.FAILED, error=ERROR),
    ]

    first, second = await store.together(*map(store.writer.settle, outcomes))

    assert first is None
    assert isinstance(second, LeaseLost)
    assert store.seen.types(claim.seq) == ["queued", "processing", "completed"]


async def test_one_lost_lease_spoils_no_other_settlement(store: Store) -> None:
    await store.submit()
    await store.submit()
    mine, other = await store.claim(2)
    lost = Settlement(mine.seq, "0" * 32, Status.COMPLETED)
    good = Settlement(other.seq, other.token, Status.COMPLETED)

    answers = await store.together(store.writer.settle(lost), store.writer.settle(good))

    assert isinstance(answers[0], LeaseLost)
    assert answers[1] is None
    assert (await store.job(mine.job_id)).status is Status.PROCESSING
    assert (await store.job(other.job_id)).status is Status.COMPLETED


async def test_a_token_under_another_job_spoils_no_other_settlement(store: Store) -> None:
    """Both leases are remembered, so that only the file can tell."""
    for _ in range(3):
        await store.submit()
    one, other, third = await store.claim(3)
    crossed = Settlement(one.seq, other.token, Status.COMPLETED)
    good = Settlement(third.seq, third.token, Status.COMPLETED)

    answers = await store.together(store.writer.settle(crossed), store.writer.settle(good))
    await store.settle(other, Status.COMPLETED)

    assert isinstance(answers[0], LeaseLost)
    assert answers[1] is None
    assert (await store.job(one.job_id)).status is Status.PROCESSING
    assert [store.seen.types(c.seq)[2:] for c in (one, other, third)] == [
        [],
        ["completed"],
        ["completed"],
    ]


async def test_a_lease_that_is_not_remembered_is_settled_the_same(
    path: Path, open_store: OpenStore
) -> None:
    async with open_store(path) as store:
        remembered = await store.settled(Status.COMPLETED, result=RESULT)
        claim = await store.running()
    async with open_store(path) as store:
        await store.settle(claim, Status.COMPLETED, result=RESULT)

        told, same = [e for e in store.seen.events if e.type == "job.completed"]
        jobs = [await store.job(one.job_id) for one in (remembered, claim)]
    assert (told.data, told.attempt) == (same.data, same.attempt)
    assert jobs[0].result == jobs[1].result == RESULT
    assert jobs[0].expires_at_ms == jobs[1].expires_at_ms


@pytest.mark.parametrize("asked", [Status.QUEUED, Status.RETRYING])
async def test_a_job_whose_cancel_came_first_does_not_run_again(
    store: Store, asked: Status
) -> None:
    """The outcome was decided before the cancel was committed, and is written after it."""
    claim = await store.running()
    await store.writer.cancel(claim.job_id)

    await store.settle(claim, asked, delay_ms=0, error=ERROR)

    job = await store.job(claim.job_id)
    assert (job.status, job.done) == (Status.CANCELLED, True)
    assert job.error is not None
    assert job.error.code == "cancelled"
    assert job.expires_at_ms is not None
    assert store.seen.types(job.seq)[-1] == "cancelled"


async def test_a_result_that_came_before_the_end_of_a_cancelled_attempt_stands(
    store: Store,
) -> None:
    claim = await store.running()
    await store.writer.cancel(claim.job_id)

    await store.settle(claim, Status.COMPLETED, result=RESULT)

    job = await store.job(claim.job_id)
    assert (job.status, job.result, job.cancel_requested) == (Status.COMPLETED, RESULT, True)
