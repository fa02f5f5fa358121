"""What is read of events: one job's, everybody's, and where the ids stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.domain.jobs import Progress, Update
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import OpenStore, Store


async def test_the_history_of_a_job_is_what_was_published(store: Store) -> None:
    claim = await store.settled(Status.COMPLETED, evidence={"exit_code": 0})
    await store.submit()

    history = await store.readers.events(claim.seq)

    assert history == [event for event in store.seen.events if event.seq == claim.seq]
    assert [event.type for event in history] == ["job.queued", "job.processing", "job.completed"]
    assert history[-1].data == {"evidence": {"exit_code": 0}} | history[-1].data


async def test_history_is_read_from_an_id_and_in_pages(store: Store) -> None:
    claim = await store.settled(Status.COMPLETED)
    queued, processing, completed = await store.readers.events(claim.seq)

    assert await store.readers.events(claim.seq, after=queued.id, limit=1) == [processing]
    assert await store.readers.events(claim.seq, after=processing.id) == [completed]
    assert await store.readers.events(claim.seq, after=completed.id) == []


async def test_the_history_of_all_is_in_the_order_of_the_commits(store: Store) -> None:
    for _ in range(2):
        await store.settled(Status.COMPLETED)

    everything = await store.readers.events_of_all(after=0, limit=100)
    rest = await store.readers.events_of_all(after=everything[1].id, limit=3)

    assert everything == store.seen.events
    assert rest == everything[2:5]


async def test_the_newest_id_counts_progress_and_what_was_deleted(store: Store) -> None:
    nothing = await store.readers.newest_event_id()
    claim = await store.running()
    running = await store.readers.newest_event_id()
    await store.writer.progress(Update(claim.seq, claim.token, Progress(pct=1)))
    reported = await store.readers.newest_event_id()
    await store.settle(claim, Status.COMPLETED)
    await store.writer.delete(claim.job_id)

    ids = [event.id for event in store.seen.events]
    assert (nothing, running, reported) == (0, ids[1], ids[2])
    assert await store.readers.newest_event_id() == ids[3]


async def test_ids_grow_over_a_restart_behind_a_retry(path: Path, open_store: OpenStore) -> None:
    async with open_store(path) as store:
        claim = await store.settled(Status.FAILED)
        await store.writer.retry(claim.job_id, "job_new")
        versions = [(await store.job(job_id)).event_id for job_id in (claim.job_id, "job_new")]

    async with open_store(path) as store:
        submitted = await store.submit()

    assert submitted.event_id > max(versions)


async def test_many_jobs_are_read_at_once(store: Store) -> None:
    one, _, other = [await store.submit() for _ in range(3)]

    found = await store.readers.get_many([other.seq, one.seq, 999])

    jobs = [await store.readers.get(submitted.job_id) for submitted in (one, other)]
    assert found == {job.seq: job for job in jobs if job is not None}
    assert await store.readers.get_many([]) == {}


async def test_inputs_show_the_callback(store: Store) -> None:
    submitted = await store.submit(callback_url="unix:/run/a.sock:/hook")

    inputs = (await store.job(submitted.job_id)).inputs

    assert inputs is not None
    assert inputs.callback_url == "unix:/run/a.sock:/hook"
