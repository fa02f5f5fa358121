"""Batches in the store: counted through every move, finished once, retired with their jobs."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.batches import Batch, NewBatch, Report
from jobd.domain.errors import Invalid
from jobd.domain.jobs import JobError, Submitted
from jobd.domain.statuses import Status
from jobd.store.batches import Loaded, Part
from tests.support.clock import START_MS

if TYPE_CHECKING:
    from tests.store.conftest import Store

BATCH_ID = "bat_" + "0" * 31
DAY_S = 86400
URL = "https://example.com/done"


async def begin(store: Store, n: int = 0, **fields: Any) -> int:
    values = {"created_at_ms": START_MS, "retention_ms": 1000 * DAY_S} | fields
    return await store.writer.begin_batch(NewBatch(f"{BATCH_ID}{n}", "me", **values))


async def load(store: Store, seq: int, lines: int) -> None:
    report = Report(lines, lines, 0, [None] * lines, [])
    await store.writer.load_batch(Loaded(seq, report))


async def made(store: Store, count: int = 1, n: int = 0, **fields: Any) -> int:
    """Store a batch of so many jobs, wholly loaded."""
    seq = await begin(store, n, **fields)
    jobs = [store.new_job(batch_index=index) for index in range(count)]
    await store.writer.add_to_batch(Part(seq, count, jobs))
    await load(store, seq, count)
    return seq


async def batch(store: Store, seq: int) -> Batch:
    found = await store.readers.batches.by_seq(seq)
    assert found is not None
    return found


async def counted(store: Store, seq: int) -> dict[str, int]:
    return {status.value: n for status, n in (await batch(store, seq)).jobs.items() if n}


async def test_every_move_is_counted(store: Store) -> None:
    seq = await begin(store)
    later = store.new_job(batch_index=3, run_at_ms=START_MS + 1000)
    jobs = [*(store.new_job(batch_index=index) for index in range(3)), later]
    answers = await store.writer.add_to_batch(Part(seq, 4, jobs))
    await load(store, seq, 4)
    assert await counted(store, seq) == {"queued": 3, "scheduled": 1}

    first, second = await store.claim(2)
    assert await counted(store, seq) == {"queued": 1, "processing": 2, "scheduled": 1}
    await store.settle(first, Status.RETRYING, delay_ms=1000)
    await store.settle(second, Status.COMPLETED)
    assert await counted(store, seq) == {
        "queued": 1, "retrying": 1, "completed": 1, "scheduled": 1,
    }  # fmt: skip
    store.clock.advance(1)
    await store.writer.promote()
    assert await counted(store, seq) == {"queued": 3, "completed": 1}
    last = answers[2]
    assert isinstance(last, Submitted)
    await store.writer.cancel(last.job_id)
    (third,) = await store.claim()
    await store.settle(third, Status.FAILED, error=JobError("broken", "", retryable=False))
    assert await counted(store, seq) == {
        "queued": 1, "failed": 1, "cancelled": 1, "completed": 1,
    }  # fmt: skip
    assert not (await batch(store, seq)).done


async def test_counts_are_those_of_the_rows_whatever_happens(store: Store) -> None:
    dice = random.Random(9)  # noqa: S311 - the same moves each time
    seqs = [await made(store, 20, n) for n in range(3)]
    await store.submit()
    ids = [job_id for (job_id,) in await store.query("SELECT job_id FROM jobs")]
    for _ in range(30):
        (claim,) = await store.claim()
        status = dice.choice([Status.COMPLETED, Status.FAILED, Status.RETRYING, Status.QUEUED])
        await store.settle(claim, status, delay_ms=0)
        await store.writer.cancel(dice.choice(ids))
        await store.writer.promote()

    for seq in seqs:
        rows = await store.query(
            "SELECT status, count(*) FROM jobs WHERE batch_seq = ? GROUP BY status", seq
        )
        assert await counted(store, seq) == dict(rows)


async def test_a_batch_ends_when_it_is_loaded_and_its_last_job_has_ended(store: Store) -> None:
    seq = await begin(store, callback_url=URL)
    await store.writer.add_to_batch(Part(seq, 1, [store.new_job(batch_index=0)]))
    (claim,) = await store.claim()
    await store.settle(claim, Status.COMPLETED)
    assert not (await batch(store, seq)).done
    store.clock.advance(5)

    await load(store, seq, 1)

    ended = await batch(store, seq)
    assert ended.finished_at_ms == START_MS + 5000
    assert ended.expires_at_ms == START_MS + 5000 + 1000 * DAY_S
    messages = await store.query("SELECT seq, type FROM messages")
    deliveries = await store.query("SELECT seq, url, principal FROM deliveries")
    assert (messages, deliveries) == ([(-seq, "batch.completed")], [(-seq, URL, "me")])
    assert store.seen.log.count("messages") == 1


async def together(store: Store, *asked: Any) -> None:
    """Have all of these written by one commit."""
    async with store.busy():
        tasks = [asyncio.ensure_future(one) for one in asked]
        await asyncio.wait(tasks, timeout=0)
    await asyncio.gather(*tasks)


async def test_a_deletion_in_the_commit_of_the_last_job_does_not_hide_it(store: Store) -> None:
    old = await store.settled(Status.COMPLETED)
    seq = await made(store)
    (claim,) = await store.claim()

    settled = store.settle(claim, Status.COMPLETED)
    await together(store, settled, store.writer.delete(old.job_id))

    assert (await batch(store, seq)).done


async def test_a_whole_part_is_written_or_not(store: Store) -> None:
    seq = await begin(store)
    missing = store.new_job(batch_index=1, files=("file_" + "0" * 64,))
    jobs = [store.new_job(batch_index=0), missing]

    answers = await store.writer.add_to_batch(Part(seq, 2, jobs, whole=True))

    assert [type(answer) for answer in answers] == [Submitted, Invalid]
    assert await store.query("SELECT count(*) FROM jobs") == [(0,)]
    assert store.writer.tally.all_waiting == 0
    assert store.seen.events == []


async def test_a_whole_part_undoes_nothing_of_the_others(store: Store) -> None:
    seq = await begin(store)
    missing = store.new_job(batch_index=0, files=("file_" + "0" * 64,))
    told = store.submit(callback_url=URL, callback_events=("job.queued",))

    await together(store, told, store.writer.add_to_batch(Part(seq, 1, [missing], whole=True)))

    assert await store.query("SELECT count(*) FROM events") == [(1,)]
    assert await store.query("SELECT count(*) FROM messages") == [(1,)]
    assert [event.type for event in store.seen.events] == ["job.queued"]


async def test_of_a_batch_without_a_job_nothing_stays(store: Store) -> None:
    seq = await begin(store)

    await load(store, seq, 0)

    assert await store.readers.batches.by_seq(seq) is None


@pytest.mark.parametrize(("key", "loaded"), [(None, True), ("k", False)])
async def test_a_start_loads_what_nobody_can_go_on_with(
    store: Store, key: str | None, loaded: bool
) -> None:
    seq = await begin(store, idempotency_key=key)
    await store.writer.add_to_batch(Part(seq, 1, [store.new_job(batch_index=0)]))

    await store.writer.recover()

    found = await batch(store, seq)
    assert (found.loaded, found.written, found.accepted) == (loaded, 1, int(loaded))


async def test_a_key_is_waited_for_a_day(store: Store) -> None:
    seq = await begin(store, idempotency_key="k")
    await store.writer.add_to_batch(Part(seq, 1, [store.new_job(batch_index=0)]))
    store.clock.advance(DAY_S + 1)

    await store.writer.retire_keys(10)

    assert (await batch(store, seq)).loaded


async def test_a_batch_goes_after_its_jobs_and_what_its_callback_waits_for(store: Store) -> None:
    seq = await made(store, callback_url=URL, retention_ms=60_000)
    (claim,) = await store.claim()
    await store.settle(claim, Status.COMPLETED)
    store.clock.advance(61)

    await store.writer.retire_keys(10)
    assert (await batch(store, seq)).done
    await store.writer.retire_jobs([claim.seq])
    await store.writer.retire_keys(10)
    assert (await batch(store, seq)).done  # its callback has not been told
    await store.database.run(
        lambda c: c.execute("UPDATE deliveries SET status = 'succeeded', next_attempt_at = NULL")
    )
    await store.writer.retire_keys(10)

    assert await store.readers.batches.by_seq(seq) is None
    for table in ("batches", "batch_reports", "messages", "deliveries"):
        assert await store.query(f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608


async def test_a_key_outlives_a_short_retention(store: Store) -> None:
    seq = await made(store, retention_ms=60_000, idempotency_key="k")
    (claim,) = await store.claim()
    await store.settle(claim, Status.COMPLETED)

    assert (await batch(store, seq)).expires_at_ms == START_MS + DAY_S * 1000


async def test_a_batch_costs_its_parts_the_statements_of_one_submission(store: Store) -> None:
    seq = await begin(store)
    jobs = [store.new_job(batch_index=index) for index in range(64)]

    ran = await store.statements(store.writer.add_to_batch(Part(seq, 64, jobs)))

    # begin, three inserts, the counts, commit
    assert len(ran) == 6
