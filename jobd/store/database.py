"""The database file: one connection that writes, a few that read.

Only the one connection writes, checkpoints and migrates: with a second one SQLite before
3.51.3 can corrupt the file when the WAL is reset. `run(fn)` is the seam of all writes:
`fn` is a whole transaction. Never open the file otherwise in this process: closing any
descriptor of it drops SQLite's locks.

Not here: the schema (schema.py). Writes about jobs go through the writer (writer.py), which
gathers them; webhooks (deliveries.py) call `run` themselves.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from jobd.store import schema
from jobd.store.connection import (
    Connection,
    Unsafe,
    atomically,
    reading,
    set_up_before_reading,
    set_up_reader,
    set_up_writer,
    writing,
)

T = TypeVar("T")


class DatabaseUnusable(Exception):  # noqa: N818 - named for what happened
    """The database cannot be served from; a person has to look at it."""


class Database:
    """An open database; `close` it, or its threads keep the process alive."""

    identity: schema.Identity

    def __init__(self, writer: Connection) -> None:
        self._writer = writer
        self._readers: list[Connection] = []
        self._idle: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()

    @classmethod
    async def open(cls, path: Path, *, synchronous: str = "full", readers: int = 2) -> "Database":
        """Open, or make, the database at `path` and bring it to the newest schema.

        Each open counts as a start. Raises DatabaseUnusable if the file belongs to
        another program or a newer jobd, is damaged, or cannot be made durable; a foreign
        file is left as it was.
        """
        try:
            database = cls(await Connection.open(lambda: writing(path)))
            try:
                await database._set_up(path, synchronous, readers)
            except BaseException:
                await database.close()
                raise
        except (sqlite3.Error, schema.Foreign, Unsafe) as error:
            raise DatabaseUnusable(f"{path}: {error}") from error
        return database

    async def _set_up(self, path: Path, synchronous: str, readers: int) -> None:
        self.identity = await self._writer.call(lambda c: _prepare(c, synchronous))
        for _ in range(readers):
            connection = await Connection.open(lambda: reading(path))
            self._readers.append(connection)
            await connection.call(set_up_reader)
            self._idle.put_nowait(connection)

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` as one transaction; durable on return, undone if it raises.

        A caller that is cancelled stops nothing: the transaction goes on to its end. An
        error of COMMIT itself leaves its outcome unknown.
        """
        return await self._writer.call(lambda connection: atomically(connection, fn))

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` on a read-only connection, waiting for an idle one.

        Rows are `sqlite3.Row`. `fn` must fetch all it asks for: an open cursor keeps the
        WAL from being reset.
        """
        connection = await self._idle.get()
        try:
            return await connection.call(fn)
        finally:
            self._idle.put_nowait(connection)

    async def alive(self) -> None:
        """Return when the writing thread has answered; runs no statement."""
        await self._writer.call(lambda _: None)

    async def checkpoint(self) -> None:
        """Copy what readers allow from the WAL into the file; waits for nobody."""
        await self._writer.call(lambda c: c.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())

    async def close(self) -> None:
        """Close every connection, the writing one last: it folds the WAL into the file."""
        for connection in [*self._readers, self._writer]:
            await connection.close()


def _prepare(connection: sqlite3.Connection, synchronous: str) -> schema.Identity:
    set_up_before_reading(connection)
    schema.check_ours(connection)
    set_up_writer(connection, synchronous)
    schema.migrate(connection, schema.migrations())
    schema.install_guards(connection)
    return schema.begin_start(connection)
