"""Delete: everything of a job that is over goes, but its idempotency key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobd.domain.errors import Conflict, Gone, NotFound
from jobd.domain.jobs import Artifact, Checkpoint, JobError, Progress, Settlement, Update, Upload
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from jobd.domain.jobs import Claim
    from tests.store.conftest import Store

FILE_ID = "file_" + "0" * 64
ARTIFACT = Artifact("out.csv", "job/t/out.csv", "text/csv", 3, "ab" * 32, 1)
ERROR = JobError("handler_error", "no", retryable=False)


async def full_job(store: Store) -> Claim:
    """Run a job that has left a row wherever it can, and end it."""
    await store.writer.add_upload(Upload(FILE_ID, "uid:1000", 1, FILE_ID[5:], 1, 2))
    claim = await store.running(
        key="k",
        files=(FILE_ID,),
        callback_url="https://example.com/",
        callback_events=("job.processing", "job.failed"),
    )
    await store.writer.progress(Update(claim.seq, claim.token, Progress(pct=1)))
    await store.writer.checkpoint(Checkpoint(claim.seq, claim.token, b"7"))
    await store.settle(claim, Status.FAILED, error=ERROR, artifacts=(ARTIFACT,))
    return claim


async def tables_that_know(store: Store, seq: int) -> set[str]:
    tables = await store.query(
        "SELECT DISTINCT m.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c"
        " WHERE m.type = 'table' AND c.name = 'seq' AND m.name NOT LIKE 'sqlite%'"
    )
    counts = {
        table: await store.query(f"SELECT count(*) FROM {table} WHERE seq = ?", seq)  # noqa: S608
        for (table,) in tables
    }
    return {table for table, ((count,),) in counts.items() if count}


async def test_all_rows_of_a_job_go_but_its_key(store: Store) -> None:
    claim = await full_job(store)
    before = await tables_that_know(store, claim.seq)

    await store.writer.delete(claim.job_id)

    assert before >= {"jobs", "job_inputs", "job_results", "events", "artifacts", "job_files"}
    assert before >= {"messages", "deliveries"}
    assert await tables_that_know(store, claim.seq) == {"idempotency"}
    assert await store.readers.get(claim.job_id) is None


async def test_a_replay_of_a_deleted_job_says_that_it_is_gone(store: Store) -> None:
    claim = await full_job(store)
    await store.writer.delete(claim.job_id)

    with pytest.raises(Gone):
        await store.submit(key="k")


async def test_other_jobs_keep_their_rows(store: Store) -> None:
    claim = await store.settled(Status.FAILED)
    other = await store.settled(Status.COMPLETED)
    before = await store.readers.events(other.seq)

    await store.writer.delete(claim.job_id)

    assert (await store.job(other.job_id)).done
    assert await store.readers.events(other.seq) == before


@pytest.mark.parametrize("status", [Status.RETRYING, Status.QUEUED])
async def test_a_job_that_is_not_over_is_not_deleted(store: Store, status: Status) -> None:
    claim = await store.settled(status, delay_ms=1000)

    with pytest.raises(Conflict) as refused:
        await store.writer.delete(claim.job_id)

    assert refused.value.code == "job_active"
    assert (await store.job(claim.job_id)).status is status


async def test_no_job_nothing_to_delete(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.writer.delete("job_none")


async def test_each_of_a_batch_gets_its_own_answer(store: Store) -> None:
    over = await store.settled(Status.COMPLETED)
    waits = await store.submit()
    asked = [over.job_id, waits.job_id, "job_none", over.job_id]

    gone, active, unknown, also_gone = await store.together(*map(store.writer.delete, asked))

    assert (gone, also_gone) == (None, None)
    assert isinstance(active, Conflict)
    assert isinstance(unknown, NotFound)


async def test_nothing_is_left_of_a_job_that_ends_in_the_batch_that_deletes_it(
    store: Store,
) -> None:
    claim = await store.running(
        callback_url="https://example.com/", callback_events=("job.failed",)
    )
    settlement = Settlement(claim.seq, claim.token, Status.FAILED, error=ERROR)

    settled, deleted = await store.together(
        store.writer.settle(settlement), store.writer.delete(claim.job_id)
    )

    assert (settled, deleted) == (None, None)
    assert await tables_that_know(store, claim.seq) == set()
    assert store.seen.types(claim.seq) == ["queued", "processing", "failed"]


async def test_a_seq_is_never_given_again(store: Store) -> None:
    claim = await store.settled(Status.COMPLETED)
    await store.writer.delete(claim.job_id)

    assert (await store.submit()).seq > claim.seq
