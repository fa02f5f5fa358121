"""Queues: pause, resume and limits in the claims, what is told of them, a restart between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from jobd.domain.jobs import Settlement
from jobd.domain.queues import QueueChange
from jobd.domain.statuses import Status
from jobd.store import queues
from tests.store.conftest import RULES

if TYPE_CHECKING:
    from pathlib import Path

    from jobd.domain.jobs import Claim
    from jobd.domain.queues import Queue
    from tests.store.conftest import OpenStore, Store
    from tests.support.clock import FakeClock

LIMITED = msgspec.structs.replace(RULES, concurrency={"default": 2})


async def limit(store: Store, concurrency: int | None, name: str = "default") -> None:
    await store.writer.set_queue(QueueChange(name, concurrency=concurrency))


async def pause(store: Store, name: str = "default", *, paused: bool = True) -> None:
    await store.writer.set_queue(QueueChange(name, paused=paused))


async def claimed(store: Store, slots: int = 9) -> list[Claim]:
    """Give slots and return what is claimed by the time that the writer has nothing to do."""
    before = len(store.seen.claims)
    store.seen.free["cpu"] = slots
    store.writer.wake()
    # of two in a row the second is asked when the claims of the first one's batch are made
    for _ in range(2):
        await store.writer.promote()
    store.seen.free["cpu"] = 0
    return store.seen.claims[before:]


async def look(store: Store, *names: str) -> list[Queue]:
    return await store.readers.queues({}, named=names, in_use=not names)


async def test_nothing_is_claimed_from_a_paused_queue_until_it_is_resumed(store: Store) -> None:
    await pause(store)
    await store.submit()
    other = await store.submit(queue="other")

    assert [claim.seq for claim in await claimed(store)] == [other.seq]

    await pause(store, paused=False)

    assert len(await claimed(store)) == 1


async def test_a_pause_holds_for_the_claims_of_its_own_transaction(store: Store) -> None:
    await store.submit()

    await store.together(
        store.writer.set_queue(QueueChange("default", paused=True)),
        store.writer.submit(store.new_job()),
        free=2,
    )

    assert store.seen.claims == []


async def test_a_pause_holds_for_a_queue_that_was_served_before(store: Store) -> None:
    await store.running()
    await pause(store)
    await store.submit()

    assert await claimed(store) == []


async def test_what_runs_goes_on_when_its_queue_is_paused(store: Store) -> None:
    claim = await store.running()

    await pause(store)
    await store.settle(claim, Status.COMPLETED)

    assert (await store.job(claim.job_id)).status is Status.COMPLETED


async def test_a_resume_claims_in_its_own_commit(store: Store) -> None:
    await pause(store)
    await store.submit()
    await claimed(store)
    store.seen.free["cpu"] = 1

    await pause(store, paused=False)

    assert len(store.seen.claims) == 1


async def test_a_limit_is_for_all_lanes_together(store: Store) -> None:
    await limit(store, 3)
    for lane in ("cpu", "io") * 3:
        await store.submit(lane=lane)
    store.seen.free["io"] = 9

    assert len(await claimed(store)) == 3


async def test_a_job_that_ends_makes_room_for_the_next_in_the_same_commit(store: Store) -> None:
    await limit(store, 1)
    first, second = await store.submit(), await store.submit()
    (claim,) = await claimed(store)
    store.seen.free["cpu"] = 1
    store.seen.log.clear()

    await store.settle(claim, Status.COMPLETED)

    assert claim.seq == first.seq
    assert store.seen.claims[-1].seq == second.seq
    assert store.seen.log == ["events", "claims"]


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RETRYING, Status.FAILED])
async def test_room_that_was_made_without_a_slot_is_used_when_there_is_one(
    store: Store, status: Status
) -> None:
    await limit(store, 1)
    for _ in range(3):
        await store.submit()
    (claim,) = await claimed(store)
    await store.settle(claim, status, delay_ms=60_000)

    assert len(await claimed(store)) == 1


async def test_several_that_end_at_once_make_room_for_as_many(store: Store) -> None:
    await limit(store, 2)
    for _ in range(5):
        await store.submit()
    ends = [Settlement(c.seq, c.token, Status.COMPLETED) for c in await claimed(store)]

    await store.together(*map(store.writer.settle, ends), free=9)

    assert len(store.seen.claims) == 4


async def test_a_blocked_queue_costs_the_writer_nothing(store: Store, clock: FakeClock) -> None:
    """With slots free and jobs waiting it must rest, not look again and again."""
    await pause(store)
    await store.submit()
    await limit(store, 1, "other")
    for _ in range(2):
        await store.submit(queue="other")
    await claimed(store)
    store.seen.free["cpu"] = 9
    clock.read.clear()

    store.writer.wake()
    for _ in range(20):
        await store.database.alive()

    assert not clock.read.is_set()  # it is read for each batch


async def test_a_submission_to_a_blocked_queue_does_not_look_at_it(store: Store) -> None:
    await pause(store)
    await store.submit()
    await claimed(store)
    store.seen.free["cpu"] = 9

    ran = await store.statements(store.writer.submit(store.new_job()))

    assert not any("queues" in sql for sql in ran)


async def test_a_queue_at_its_limit_takes_no_slot_from_the_others(store: Store) -> None:
    await limit(store, 1, "a")
    for queue in ("a", "a", "a", "b", "b", "b"):
        await store.submit(queue=queue)

    taken = [claim.queue for claim in await claimed(store, 4)]

    assert sorted(taken) == ["a", "b", "b", "b"]


async def test_a_limit_may_be_lowered_below_what_runs(store: Store) -> None:
    for _ in range(4):
        await store.submit()
    first, second, third = await store.claim(3)

    await limit(store, 1)
    for claim in (first, second):
        await store.settle(claim, Status.COMPLETED)

    assert await claimed(store) == []

    await store.settle(third, Status.COMPLETED)

    assert len(await claimed(store)) == 1


@pytest.mark.parametrize(("concurrency", "expected"), [(5, 4), (None, 4), (1, 1)])
async def test_what_was_set_stands_above_the_settings(
    path: Path, open_store: OpenStore, concurrency: int | None, expected: int
) -> None:
    async with open_store(path, rules=LIMITED) as store:
        for _ in range(4):
            await store.submit()
        await limit(store, concurrency)

        assert len(await claimed(store)) == expected


async def test_a_pause_alone_leaves_the_limit_of_the_settings(
    path: Path, open_store: OpenStore
) -> None:
    async with open_store(path, rules=LIMITED) as store:
        for _ in range(4):
            await store.submit()
        await pause(store)
        await pause(store, paused=False)

        assert len(await claimed(store)) == 2


async def test_changes_of_one_queue_in_one_batch_add_up(store: Store) -> None:
    changes = [
        QueueChange("q", concurrency=3),
        QueueChange("q", paused=True),
        QueueChange("r", paused=True),
        QueueChange("q", concurrency=4),
    ]

    await store.together(*map(store.writer.set_queue, changes))

    found = [(q.name, q.concurrency, q.paused) for q in await look(store)]
    assert found == [("q", 4, True), ("r", None, True)]


async def test_a_restart_keeps_what_was_set(path: Path, open_store: OpenStore) -> None:
    async with open_store(path) as store:
        await pause(store)
        await limit(store, 1, "other")
        for queue in ("default", "other", "other"):
            await store.submit(queue=queue)

    async with open_store(path) as store:
        assert [claim.queue for claim in await claimed(store)] == ["other"]


async def test_orphans_of_a_limited_queue_make_room(path: Path, open_store: OpenStore) -> None:
    async with open_store(path, rules=LIMITED) as store:
        for _ in range(4):
            await store.submit()
        await claimed(store)

    async with open_store(path, rules=LIMITED) as store:
        assert await claimed(store) == []  # they still hold their leases
        await store.writer.recover()

        assert len(await claimed(store)) == 2


async def test_a_queue_tells_what_is_in_it(store: Store, clock: FakeClock) -> None:
    await store.submit(priority=9)
    clock.advance(60)
    await store.submit(priority=0)
    await store.submit(run_at_ms=clock.ms + 60_000)
    await store.claim(1)
    await store.submit(queue="other", lane="io")

    default, other = await look(store)

    assert (default.name, default.queued, default.processing) == ("default", 1, 1)
    assert default.oldest_since_ms == clock.ms - 60_000
    assert (other.name, other.queued, other.processing) == ("other", 1, 0)
    assert other.oldest_since_ms == clock.ms


async def test_a_job_that_was_scheduled_waits_since_it_was_due(
    store: Store, clock: FakeClock
) -> None:
    await store.submit(run_at_ms=clock.ms + 60_000)
    clock.advance(90)
    await store.writer.promote()

    (queue,) = await look(store)

    assert queue.oldest_since_ms == clock.ms - 30_000


async def test_a_queue_without_anything_can_be_asked_for(store: Store) -> None:
    (queue,) = await store.readers.queues({"new": 7}, named=["new"])

    assert (queue.concurrency, queue.paused, queue.queued) == (7, False, 0)
    assert queue.oldest_since_ms is None


async def test_a_state_counts_only_where_there_is_a_limit(store: Store) -> None:
    await store.running()
    await store.running(queue="limited")
    names = ["default", "limited"]

    found = await store.database.read(lambda c: queues.states(c, names, {"limited": 3}))

    assert [found[name].processing for name in names] == [0, 1]
    assert (found["default"].spare, found["limited"].spare) == (float("inf"), 2)
