"""One SQLite connection on a thread of its own, and how jobd sets it up.

Functions are handed over whole (`call`): between two awaits of single statements a
cancelled caller would leave a transaction open for the next one to fall over.

Not here: which connection does what (database.py).
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

import aiosqlite

T = TypeVar("T")

# at DEBUG it logs every function with its arguments: args and secrets of users
logging.getLogger("aiosqlite").setLevel(logging.INFO)

BUSY_TIMEOUT_MS = 5000
"""Somebody's sqlite3 shell, or Litestream, may hold the lock for a moment."""

_SYNCHRONOUS = {"normal": 1, "full": 2}

_SCHEMA_GONE = ("no such table:", "no such column:")


class Unsafe(Exception):  # noqa: N818 - becomes DatabaseUnusable with the file's name
    """SQLite would not keep on this file what jobd promises."""


class Connection(aiosqlite.Connection):
    """An aiosqlite connection that can also run a function on its thread."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._refusal: sqlite3.Error | None = None

        def connector() -> sqlite3.Connection:
            try:
                self._raw = connect()
            except sqlite3.Error as error:
                # of a connector that raises, aiosqlite does not wait for the thread to end
                self._refusal = error
                self._raw = sqlite3.connect(":memory:")
            return self._raw

        super().__init__(connector, iter_chunk_size=64)

    @classmethod
    async def open(cls, connect: Callable[[], sqlite3.Connection]) -> Self:
        """Start the thread and connect on it; close the connection, or the thread lives on.

        Raises what `connect` raises; then nothing is left to close.
        """
        connection = cls(connect)
        await connection
        if connection._refusal is not None:
            await connection.close()
            raise connection._refusal
        return connection

    async def call(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` on the connection's thread; it runs to its end also if the caller is cancelled.

        `_execute` is the one private name of aiosqlite used here; a test pins it.
        """
        result: T = await self._execute(fn, self._raw)  # type: ignore[no-untyped-call]
        return result


def writing(path: Path) -> sqlite3.Connection:
    """Connect for writing; nothing is read or changed yet.

    A new file is its owner's alone, whatever the umask: secrets are in it. So are the files
    that SQLite puts beside it.
    """
    with contextlib.suppress(OSError):  # what is wrong, SQLite will say
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(path, isolation_level=None, cached_statements=256)


def reading(path: Path) -> sqlite3.Connection:
    """Connect read-only to a file that exists."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=64)


def set_up_before_reading(connection: sqlite3.Connection) -> None:
    """Set what must stand before the file is looked at; changes nothing in it."""
    _pragma(connection, f"busy_timeout = {BUSY_TIMEOUT_MS}")
    _pragma(connection, "trusted_schema = OFF")


def set_up_writer(connection: sqlite3.Connection, synchronous: str) -> None:
    """Set what makes a commit durable and check that it holds; raises Unsafe if not."""
    _pragma(connection, "auto_vacuum = INCREMENTAL")  # takes hold only before the first table
    mode = _pragma(connection, "journal_mode = WAL")
    if mode != "wal":  # a network or memory file system
        raise Unsafe(f"its journal mode is {mode!r}, not 'wal'; is it on a network file system?")
    wanted = _SYNCHRONOUS[synchronous]
    _pragma(connection, f"synchronous = {wanted}")
    if _pragma(connection, "synchronous") != wanted:
        raise Unsafe(f"synchronous cannot be set to {synchronous}")
    for setting in (
        "wal_autocheckpoint = 0",  # the writer does it, after it has answered
        "journal_size_limit = 67108864",
        "mmap_size = 0",  # an I/O error in a mapping is a SIGBUS
        "cell_size_check = ON",
        "secure_delete = FAST",
        "cache_size = -8000",
    ):
        _pragma(connection, setting)


def set_up_reader(connection: sqlite3.Connection) -> None:
    """Set what keeps a reader from harm."""
    for setting in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "query_only = ON",
        "trusted_schema = OFF",
        "mmap_size = 0",
        "cache_size = -2000",
    ):
        _pragma(connection, setting)
    connection.row_factory = sqlite3.Row


def atomically(connection: sqlite3.Connection, fn: Callable[[sqlite3.Connection], T]) -> T:
    """Run `fn` in one transaction: committed when it returns, rolled back when it raises.

    IMMEDIATE: a transaction that began as a reader fails at once, whatever the timeout,
    if somebody else has written since.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = fn(connection)
        connection.execute("COMMIT")
    except BaseException:
        # after a full disk or an I/O error SQLite has rolled back by itself
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _pragma(connection: sqlite3.Connection, setting: str) -> object:
    row = connection.execute(f"PRAGMA {setting}").fetchone()
    return None if row is None else row[0]


def primary_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code, None for an error that it did not report."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def schema_gone(error: BaseException) -> bool:
    """Whether a statement did not find its table: somebody has changed the schema."""
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith(_SCHEMA_GONE)
