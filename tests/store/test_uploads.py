"""Uploads: who may name a file, and when it may be unlinked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from jobd.domain.errors import Conflict, Invalid, NotFound
from jobd.domain.jobs import Submitted, Upload
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from tests.store.conftest import Store

ME, OTHER = "uid:1000", "uid:2"
SHA256 = "ab" * 32
FILE_ID = f"file_{SHA256}"
ABSENT = "file_" + "0" * 64


def upload(principal: str = ME, file_id: str = FILE_ID, expires_at_ms: int = 9) -> Upload:
    return Upload(file_id, principal, 3, file_id[5:], 1, expires_at_ms)


async def test_an_upload_is_read_back_by_its_principal_alone(store: Store) -> None:
    stored = await store.writer.add_upload(upload())

    assert stored == upload()
    assert await store.readers.upload(FILE_ID, ME) == upload()
    assert await store.readers.upload(FILE_ID, OTHER) is None


@pytest.mark.parametrize(("second", "kept"), [(5, 9), (20, 20)])
async def test_sent_again_it_lives_as_long_as_the_longer_one(
    store: Store, second: int, kept: int
) -> None:
    await store.writer.add_upload(upload())

    stored = await store.writer.add_upload(upload(expires_at_ms=second))

    assert stored == msgspec.structs.replace(upload(), expires_at_ms=kept)


async def test_a_job_may_name_what_its_principal_has_sent(store: Store) -> None:
    await store.writer.add_upload(upload())

    submitted = await store.submit(files=(FILE_ID,))

    assert await store.query("SELECT file_id, seq FROM job_files") == [(FILE_ID, submitted.seq)]


@pytest.mark.parametrize("files", [(ABSENT,), (FILE_ID,), (ABSENT, FILE_ID)])
async def test_a_job_may_not_name_anything_else(store: Store, files: tuple[str, ...]) -> None:
    await store.writer.add_upload(upload(OTHER))

    with pytest.raises(Invalid) as refused:
        await store.submit(key="k", files=files)

    assert refused.value.code == "validation_error"
    assert [error.pointer for error in refused.value.errors] == ["#/args"]
    assert await store.query("SELECT count(*) FROM jobs") == [(0,)]
    assert await store.query("SELECT count(*) FROM idempotency") == [(0,)]


async def test_one_that_names_what_is_not_there_spoils_no_other(store: Store) -> None:
    await store.writer.add_upload(upload())
    jobs = [
        store.new_job(key="k", files=(ABSENT,)),
        store.new_job(key="k", files=(FILE_ID,)),
        store.new_job(),
    ]

    refused, *taken = await store.together(*map(store.writer.submit, jobs))

    # its key went to the second of the batch, and names that one's job now
    assert refused == Submitted(jobs[1].job_id, taken[0].seq, taken[0].event_id, replayed=True)
    assert [one.job_id for one in taken] == [jobs[1].job_id, jobs[2].job_id]


async def test_a_replay_is_answered_when_the_upload_is_gone(store: Store) -> None:
    await store.writer.add_upload(upload())
    first = await store.submit(key="k", files=(FILE_ID,))
    await store.writer.cancel(first.job_id)
    await store.writer.remove_upload(FILE_ID, ME)

    again = await store.submit(key="k", files=(FILE_ID,))

    assert (again.job_id, again.replayed) == (first.job_id, True)


async def test_the_last_claim_to_a_file_sets_it_free(store: Store) -> None:
    await store.writer.add_upload(upload())
    await store.writer.add_upload(upload(OTHER))

    assert not await store.writer.remove_upload(FILE_ID, ME)
    assert await store.writer.remove_upload(FILE_ID, OTHER)
    assert await store.readers.upload(FILE_ID, OTHER) is None


async def test_two_claims_taken_away_in_one_batch_set_it_free(store: Store) -> None:
    await store.writer.add_upload(upload())
    await store.writer.add_upload(upload(OTHER))

    free = await store.together(*(store.writer.remove_upload(FILE_ID, p) for p in (ME, OTHER)))

    assert free == [True, True]


async def test_a_file_that_the_same_batch_takes_is_not_set_free(store: Store) -> None:
    await store.writer.add_upload(upload())

    free, _ = await store.together(
        store.writer.remove_upload(FILE_ID, ME), store.writer.add_upload(upload(OTHER))
    )

    assert not free


async def test_an_upload_that_a_job_needs_is_not_removed(store: Store) -> None:
    await store.writer.add_upload(upload())
    await store.writer.add_upload(upload(OTHER))
    claim = await store.running(files=(FILE_ID,))

    with pytest.raises(Conflict) as refused:
        await store.writer.remove_upload(FILE_ID, ME)
    of_the_other = await store.writer.remove_upload(FILE_ID, OTHER)
    await store.settle(claim, Status.FAILED)

    assert refused.value.code == "upload_in_use"
    assert not of_the_other
    assert await store.writer.remove_upload(FILE_ID, ME)


async def test_what_is_not_there_is_not_removed(store: Store) -> None:
    await store.writer.add_upload(upload(OTHER))

    for file_id in (ABSENT, FILE_ID):
        with pytest.raises(NotFound):
            await store.writer.remove_upload(file_id, ME)
