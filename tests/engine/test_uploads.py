"""Uploads as commands: a claim always has its file, whoever else comes and goes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobd.domain.errors import Conflict, Invalid, NotFound
from jobd.domain.outcomes import Completed
from jobd.files import uploads

if TYPE_CHECKING:
    from jobd.domain.jobs import Upload
    from tests.engine.conftest import Engine

OTHER = "uid:2"
DAY_MS = 24 * 3600 * 1000


def content_of(engine: Engine, upload: Upload) -> bytes:
    return uploads.path_of(engine.layout, upload.file_id).read_bytes()


async def test_an_upload_is_in_place_and_lives_a_day(engine: Engine) -> None:
    upload = await engine.upload(b"abc")

    assert content_of(engine, upload) == b"abc"
    assert await engine.readers.upload(upload.file_id, "uid:1000") == upload
    assert upload.size_bytes == 3
    assert upload.expires_at_ms - upload.created_at_ms == DAY_MS
    assert list(engine.layout.incoming.iterdir()) == []


async def test_a_job_keeps_the_upload_that_it_names(engine: Engine) -> None:
    upload = await engine.upload()
    attempt = await engine.begin(args={"source": {"$file": upload.file_id}})

    with pytest.raises(Conflict) as refused:
        await engine.commands.remove_upload(upload.file_id, "uid:1000")
    attempt.end(Completed())
    await engine.dispatcher.settled()
    await engine.commands.remove_upload(upload.file_id, "uid:1000")

    assert refused.value.code == "upload_in_use"
    assert not uploads.path_of(engine.layout, upload.file_id).exists()


async def test_another_principals_upload_is_not_named(engine: Engine) -> None:
    upload = await engine.upload(principal=OTHER)

    with pytest.raises(Invalid) as refused:
        await engine.submit(args={"source": {"$file": upload.file_id}})

    assert refused.value.code == "validation_error"


async def test_a_malformed_reference_is_refused_before_anything_is_stored(engine: Engine) -> None:
    with pytest.raises(Invalid) as refused:
        await engine.submit(args={"pages": [{"$file": "movie.mp4"}]})

    assert [error.pointer for error in refused.value.errors] == ["#/args/pages/0"]
    assert await engine.query("SELECT count(*) FROM jobs") == [(0,)]


async def test_a_file_stays_as_long_as_somebody_has_sent_it(engine: Engine) -> None:
    upload = await engine.upload()
    await engine.upload(principal=OTHER)

    await engine.commands.remove_upload(upload.file_id, "uid:1000")
    kept = content_of(engine, upload)
    await engine.commands.remove_upload(upload.file_id, OTHER)

    assert kept == b"abc"
    assert not uploads.path_of(engine.layout, upload.file_id).exists()


async def test_nothing_to_remove(engine: Engine) -> None:
    with pytest.raises(NotFound):
        await engine.commands.remove_upload("file_" + "0" * 64, "uid:1000")


@pytest.mark.parametrize("turns", range(12))
async def test_who_removes_takes_no_file_from_who_sends_it(engine: Engine, turns: int) -> None:
    """The removal has begun, has committed, or is about to unlink when the other one comes."""
    upload = await engine.upload()
    received = await engine.receive(b"abc")

    removing = asyncio.create_task(engine.commands.remove_upload(upload.file_id, "uid:1000"))
    for _ in range(turns):
        await asyncio.wait([removing], timeout=0)
    await asyncio.gather(removing, engine.commands.add_upload(OTHER, received))

    assert await engine.readers.upload(upload.file_id, OTHER) is not None
    assert content_of(engine, upload) == b"abc"


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancelled_caller_leaves_no_claim_without_its_file(
    engine: Engine, turns: int
) -> None:
    received = await engine.receive(b"abc")
    adding = asyncio.create_task(engine.commands.add_upload("uid:1000", received))
    for _ in range(turns):
        await asyncio.wait([adding], timeout=0)
    adding.cancel()
    await asyncio.wait([adding])

    # takes its turn behind what the cancelled one has begun
    upload = await engine.upload(principal=OTHER)

    assert content_of(engine, upload) == b"abc"
    claimed = await engine.readers.upload(upload.file_id, "uid:1000")
    assert (claimed is not None) == (turns > 0)
    assert list(engine.layout.incoming.iterdir()) == ([] if turns else [received.path])
