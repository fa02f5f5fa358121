"""A database that cannot be served from any more: the writer stops and the process is told."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobd.domain.errors import OutcomeUnknown, Unavailable
from jobd.store.connection import writing
from jobd.store.database import Database, DatabaseUnusable
from jobd.store.misread import corrected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.store.conftest import Store

_OVERWRITE = """
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(4096)
    file.write(b"nonsense" * 100_000)
"""


@pytest.fixture
async def broken() -> asyncio.Future[BaseException]:
    return asyncio.get_running_loop().create_future()


@pytest.fixture
async def watched(path: Path, broken: asyncio.Future[BaseException]) -> AsyncIterator[Database]:
    """A database that says when it breaks."""
    database = await Database.open(path, broken=broken.set_result)
    yield database
    await database.close()


def damage(path: Path) -> None:
    """Overwrite it from another process: closing the file in this one would drop the locks."""
    subprocess.run([sys.executable, "-c", _OVERWRITE, path], check=True)


def delete(path: Path) -> None:
    path.unlink()


def delete_wal(path: Path) -> None:
    path.with_name("jobd.db-wal").unlink()


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"")
    other.replace(path)


def link(path: Path) -> None:
    path.with_name("twin").hardlink_to(path)


def drop_a_table(path: Path) -> None:
    connection = writing(path)
    connection.execute("ALTER TABLE jobs RENAME TO others")
    connection.close()


@pytest.mark.parametrize("harm", [delete, delete_wal, replace, link, drop_a_table])
async def test_a_harmed_database_is_noticed_by_the_next_commit(
    store: Store, path: Path, harm: Callable[[Path], None]
) -> None:
    await store.submit()
    harm(path)

    with pytest.raises(OutcomeUnknown):
        await store.submit()

    assert [type(death) for death in store.seen.deaths] == [DatabaseUnusable]
    assert store.writer.condition == "dead"


async def test_an_idle_database_notices_that_its_file_is_gone(
    watched: Database, path: Path, broken: asyncio.Future[BaseException]
) -> None:
    delete(path)

    error = await broken

    assert isinstance(error, DatabaseUnusable)
    with pytest.raises(DatabaseUnusable, match="is gone under jobd"):
        await watched.run(lambda connection: connection.total_changes)


async def test_a_read_that_meets_damage_breaks_the_database(
    watched: Database, path: Path, broken: asyncio.Future[BaseException]
) -> None:
    await watched.checkpoint()
    damage(path)

    with pytest.raises(Unavailable, match="cannot be read"):
        await watched.read(lambda c: c.execute("SELECT * FROM jobs").fetchall())

    with pytest.raises(DatabaseUnusable, match=r"malformed|not a database"):
        raise await broken


@pytest.fixture
def bad_sector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads of ours fail; SQLite, whose reads cannot be reached from here, meets damage."""

    def pread(_fd: int, _size: int, _at: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", pread)


@pytest.mark.usefixtures("bad_sector")
async def test_what_cannot_be_read_is_no_damage(
    watched: Database, path: Path, broken: asyncio.Future[BaseException]
) -> None:
    await watched.checkpoint()
    damage(path)

    with pytest.raises(Unavailable, match="cannot be read"):
        await watched.read(lambda c: c.execute("SELECT * FROM jobs").fetchall())

    with pytest.raises(sqlite3.OperationalError, match=r"disk I/O error: Input/output error"):
        raise await broken


@pytest.mark.usefixtures("bad_sector")
async def test_what_cannot_be_read_at_the_start_is_no_damage(path: Path) -> None:
    await (await Database.open(path)).close()
    damage(path)

    with pytest.raises(OSError, match="Input/output error"):
        await Database.open(path)


async def test_a_look_at_the_files_drops_no_lock(watched: Database, path: Path) -> None:
    reading = await watched.run(lambda _: locks_on(path))

    assert corrected(damaged(), path).args == damaged().args
    assert locks_on(path) == reading != []


def damaged() -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def locks_on(path: Path) -> list[str]:
    """Return this process's locks on the file, as the kernel has them."""
    ours = f" {os.getpid()} "
    inode = f":{path.stat().st_ino} "
    found = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return [line.partition(": ")[2] for line in found if ours in line and inode in line]


async def test_a_writer_that_meets_damage_stops(store: Store, path: Path) -> None:
    await store.database.checkpoint()
    damage(path)
    await store.database.run(lambda c: c.execute("PRAGMA shrink_memory").fetchall())

    with pytest.raises(OutcomeUnknown):
        await store.submit()

    assert [type(death) for death in store.seen.deaths] == [DatabaseUnusable]


async def test_a_cancelled_caller_hides_nothing(
    watched: Database, path: Path, broken: asyncio.Future[BaseException]
) -> None:
    """The error goes to nobody's await, and yet no later commit may vouch for anything."""
    delete(path)
    caller = asyncio.create_task(watched.run(lambda connection: connection.total_changes))
    await asyncio.wait([caller], timeout=0)
    caller.cancel()

    await broken

    assert caller.cancelled()
    with pytest.raises(DatabaseUnusable):
        await watched.run(lambda connection: connection.total_changes)


async def test_an_error_of_a_single_statement_breaks_nothing(
    watched: Database, broken: asyncio.Future[BaseException]
) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await watched.run(lambda c: c.execute("nonsense"))
    with pytest.raises(sqlite3.OperationalError):
        await watched.read(lambda c: c.execute("SELECT * FROM nothing"))

    assert await watched.run(lambda c: c.execute("SELECT 1").fetchall()) == [(1,)]
    assert not broken.done()
