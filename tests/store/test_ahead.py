"""Short jobs are claimed beyond the free slots, in the order in which they would be anyway."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.ahead import Ahead
from jobd.domain.errors import NotFound
from jobd.domain.queues import QueueChange
from jobd.domain.statuses import Status
from jobd.store.ready import Ready

if TYPE_CHECKING:
    from jobd.domain.jobs import Claim
    from tests.store.conftest import Store

SHARES = {"test.short": 0.25}


async def submitted(store: Store, *kinds: str, **fields: Any) -> list[int]:
    return [(await store.submit(kind=f"test.{kind}", **fields)).seq for kind in kinds]


async def claimed(store: Store, *, slots: int = 0, room: float = 1.0) -> list[int]:
    """Return what is claimed for so many slots and so much room."""
    return [claim.seq for claim in await claims(store, slots=slots, room=room)]


async def claims(store: Store, *, slots: int = 0, room: float = 1.0) -> list[Claim]:
    before = len(store.seen.claims)
    store.seen.free["cpu"], store.seen.ahead = slots, Ahead(room, SHARES)
    with contextlib.suppress(NotFound):
        await store.writer.cancel("job_none")  # the claim is in the same commit
    store.seen.free["cpu"], store.seen.ahead = 0, Ahead()
    return store.seen.claims[before:]


async def test_as_many_as_there_is_room_for(store: Store) -> None:
    seqs = await submitted(store, *["short"] * 6)

    assert await claimed(store) == seqs[:4]
    assert await claimed(store, room=0.5) == seqs[4:]


async def test_who_gets_a_slot_takes_of_the_room_as_well(store: Store) -> None:
    seqs = await submitted(store, *["short"] * 9)

    assert await claimed(store, slots=1) == seqs[:4]
    assert await claimed(store, slots=1, room=0) == seqs[4:5]


async def test_a_slot_that_goes_to_another_kind_has_no_room_behind_it(store: Store) -> None:
    seqs = await submitted(store, "long", *["short"] * 6)

    assert await claimed(store, slots=2, room=2) == seqs[:5]


async def test_the_first_that_wants_an_idle_worker_is_next(store: Store) -> None:
    """Else a queue of short jobs would keep every worker from ever being idle."""
    mixed = await submitted(store, "short", "long", "short")
    before = await claimed(store)
    other = await submitted(store, "short", "short", queue="other")
    ahead = await claimed(store)
    slot = await claimed(store, slots=1, room=0)
    after = await claimed(store)

    assert (before, ahead, slot) == (mixed[:1], [], mixed[1:2])
    assert sorted(after) == sorted(mixed[2:] + other)


@pytest.mark.parametrize("history", ["interrupted", "crashes", "released"])
async def test_who_stands_alone_is_not_claimed_ahead(store: Store, history: str) -> None:
    (seq,) = await submitted(store, "short")
    (claim,) = await claims(store, slots=1)
    times = 3 if history == "released" else 1
    await store.settle(claim, Status.QUEUED, **{f"{history}_delta": times})

    assert await claimed(store) == []
    assert await claimed(store, slots=1) == [seq]


async def test_of_a_queue_with_a_limit_nothing_is_claimed_ahead(store: Store) -> None:
    await store.writer.set_queue(QueueChange("default", concurrency=5))
    seqs = await submitted(store, "short", "short")

    ahead, in_slots = await claimed(store), await claims(store, slots=1)

    assert ahead == []
    assert [(claim.seq, claim.limited) for claim in in_slots] == [(seqs[0], True)]


async def test_the_urgent_go_ahead_first(store: Store) -> None:
    late = await submitted(store, "short", "short", priority=9)
    urgent = await submitted(store, "short", "short", priority=0)

    assert await claimed(store, room=0.75) == [*urgent, late[0]]


async def test_queues_share_the_room(store: Store) -> None:
    a = await submitted(store, *["short"] * 4, queue="a")
    b = await submitted(store, *["short"] * 4, queue="b")

    assert sorted(await claimed(store)) == sorted(a[:2] + b[:2])


async def test_a_paused_queue_does_not_go_ahead(store: Store) -> None:
    await store.writer.set_queue(QueueChange("default", paused=True))
    await submitted(store, "short")

    assert await claimed(store) == []


def test_a_queue_that_waits_for_an_idle_worker_is_not_asked_again() -> None:
    ready = Ready([("cpu", "a"), ("cpu", "b")])
    first = ready.claimable({"cpu": 0}, ahead=True)
    ready.waits()
    waits, idle = ready.copy().claimable({"cpu": 0}, ahead=True), ready.claimable({"cpu": 1})
    ready.served("cpu", "a", empty=False)

    assert (first, waits, idle) == (True, False, True)
    assert ready.claimable({"cpu": 0}, ahead=True)


@pytest.mark.parametrize(
    ("ahead", "places"),
    [
        (Ahead(), 0),
        (Ahead(0.5), 0),
        (Ahead(2.0), 0),
        (Ahead(0.5, SHARES), 2),
        (Ahead(0.2, SHARES), 0),
        (Ahead(-1.0, SHARES), -4),
        (Ahead(0.1 * 3, {"test.short": 0.1}), 3),
    ],
)
def test_without_a_short_kind_or_room_there_is_no_place(ahead: Ahead, places: int) -> None:
    """The writer would else look for a job again and again."""
    assert max(0, ahead.places) == max(0, places)
