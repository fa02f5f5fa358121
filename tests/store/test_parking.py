"""Parking: jobs of plugins that are gone cost a look each, and come back with their plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobd.domain.statuses import Status
from jobd.store import parking
from tests.store.conftest import RULES
from tests.store.test_queues import claimed, look

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import OpenStore, Seen, Store
    from tests.support.clock import FakeClock


@pytest.fixture(autouse=True)
def known(seen: Seen) -> None:
    seen.kinds = {"test.any": "cpu"}


async def unpark(store: Store) -> int:
    """Unpark to the end; return in how many transactions."""
    place: parking.Place | None = parking.START
    transactions = 0
    while place is not None:
        place = await store.writer.unpark(place)
        transactions += 1
    return transactions


async def submit_many(store: Store, count: int, **fields: Any) -> None:
    await store.together(*(store.writer.submit(store.new_job(**fields)) for _ in range(count)))


async def parked(store: Store) -> int:
    ((count,),) = await store.query("SELECT count(*) FROM jobs WHERE parked_at IS NOT NULL")
    return int(count)


async def test_a_job_whose_plugin_is_gone_is_parked_and_lets_others_pass(
    store: Store, clock: FakeClock
) -> None:
    gone = await store.submit(kind="test.gone")
    here = await store.submit()
    clock.trusted = clock.ms - 5

    assert [claim.seq for claim in await claimed(store)] == [here.seq]
    job = await store.job(gone.job_id)
    assert (job.status, job.updated_at_ms, job.event_id) == (
        Status.QUEUED,
        clock.ms,
        gone.event_id,
    )
    assert await store.query("SELECT parked_at FROM jobs WHERE parked_at IS NOT NULL") == [
        (clock.ms - 5,)
    ]
    assert store.seen.types(gone.seq) == ["queued"]


async def test_nothing_is_parked_while_the_kinds_are_not_known(store: Store) -> None:
    store.seen.kinds = None
    await store.submit(kind="test.gone")

    assert len(await claimed(store)) == 1


async def test_jobs_come_back_with_their_plugin_and_start_in_its_commit(store: Store) -> None:
    gone = await store.submit(kind="test.gone")
    await claimed(store)
    store.seen.kinds = {"test.gone": "cpu"}
    store.seen.free["cpu"] = 1

    await unpark(store)

    assert [claim.seq for claim in store.seen.claims] == [gone.seq]
    assert await parked(store) == 0


async def test_what_is_still_gone_stays_parked(store: Store) -> None:
    await store.submit(kind="test.gone")
    await store.submit(kind="test.other")
    await claimed(store)
    store.seen.kinds = {"test.other": "cpu"}

    await unpark(store)

    assert await parked(store) == 1
    assert [claim.kind for claim in await claimed(store)] == ["test.other"]


async def test_a_kind_that_changed_its_lane_takes_its_jobs_with_it(store: Store) -> None:
    moved = await store.submit()
    store.seen.kinds = {"test.any": "io"}

    assert await claimed(store) == []

    (claim,) = await store.claim(lane="io")

    assert (claim.seq, claim.lane) == (moved.seq, "io")


async def test_a_parked_job_comes_back_in_the_lane_of_its_kind(store: Store) -> None:
    await store.submit(kind="test.gone")
    await claimed(store)
    store.seen.kinds = {"test.gone": "io"}

    await unpark(store)

    assert len(await store.claim(lane="io")) == 1


async def test_the_order_of_those_that_come_back_is_that_of_the_queue(store: Store) -> None:
    jobs = [await store.submit(kind="test.gone", priority=priority) for priority in (5, 1, 5)]
    await claimed(store)
    store.seen.kinds = {"test.gone": "cpu"}
    await unpark(store)

    assert [claim.seq for claim in await claimed(store)] == [
        jobs[1].seq,
        jobs[0].seq,
        jobs[2].seq,
    ]


async def test_a_backlog_is_parked_by_and_by(store: Store) -> None:
    """One transaction looks at so many; the writer goes on until a job that can run is found."""
    await submit_many(store, 1200, kind="test.gone")
    here = await store.submit()
    ran: list[str] = []
    await store.database.run(lambda connection: connection.set_trace_callback(ran.append))

    (claim,) = await store.claim()

    await store.database.run(lambda connection: connection.set_trace_callback(None))
    transactions = "\n".join(ran).split("BEGIN IMMEDIATE")
    assert claim.seq == here.seq
    assert await parked(store) == 1200
    assert max(sql.count("SET parked_at = ") for sql in transactions) == 1
    assert await unpark(store) == 3


async def test_what_is_parked_is_not_looked_at_again(store: Store) -> None:
    await submit_many(store, 100, kind="test.gone")
    await claimed(store)
    store.seen.free["cpu"] = 1

    ran = await store.statements(store.writer.submit(store.new_job()))

    assert sum("ORDER BY jobs.priority" in sql for sql in ran) == 1
    assert not any("parked_at = " in sql for sql in ran)


async def test_a_parked_job_does_not_keep_the_writer_busy(store: Store, clock: FakeClock) -> None:
    await store.submit(kind="test.gone")
    await claimed(store)
    store.seen.free["cpu"] = 1
    clock.read.clear()

    store.writer.wake()
    for _ in range(20):
        await store.database.alive()

    assert not clock.read.is_set()


async def test_a_parked_job_can_be_cancelled(store: Store) -> None:
    gone = await store.submit(kind="test.gone")
    await claimed(store)

    await store.writer.cancel(gone.job_id)
    store.seen.kinds = {"test.gone": "cpu"}
    await unpark(store)

    assert (await store.job(gone.job_id)).status is Status.CANCELLED
    assert await claimed(store) == []


async def test_parked_jobs_are_among_the_queued_ones_of_their_queue(
    store: Store, clock: FakeClock
) -> None:
    await store.submit(kind="test.gone")
    await claimed(store)
    since_ms = clock.ms
    clock.advance(60)
    await store.submit()

    (queue,) = await look(store)

    assert (queue.queued, queue.oldest_since_ms) == (2, since_ms)


async def test_a_restart_leaves_them_parked(path: Path, open_store: OpenStore) -> None:
    async with open_store(path) as store:
        await store.submit(kind="test.gone")
        await claimed(store)

    async with open_store(path) as store:
        store.seen.kinds = {"test.gone": "cpu"}
        assert await claimed(store) == []
        await unpark(store)

        assert len(await claimed(store)) == 1


async def test_jobs_past_their_deadline_are_failed_instead_of_claimed(
    path: Path, open_store: OpenStore, clock: FakeClock
) -> None:
    rules = msgspec.structs.replace(RULES, max_age_ms=100_000)
    async with open_store(path, rules=rules) as store:
        old = await store.submit()
        clock.advance(50)
        late = await store.submit(start_before_ms=clock.ms + 20_000)
        here = await store.submit()
        clock.advance(50)

        assert [claim.seq for claim in await claimed(store)] == [here.seq]
        for submitted, code in ((old, "expired"), (late, "start_deadline")):
            job = await store.job(submitted.job_id)
            assert (job.status, job.attempt) == (Status.FAILED, 0)
            assert job.error is not None
            assert job.error.code == code


async def test_a_retry_does_not_go_by_the_deadline_for_the_start(
    store: Store, clock: FakeClock
) -> None:
    claim = await store.running(start_before_ms=clock.ms + 60_000)
    await store.settle(claim, Status.QUEUED)
    clock.advance(90)

    assert [again.attempt for again in await claimed(store)] == [2]
