"""A job's life: every move of the table, made by the verbs that make it.

Not here: that the file itself refuses every other pair (test_guard.py), and every write
under a lease that is gone (test_settle.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from jobd.domain.errors import LeaseLost
from jobd.domain.statuses import MOVES, TERMINAL, Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import OpenStore, Store

SCHEDULED, QUEUED, PROCESSING = Status.SCHEDULED, Status.QUEUED, Status.PROCESSING
RETRYING, COMPLETED = Status.RETRYING, Status.COMPLETED
FAILED, CANCELLED = Status.FAILED, Status.CANCELLED

A_LIFE_S = 31 * 86_400
"""Longer than a job of these tests may live."""


class Verb(Protocol):
    async def __call__(self, store: Store, job_id: str) -> None:
        """Make the verb's move of the only job there is."""


async def promote(store: Store, job_id: str) -> None:
    store.clock.advance(10)
    await store.writer.promote()


async def promote_too_late(store: Store, job_id: str) -> None:
    store.clock.advance(A_LIFE_S)
    await store.writer.promote()


async def expire(store: Store, job_id: str) -> None:
    store.clock.advance(A_LIFE_S)
    await store.writer.expire()


async def cancel(store: Store, job_id: str) -> None:
    await store.writer.cancel(job_id)


async def claim(store: Store, job_id: str) -> None:
    await store.claim()


def settle(status: Status) -> Verb:
    async def settle_(store: Store, job_id: str) -> None:
        delay_ms = 1000 if status is RETRYING else None
        await store.settle(store.seen.claims[-1], status, delay_ms=delay_ms)

    return settle_


BY: list[tuple[Status, Status, str, Verb]] = [
    (SCHEDULED, QUEUED, "promote", promote),
    (SCHEDULED, CANCELLED, "cancel", cancel),
    (SCHEDULED, FAILED, "promote", promote_too_late),
    (QUEUED, PROCESSING, "claim", claim),
    (QUEUED, CANCELLED, "cancel", cancel),
    (QUEUED, FAILED, "expire", expire),
    (PROCESSING, COMPLETED, "settle", settle(COMPLETED)),
    (PROCESSING, FAILED, "settle", settle(FAILED)),
    (PROCESSING, CANCELLED, "settle", settle(CANCELLED)),
    (PROCESSING, RETRYING, "settle", settle(RETRYING)),
    (PROCESSING, QUEUED, "settle", settle(QUEUED)),
    (RETRYING, QUEUED, "promote", promote),
    (RETRYING, CANCELLED, "cancel", cancel),
    (RETRYING, FAILED, "promote", promote_too_late),
]

AFTER_A_RESTART = [QUEUED, CANCELLED, FAILED]
"""Where `recover` moves what an older start was running."""

PAIRS = [(old, new) for old, news in MOVES.items() for new in news]


async def put(store: Store, status: Status) -> str:
    """Make the only job of the store, bring it to `status` and return its id."""
    if status is SCHEDULED:
        return (await store.submit(run_at_ms=store.clock.ms + 5000)).job_id
    submitted = await store.submit()
    if status is QUEUED:
        return submitted.job_id
    await store.claim()
    if status is not PROCESSING:
        await settle(status)(store, submitted.job_id)
    return submitted.job_id


async def seen(store: Store, job_id: str) -> list[str]:
    """Return the statuses that the job's events tell of."""
    job = await store.job(job_id)
    rows = await store.query("SELECT type FROM events WHERE seq = ? ORDER BY id", job.seq)
    return [type_.removeprefix("job.") for (type_,) in rows if type_ != "job.cancel_requested"]


@pytest.mark.parametrize(
    ("old", "new", "act"),
    [pytest.param(old, new, act, id=f"{old}-{new}-{verb}") for old, new, verb, act in BY],
)
async def test_a_move_is_made_by_its_verb(
    store: Store, old: Status, new: Status, act: Verb
) -> None:
    job_id = await put(store, old)

    await act(store, job_id)

    assert (await store.job(job_id)).status is new
    assert (await seen(store, job_id))[-2:] == [old, new]


@pytest.mark.parametrize("new", AFTER_A_RESTART)
async def test_a_restart_moves_what_was_running(
    path: Path, open_store: OpenStore, new: Status
) -> None:
    async with open_store(path) as store:
        job_id = await put(store, QUEUED)
        if new is FAILED:
            (first,) = await store.claim()
            await store.settle(first, QUEUED, interrupted_delta=5)
        await store.claim()
        if new is CANCELLED:
            await store.writer.cancel(job_id)

    async with open_store(path) as store:
        await store.writer.recover()

        assert (await seen(store, job_id))[-2:] == [PROCESSING, new]


def test_every_move_of_the_table_is_made() -> None:
    assert {(old, new) for old, new, *_ in BY} == set(PAIRS)
    assert len(BY) == len(PAIRS)


@pytest.mark.parametrize("status", sorted(TERMINAL))
async def test_no_verb_moves_what_is_over(store: Store, status: Status) -> None:
    job_id = await put(store, status)
    before = await store.job(job_id)

    await promote(store, job_id)
    await expire(store, job_id)
    await cancel(store, job_id)
    await store.writer.recover()
    with pytest.raises(LeaseLost):
        await settle(QUEUED)(store, job_id)

    assert await store.job(job_id) == before
