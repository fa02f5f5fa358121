"""The file: made, migrated, refused; and every transaction whole."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sqlite3
import threading
from importlib import resources
from pathlib import Path

import aiosqlite
import pytest

from jobd.store.connection import Connection, atomically, writing
from jobd.store.database import Database, DatabaseUnusable
from jobd.store.schema import APPLICATION_ID, migrate, migrations
from jobd.store.wal import CHECKPOINT_PAGES


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def content(path: Path) -> bytes:
    return path.read_bytes()


def make_no_database(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)


@pytest.mark.parametrize(("synchronous", "level"), [("full", 2), ("normal", 1)])
async def test_the_writing_connection_is_set_up_for_durability(
    path: Path, synchronous: str, level: int
) -> None:
    names = ("journal_mode", "synchronous", "wal_autocheckpoint", "mmap_size", "auto_vacuum")

    database = await Database.open(path, synchronous=synchronous)
    found = await database.run(lambda c: [pragma(c, name) for name in names])
    await database.close()

    assert found == ["wal", level, 0, 0, 2]


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database.read(lambda c: c.execute("DELETE FROM jobs").fetchall())


async def test_every_open_is_a_start_of_the_same_database(path: Path) -> None:
    identities = []
    for _ in range(3):
        database = await Database.open(path)
        identities.append(database.identity)
        await database.close()

    assert [identity.start_number for identity in identities] == [1, 2, 3]
    assert len({identity.database_id for identity in identities}) == 1


async def test_a_clean_close_leaves_one_file(path: Path) -> None:
    database = await Database.open(path)

    await database.close()

    assert [file.name for file in path.parent.iterdir()] == ["jobd.db"]


async def test_its_files_are_their_owners_alone(path: Path) -> None:
    before = os.umask(0o022)
    try:
        database = await Database.open(path)
    finally:
        os.umask(before)
    modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.glob(f"{path.name}*")}
    await database.close()

    assert modes == dict.fromkeys((f"{path.name}{end}" for end in ("", "-wal", "-shm")), 0o600)


def test_the_migrations_reach_the_newest_schema(schema: sqlite3.Connection) -> None:
    tables = schema.execute(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
        " AND name NOT LIKE 'sqlite%'"
    ).fetchall()

    assert pragma(schema, "user_version") == len(migrations())
    assert pragma(schema, "application_id") == APPLICATION_ID
    assert all(strict for _, strict in tables)
    assert {"jobs", "events", "idempotency", "meta"} <= {name for name, _ in tables}


def test_the_migrations_are_numbered_without_a_gap() -> None:
    folder = resources.files("jobd.store").joinpath("migrations")

    numbers = sorted(file.name[:5] for file in folder.iterdir())

    assert numbers == [f"{n:04}_" for n in range(1, len(numbers) + 1)]


def test_a_migration_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    connection = writing(tmp_path / "x.db")
    first = "CREATE TABLE a (x TEXT DEFAULT ';');\n-- why;\nCREATE TABLE b (x);\n"
    broken = "CREATE TABLE c (x);\nCREATE TABLE a (x);\n"

    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection, [first, broken])
    tables = connection.execute("SELECT name FROM sqlite_schema ORDER BY name").fetchall()
    version = pragma(connection, "user_version")
    migrate(connection, [first, "CREATE TABLE c (x);\n"])

    assert (tables, version) == ([("a",), ("b",)], 1)
    assert pragma(connection, "user_version") == 2
    connection.close()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("PRAGMA user_version = 999", "a newer jobd"),
        ("PRAGMA application_id = 7", "another program"),
    ],
)
async def test_a_newer_or_foreign_database_is_refused(path: Path, change: str, reason: str) -> None:
    await (await Database.open(path)).close()
    connection = writing(path)
    connection.execute(change)
    connection.close()
    before = content(path)

    with pytest.raises(DatabaseUnusable, match=reason):
        await Database.open(path)

    assert content(path) == before


async def test_the_database_of_another_program_is_left_as_it_was(path: Path) -> None:
    connection = writing(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = content(path)

    with pytest.raises(DatabaseUnusable, match="another program"):
        await Database.open(path)

    assert content(path) == before
    assert list(path.parent.iterdir()) == [path]


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    make_no_database(path)

    with pytest.raises(DatabaseUnusable, match="not a database"):
        await Database.open(path)


async def test_a_place_where_no_file_can_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="unable to open"):
        await Database.open(tmp_path / "none" / "jobd.db")


async def test_a_folder_that_cannot_be_synced_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(fd: int) -> None:
        assert os.path.samestat(os.fstat(fd), path.parent.stat())
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)

    with pytest.raises(OSError, match="Input/output error"):
        await Database.open(path)


async def test_a_place_that_cannot_keep_a_wal_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatabaseUnusable, match="its journal mode is 'memory', not 'wal'"):
        await Database.open(Path(":memory:"))


async def test_room_is_not_made_for_what_has_another_cause(path: Path) -> None:
    make_no_database(path)
    asked: list[Path] = []

    def make_room() -> bool:
        asked.append(path)
        return True

    with pytest.raises(DatabaseUnusable):
        await Database.open(path, make_room=make_room)

    assert asked == []


async def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM meta")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(fail)

    rows = await database.read(lambda c: c.execute("SELECT count(*) FROM meta").fetchall())
    assert rows[0][0] == 3


def test_a_transaction_is_over_whatever_is_raised_in_it(tmp_path: Path) -> None:
    connection = writing(tmp_path / "x.db")

    def give_up(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE a (x)")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomically(connection, give_up)

    assert not connection.in_transaction
    assert connection.execute("SELECT * FROM sqlite_schema").fetchall() == []
    connection.close()


async def test_a_cancelled_caller_leaves_no_transaction_open(database: Database) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('slow', 1)")
        entered.set()
        leave.wait()

    caller = asyncio.create_task(database.run(slow))
    await asyncio.to_thread(entered.wait)
    caller.cancel()
    await asyncio.wait([caller])
    leave.set()
    rows = await database.run(
        lambda c: c.execute("SELECT value FROM meta WHERE key = 'slow'").fetchall()
    )

    assert caller.cancelled()
    assert rows == [(1,)]


async def test_reads_wait_for_an_idle_connection(path: Path) -> None:
    database = await Database.open(path, readers=1)
    leave = threading.Event()

    first = asyncio.create_task(database.read(lambda _: leave.wait()))
    second = asyncio.create_task(database.read(lambda c: c.total_changes))
    await asyncio.wait([first, second], timeout=0)
    leave.set()

    assert [await first, await second] == [True, 0]
    await database.close()


async def test_an_emptied_file_gives_its_pages_back(database: Database, path: Path) -> None:
    await database.run(fill_and_empty)
    before = await database.sizes()

    freed = await database.vacuum(100)
    after = await database.sizes()
    await database.checkpoint()

    assert freed == 100
    assert before.freelist_count - after.freelist_count == 100
    assert before.page_count - after.page_count == 100
    assert len(content(path)) == after.page_count * after.page_size


def fill_and_empty(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO meta VALUES ('big', zeroblob(1000000))")
    connection.execute("DELETE FROM meta WHERE key = 'big'")


async def test_a_vacuum_that_finds_the_lock_held_frees_nothing(
    database: Database, path: Path
) -> None:
    await database.run(fill_and_empty)
    await database.run(lambda c: c.execute("PRAGMA busy_timeout = 1").fetchall())
    other = writing(path)
    other.execute("BEGIN IMMEDIATE")

    freed = await database.vacuum(100)

    other.close()
    assert freed == 0


async def test_the_wal_stays_small_though_somebody_always_reads(path: Path) -> None:
    """Without a moment in which nobody reads, what is written goes to the WAL's end for ever."""
    database = await Database.open(path, synchronous="normal", readers=3)
    over = asyncio.Event()
    reading = [asyncio.create_task(read_until(database, over)) for _ in range(6)]
    wal = path.with_name("jobd.db-wal")
    largest = 0

    for _ in range(3000):
        await database.run(
            lambda c: c.execute("INSERT OR REPLACE INTO meta VALUES ('x', randomblob(30000))")
        )
        largest = max(largest, wal.stat().st_size)
    over.set()
    reads = await asyncio.gather(*reading)
    await database.close()

    assert largest <= 64 * 1024 * 1024
    assert min(reads) > 0


async def read_until(database: Database, over: asyncio.Event) -> int:
    """Read all the time; return how often."""
    reads = 0
    while not over.is_set():
        await database.read(lambda c: c.execute(_SLOW_READ).fetchall())
        reads += 1
    return reads


_SLOW_READ = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
SELECT count(*) FROM n JOIN meta WHERE i = 1
"""


async def test_the_wal_is_cut_off_when_no_other_program_reads(
    database: Database, path: Path
) -> None:
    wal = path.with_name("jobd.db-wal")
    other = writing(path)
    other.execute("BEGIN")
    other.execute("SELECT * FROM meta").fetchall()
    await database.run(lambda c: c.execute("INSERT INTO meta VALUES ('x', zeroblob(20000000))"))

    await database.checkpoint()
    pinned = wal.stat().st_size
    other.close()
    await database.checkpoint()

    assert pinned > 16 * 1024 * 1024
    assert wal.stat().st_size == 0


async def test_what_others_than_the_writer_commit_is_folded_too(
    database: Database, path: Path
) -> None:
    wal = path.with_name("jobd.db-wal")

    for _ in range(40):
        await database.run(
            lambda c: c.execute("INSERT OR REPLACE INTO meta VALUES ('x', randomblob(1000000))")
        )

    assert wal.stat().st_size < 3 * CHECKPOINT_PAGES * 4096


async def test_the_one_private_name_of_aiosqlite_is_there(tmp_path: Path) -> None:
    """`Connection.call` stands on `_execute`; the dependency is pinned to this minor."""
    connection = await Connection.open(lambda: writing(tmp_path / "x.db"))

    thread = await connection.call(lambda _: threading.current_thread())
    await connection.close()

    assert thread is not threading.main_thread()
    assert aiosqlite.__version__.startswith("0.22.")
    assert asyncio.iscoroutinefunction(aiosqlite.Connection._execute)  # noqa: SLF001
    assert logging.getLogger("aiosqlite").level == logging.INFO
