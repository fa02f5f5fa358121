"""What a later start finds, after a clean end and an unclean one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Progress, Update
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from jobd.store.database import Database
    from jobd.store.writer import Writer
    from tests.store.conftest import OpenStore, Store


def copy(path: Path) -> Path:
    """Return a copy of an open database as kill -9 would leave it: with its WAL."""
    folder = path.parent / "copy"
    folder.mkdir()
    for name in ("jobd.db", "jobd.db-wal"):
        shutil.copy(path.with_name(name), folder / name)
    return folder / "jobd.db"


async def test_what_was_answered_is_there_after_an_unclean_end(
    store: Store, path: Path, open_store: OpenStore
) -> None:
    done = await store.settled(Status.COMPLETED)
    running = await store.running()

    async with open_store(copy(path)) as later:
        recovered = await later.writer.recover()

        assert recovered.requeued == 1
        assert (await later.job(done.job_id)).status is Status.COMPLETED
        assert (await later.job(running.job_id)).status is Status.QUEUED


@pytest.mark.parametrize("removed", [False, True])
async def test_ids_never_come_again(path: Path, open_store: OpenStore, removed: bool) -> None:
    def remove(connection: sqlite3.Connection) -> None:
        for table in ("jobs", "job_inputs", "events"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the three above

    async with open_store(path) as store:
        await store.submit()
        before = await store.submit()
        if removed:
            await store.database.run(remove)

    async with open_store(path) as store:
        after = await store.submit()

    assert (after.seq, after.event_id) == (before.seq + 1, before.event_id + 1)


async def test_an_id_that_only_progress_used_never_comes_again(
    store: Store, path: Path, open_store: OpenStore
) -> None:
    claim = await store.running()
    await store.writer.progress(Update(claim.seq, claim.token, Progress(pct=1.0)))
    reported = (await store.job(claim.job_id)).event_id

    async with open_store(copy(path)) as later:
        await later.writer.recover()

        assert (await later.job(claim.job_id)).event_id > reported


async def test_event_ids_begin_in_the_epoch_of_the_database(
    path: Path, open_store: OpenStore
) -> None:
    async with open_store(path) as store:
        first = await store.submit()
        await store.database.run(
            lambda c: c.execute("UPDATE meta SET value = 2 WHERE key = 'epoch'").fetchall()
        )

    async with open_store(path) as store:
        second = await store.submit()

    assert (first.event_id, second.event_id) == (2**40 + 1, 2 * 2**40 + 1)


async def test_a_lock_of_another_program_does_not_keep_the_writer_from_starting(
    database: Database, schema: sqlite3.Connection, open_writer: Callable[..., Writer]
) -> None:
    await database.run(lambda c: c.execute("PRAGMA busy_timeout = 1").fetchall())
    schema.execute("BEGIN IMMEDIATE")
    writer = open_writer(database)

    await writer.start()
    schema.execute("COMMIT")

    await writer.close()
