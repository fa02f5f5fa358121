"""Claims: who goes first, who takes turns, and that nobody goes twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.jobs import Checkpoint, Settlement
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import OpenStore, Store
    from tests.support.clock import FakeClock


async def test_a_claim_carries_all_that_a_worker_needs(store: Store, clock: FakeClock) -> None:
    new = store.new_job(metadata={"a": "b"}, traceparent="00-t", max_attempts=7, timeout_ms=1500)
    submitted = await store.writer.submit(new)
    clock.advance(1)

    (claim,) = await store.claim()

    assert (claim.seq, claim.job_id) == (submitted.seq, new.job_id)
    assert (claim.kind, claim.queue, claim.lane) == (new.kind, new.queue, new.lane)
    assert (claim.args, claim.metadata, claim.traceparent) == (new.args, {"a": "b"}, "00-t")
    assert (claim.attempt, claim.max_attempts, claim.timeout_ms) == (1, 7, 1500)
    assert (claim.checkpoint, claim.claimed_at_ms) == (None, clock.ms)
    job = await store.job(new.job_id)
    assert (job.status, job.started_at_ms) == (Status.PROCESSING, clock.ms)


async def test_a_later_attempt_gets_the_counters_and_the_checkpoint(store: Store) -> None:
    claim = await store.running()
    await store.writer.checkpoint(Checkpoint(claim.seq, claim.token, b"\x00\xff"))
    await store.settle(claim, Status.RETRYING, delay_ms=0, failures_delta=1, crashes_delta=1)
    await store.writer.promote()

    (again,) = await store.claim()

    assert (again.attempt, again.failures, again.crashes) == (2, 1, 1)
    assert again.checkpoint == b"\x00\xff"


async def test_a_submission_starts_in_its_own_commit_if_a_slot_is_free(store: Store) -> None:
    store.seen.free["cpu"] = 1

    submitted = await store.submit()

    (claim,) = store.seen.claims
    assert claim.seq == submitted.seq
    assert store.seen.types(claim.seq) == ["queued", "processing"]
    assert store.seen.log == ["events", "claims"]


async def test_a_settlement_and_the_next_claim_are_one_commit(store: Store) -> None:
    claim = await store.running()
    waiting = await store.submit()
    store.seen.free["cpu"] = 1
    store.seen.log.clear()

    await store.settle(claim, Status.COMPLETED)

    assert store.seen.claims[-1].seq == waiting.seq
    assert store.seen.log == ["events", "claims"]


async def test_the_most_urgent_goes_first_then_the_oldest(store: Store) -> None:
    for priority in (5, 9, 0, 5, 0):
        await store.submit(priority=priority)
    order = [row[0] for row in await store.query("SELECT seq FROM jobs ORDER BY priority, seq")]

    claims = [*await store.claim(2), *await store.claim(3)]

    assert [claim.seq for claim in claims] == order


async def test_nothing_is_claimed_without_a_slot_nor_from_another_lane(store: Store) -> None:
    await store.submit(lane="io")
    store.seen.free["cpu"] = 5
    store.writer.wake()
    await store.writer.promote()

    assert store.seen.claims == []

    (claim,) = await store.claim(lane="io")

    assert claim.lane == "io"


async def test_queues_share_the_slots(store: Store) -> None:
    for queue, count in (("a", 9), ("b", 9), ("c", 1)):
        for _ in range(count):
            await store.submit(queue=queue)

    claims = await store.claim(7)

    taken = {queue: [c.queue for c in claims].count(queue) for queue in "abc"}
    assert taken == {"a": 3, "b": 3, "c": 1}


async def test_what_a_short_queue_leaves_goes_to_those_served_before_it(store: Store) -> None:
    for queue, count in (("a", 9), ("b", 1)):
        for _ in range(count):
            await store.submit(queue=queue)

    claims = await store.claim(6)

    assert [c.queue for c in claims].count("a") == 5


async def test_queues_take_turns_when_slots_are_few(store: Store) -> None:
    for queue in ("a", "b", "c"):
        for _ in range(2):
            await store.submit(queue=queue)

    order = [(await store.claim(1))[0].queue for _ in range(6)]

    assert order == ["a", "b", "c"] * 2


async def test_no_job_is_claimed_twice(store: Store) -> None:
    for n in range(40):
        await store.submit(queue=f"q{n % 3}", priority=n % 4)

    claims = [claim for size in (7, 13, 1, 19) for claim in await store.claim(size)]

    assert len({claim.seq for claim in claims}) == 40
    assert len({claim.token for claim in claims}) == 40


async def test_a_start_finds_the_queues_that_have_work(path: Path, open_store: OpenStore) -> None:
    async with open_store(path) as store:
        for queue, lane in (("a", "cpu"), ("b", "cpu"), ("b", "io")):
            await store.submit(queue=queue, lane=lane)

    async with open_store(path) as store:
        cpu = await store.claim(2)
        io = await store.claim(1, "io")

    assert [claim.queue for claim in cpu] == ["a", "b"]
    assert [claim.queue for claim in io] == ["b"]


@pytest.mark.parametrize("size", [10, 5000])
async def test_a_backlog_does_not_slow_a_claim(store: Store, size: int) -> None:
    """The steps of SQLite's machine for one claim of one job; a walk would cost thousands."""
    jobs = [store.new_job(queue=f"q{n % 2}", priority=n % 10) for n in range(size)]
    await store.together(*map(store.writer.submit, jobs))
    steps: list[int] = []

    def count(connection: Any) -> None:
        connection.set_progress_handler(lambda: steps.append(1), 10)

    await store.database.run(count)
    (claim,) = await store.claim()
    await store.database.run(lambda c: c.set_progress_handler(None, 0))

    assert claim.attempt == 1
    assert len(steps) < 60


async def test_events_of_a_mixed_batch_are_in_order_and_those_of_the_table(
    store: Store,
) -> None:
    done, cancelled = await store.submit(), await store.submit()
    (claim,) = await store.claim()
    new = store.new_job()
    settlement = Settlement(claim.seq, claim.token, Status.COMPLETED)

    await store.together(
        store.writer.submit(new),
        store.writer.cancel(cancelled.job_id),
        store.writer.settle(settlement),
        free=2,
    )

    rows = await store.query("SELECT id, seq, type FROM events ORDER BY id")
    assert [(e.id, e.seq, e.type) for e in store.seen.events] == rows
    assert [row[2] for row in rows[-4:]] == [
        "job.completed",
        "job.cancelled",
        "job.queued",
        "job.processing",
    ]
    assert (await store.job(done.job_id)).event_id == rows[-4][0]
