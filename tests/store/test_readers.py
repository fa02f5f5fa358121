"""What is read: lists by filter and page, counts, the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.estimates import Run
from jobd.domain.jobs import JobFilter, Result
from jobd.domain.queues import QueueChange
from jobd.domain.statuses import Status
from jobd.store import readers

if TYPE_CHECKING:
    from tests.store.conftest import Store
    from tests.support.clock import FakeClock

RESULT = Result("application/json", 1, "ab" * 32, body=b"1")


async def seqs(store: Store, **fields: Any) -> list[int]:
    return [job.seq for job in await store.readers.list(JobFilter(**fields))]


async def test_no_job_no_answer(store: Store) -> None:
    assert await store.readers.get("job_none") is None
    assert await seqs(store) == []


async def test_inputs_and_result_come_only_in_detail(store: Store) -> None:
    claim = await store.settled(Status.COMPLETED, result=RESULT)

    plain = await store.readers.get(claim.job_id)

    assert plain is not None
    assert (plain.inputs, plain.result, plain.has_result) == (None, None, True)
    assert await store.readers.list(JobFilter()) == [plain]


async def test_lists_are_newest_first_and_page_by_seq(store: Store) -> None:
    made = [(await store.submit()).seq for _ in range(5)]

    first = await seqs(store, limit=2)
    second = await seqs(store, limit=2, before_seq=first[-1])
    await store.submit()
    third = await seqs(store, limit=2, before_seq=second[-1])

    assert first + second + third == made[::-1]


async def test_filters_narrow_a_list(store: Store, clock: FakeClock) -> None:
    early = await store.submit(kind="a.b", queue="fast", principal="uid:1")
    clock.advance(10)
    late = await store.submit(kind="c.d", key="k", principal="uid:2")
    await store.writer.cancel(late.job_id)
    middle_ms = clock.ms - 5000

    assert await seqs(store, kind="a.b") == [early.seq]
    assert await seqs(store, queue="fast") == [early.seq]
    assert await seqs(store, principal="uid:2") == [late.seq]
    assert await seqs(store, statuses=(Status.CANCELLED, Status.FAILED)) == [late.seq]
    assert await seqs(store, statuses=(Status.QUEUED, Status.CANCELLED)) == [late.seq, early.seq]
    assert await seqs(store, created_after_ms=middle_ms) == [late.seq]
    assert await seqs(store, created_before_ms=middle_ms) == [early.seq]
    assert await seqs(store, kind="a.b", queue="default") == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, {1, 2}),
        ({"principal": "uid:1"}, {1}),
        ({"before_seq": 2}, {1}),
        ({"before_seq": 1}, set()),
        ({"kind": "x.y"}, set()),
    ],
)
async def test_a_job_is_found_by_its_key(
    store: Store, asked: dict[str, Any], found: set[int]
) -> None:
    for principal in ("uid:1", "uid:2"):
        await store.submit(key="k", principal=principal)
    await store.submit(key="other")

    assert set(await seqs(store, idempotency_key="k", **asked)) == found
    assert await seqs(store, idempotency_key="none") == []


async def test_counts_are_of_jobs_that_are_not_done(store: Store, clock: FakeClock) -> None:
    nothing = await store.readers.counts()
    await store.settled(Status.COMPLETED)
    await store.settled(Status.RETRYING, delay_ms=1000)
    await store.running()
    await store.submit(run_at_ms=clock.ms + 1)
    await store.submit()
    await store.submit(lane="io")

    assert nothing == dict.fromkeys(("scheduled", "queued", "processing", "retrying"), 0)
    assert await store.readers.counts() == {
        Status.SCHEDULED: 1,
        Status.QUEUED: 2,
        Status.PROCESSING: 1,
        Status.RETRYING: 1,
    }


async def test_the_newest_catalogue_is_kept(store: Store) -> None:
    none = await store.readers.catalog()
    for body in (b"old", b"\x00new"):
        await store.writer.save_catalog(body)

    assert none is None
    assert await store.readers.catalog() == b"\x00new"


async def test_a_queued_job_knows_who_goes_first(store: Store) -> None:
    first = await store.submit()
    job = await store.job((await store.submit()).job_id)
    await store.submit(priority=0)
    await store.submit(priority=9)
    await store.submit(queue="other", priority=0)
    await store.submit(lane="io", priority=0)

    before = await store.readers.position(job, {})
    await store.writer.cancel(first.job_id)
    after = await store.readers.position(job, {})

    assert before is not None
    assert after is not None
    assert (before.ahead, before.parked, after.ahead) == (2, False, 1)


async def test_too_many_ahead_are_not_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MOST_AHEAD", 1)
    jobs = [await store.job((await store.submit()).job_id) for _ in range(3)]

    ahead = [await store.readers.position(job, {}) for job in jobs]

    assert [one.ahead for one in ahead if one is not None] == [0, 1, None]


async def test_a_position_says_how_its_queue_is(store: Store) -> None:
    await store.running()
    job = await store.job((await store.submit()).job_id)

    limited = await store.readers.position(job, {"default": 2})
    await store.writer.set_queue(QueueChange("default", paused=True))
    paused = await store.readers.position(job, {})

    assert limited is not None
    assert paused is not None
    assert (limited.queue.concurrency, limited.queue.processing) == (2, 1)
    assert (paused.queue.paused, paused.queue.concurrency) == (True, None)


async def test_a_parked_job_has_left_its_queue(store: Store) -> None:
    store.seen.kinds = {}
    job = await store.job((await store.submit()).job_id)
    store.seen.free["cpu"] = 1
    await store.writer.promote()

    position = await store.readers.position(job, {})

    assert position is not None
    assert (position.parked, position.ahead) == (True, None)


async def test_a_job_that_does_not_wait_has_no_position(store: Store) -> None:
    job = await store.job((await store.running()).job_id)

    assert await store.readers.position(job, {}) is None


async def test_the_newest_runs_that_completed(store: Store, clock: FakeClock) -> None:
    claim = await store.running(kind="a.b")
    clock.advance(2.5)
    await store.settle(claim, Status.COMPLETED)
    claim = await store.running(kind="c.d", lane="cpu")
    clock.advance(1)
    await store.settle(claim, Status.COMPLETED)
    await store.settled(Status.FAILED)

    assert await store.readers.recent_runs() == [Run("c.d", "cpu", 1.0), Run("a.b", "cpu", 2.5)]
    assert await store.readers.recent_runs(limit=2) == [Run("c.d", "cpu", 1.0)]
