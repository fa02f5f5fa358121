"""What a running attempt writes on its way: progress and checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.domain.errors import LeaseLost
from jobd.domain.jobs import Checkpoint, Progress, Settlement, Update
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from tests.store.conftest import Store
    from tests.support.clock import FakeClock


async def test_progress_is_read_back_with_an_id_of_its_own(store: Store, clock: FakeClock) -> None:
    claim = await store.running()
    before = await store.job(claim.job_id)
    clock.advance(1)
    progress = Progress(12.5, 1, 8, "load", 1, 3, "row 1")

    await store.writer.progress(Update(claim.seq, claim.token, progress))

    job = await store.job(claim.job_id)
    assert job.progress == progress
    assert job.event_id == before.event_id + 1
    assert job.updated_at_ms == clock.ms


async def test_progress_is_published_and_is_no_history(store: Store) -> None:
    claim = await store.running()

    await store.writer.progress(Update(claim.seq, claim.token, Progress(pct=10.0, message="m")))

    event = store.seen.events[-1]
    assert (event.type, event.job_id, event.attempt) == ("job.progress", claim.job_id, 1)
    assert event.data == {"pct": 10.0, "message": "m"}
    assert await store.query("SELECT type FROM events WHERE id = ?", event.id) == []


async def test_of_several_reports_in_one_batch_the_newest_stands(store: Store) -> None:
    claim = await store.running()
    updates = [Update(claim.seq, claim.token, Progress(pct=float(n))) for n in (1, 2, 3)]

    answers = await store.together(*map(store.writer.progress, updates))

    assert answers == [None] * 3
    assert (await store.job(claim.job_id)).progress == Progress(pct=3.0)
    assert store.seen.types(claim.seq) == ["queued", "processing", "progress"]


async def test_a_report_that_meets_the_end_of_its_attempt_is_lost(store: Store) -> None:
    claim = await store.running()

    late, settled = await store.together(
        store.writer.progress(Update(claim.seq, claim.token, Progress(pct=1.0))),
        store.writer.settle(Settlement(claim.seq, claim.token, Status.COMPLETED)),
    )

    assert isinstance(late, LeaseLost)
    assert settled is None
    assert (await store.job(claim.job_id)).progress is None


async def test_a_checkpoint_replaces_the_one_before(store: Store) -> None:
    claim = await store.running()
    for data in (b"one", b"\x00" * 100_000, b""):
        await store.writer.checkpoint(Checkpoint(claim.seq, claim.token, data))

        assert await store.query("SELECT data FROM checkpoints") == [(data,)]


async def test_of_checkpoints_in_one_batch_only_those_with_a_lease_are_kept(store: Store) -> None:
    claim = await store.running()
    mine = [Checkpoint(claim.seq, claim.token, data) for data in (b"1", b"2")]
    stale = Checkpoint(claim.seq, "0" * 32, b"3")

    *kept, lost = await store.together(*map(store.writer.checkpoint, [*mine, stale]))

    assert kept == [None, None]
    assert isinstance(lost, LeaseLost)
    assert await store.query("SELECT data FROM checkpoints") == [(b"2",)]
