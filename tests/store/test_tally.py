"""The tally: whatever moves, it says what a count would."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.jobs import Settlement
from jobd.domain.statuses import Status
from jobd.store.counting import count
from jobd.store.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import OpenStore, Store
    from tests.support.clock import FakeClock


def said(tally: Tally) -> dict[str, Any]:
    return {**vars(tally), "known": None}


async def counted(store: Store) -> Tally:
    tally = Tally()
    await count(store.database, tally, asyncio.Lock())
    return tally


async def test_every_move_is_counted(store: Store, clock: FakeClock) -> None:
    submit, settle = store.submit, store.settle

    async def check() -> None:
        assert said(store.writer.tally) == said(await counted(store))

    await submit(run_at_ms=clock.ms + 1000, principal="uid:2", queue="later")
    await store.writer.cancel((await submit(priority=0)).job_id)
    await check()
    claims = [await store.running(priority=0) for _ in range(5)]
    await check()
    failed, *others = claims
    await settle(failed, Status.FAILED)
    ends = [
        Settlement(others[0].seq, others[0].token, Status.COMPLETED),
        Settlement(others[1].seq, others[1].token, Status.RETRYING, delay_ms=5000),
        Settlement(others[2].seq, others[2].token, Status.QUEUED),
    ]
    await store.together(*map(store.writer.settle, ends))
    await check()
    await store.writer.retry(failed.job_id, "job_again")
    await store.writer.delete(failed.job_id)
    await check()
    clock.advance(2)
    await store.writer.promote()
    await check()

    assert store.writer.tally.finished == 2
    assert store.writer.tally.statuses == {
        Status.QUEUED: 3,
        Status.RETRYING: 1,
        Status.PROCESSING: 1,
    }


async def test_a_start_counts_what_was_there(path: Path, open_store: OpenStore) -> None:
    async with open_store(path) as store:
        await store.settled(Status.COMPLETED)
        await store.running()
        await store.submit(principal="uid:2")
    async with open_store(path) as store:
        tally = store.writer.tally
        await store.writer.recover()
        await store.submit()
        assert (tally.known, tally.waiting["uid:2"], tally.all_waiting) == (False, 0, 2)

        await store.writer.count()

        assert (tally.known, tally.waiting["uid:2"], tally.all_waiting) == (True, 1, 3)
        assert (tally.queued["cpu", "default"], tally.finished) == (3, 1)
        assert said(tally) == said(await counted(store))


async def test_a_commit_under_way_is_counted_once(path: Path, open_store: OpenStore) -> None:
    async with open_store(path) as store:
        await store.submit()
    async with open_store(path) as store:
        async with store.busy():
            asked = [asyncio.create_task(store.submit()) for _ in range(3)]
            counting = asyncio.create_task(store.writer.count())
            await asyncio.wait([*asked, counting], timeout=0)
        await asyncio.gather(*asked, counting)

        assert store.writer.tally.all_waiting == 4


async def test_many_commits_around_the_count(path: Path, open_store: OpenStore) -> None:
    async with open_store(path) as store:
        for _ in range(20):
            await store.submit()
    async with open_store(path) as store:

        async def keep_submitting() -> None:
            for _ in range(50):
                await store.submit()

        await asyncio.gather(keep_submitting(), store.writer.count(), keep_submitting())

        assert store.writer.tally.all_waiting == 120


async def test_what_was_not_written_is_not_counted(store: Store) -> None:
    broken = store.new_job(priority="most urgent")

    good, refused = await store.together(
        store.submit(principal="uid:2"), store.writer.submit(broken)
    )

    assert isinstance(refused, Exception)
    assert store.writer.tally.waiting == {"uid:2": 1}
    assert good.seq


def test_nothing_is_kept_of_those_that_are_gone() -> None:
    tally, more = Tally(), Tally()
    more.moved("uid:1", "cpu", "default", None, Status.QUEUED)

    tally.add(more)
    tally.subtract(more)

    assert said(tally) == said(Tally())


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.RETRYING, Status.QUEUED])
def test_what_waits_is_counted_by_principal(status: Status) -> None:
    tally = Tally()

    tally.moved("uid:1", "cpu", "default", Status.PROCESSING, status)

    assert (tally.waiting["uid:1"], tally.all_waiting) == (1, 1)
    assert tally.statuses[Status.PROCESSING] == -1
