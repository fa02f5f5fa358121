"""The database file: one connection that writes, a few that read.

Only the one connection writes, checkpoints and migrates: with a second one SQLite before
3.51.3 can corrupt the file when the WAL is reset. `run(fn)` is the seam of all writes:
`fn` is a whole transaction. Never open the file otherwise in this process: closing any
descriptor of it drops SQLite's locks.

What cannot pass breaks the database for good: an I/O error, after which nothing written may
be vouched for, damage, or another file in its place. No more transactions run then.

Not here: the schema (schema.py), the WAL's size (wal.py). Writes about jobs go through the
writer (writer.py), which gathers them; webhooks (deliveries.py) call `run` themselves.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from jobd.domain.errors import Unavailable
from jobd.store import schema
from jobd.store.connection import (
    Connection,
    Unsafe,
    atomically,
    primary_code,
    reading,
    schema_gone,
    set_up_before_reading,
    set_up_reader,
    set_up_writer,
    writing,
)
from jobd.store.misread import corrected
from jobd.store.open_files import OpenFiles, sync_names
from jobd.store.wal import Wal

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_S = 1.0
"""How often an idle database looks whether its files are still there."""

_MAY_PASS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY}
_UNUSABLE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}
_BREAK_A_READ = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class DatabaseUnusable(Exception):  # noqa: N818 - named for what happened
    """The database cannot be served from; a person has to look at it."""


class Sizes(msgspec.Struct, frozen=True):
    """What the file holds."""

    page_count: int
    freelist_count: int
    """Pages that hold nothing; `Database.vacuum` gives them back."""
    page_size: int


class Database:
    """An open database; `close` it, or its threads keep the process alive."""

    identity: schema.Identity

    def __init__(
        self, path: Path, writer: Connection, broken: Callable[[BaseException], None]
    ) -> None:
        self._path = path
        self._writer = writer
        self._readers: list[Connection] = []
        self._idle: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        self._gate = asyncio.Event()
        self._gate.set()
        self._cutting = asyncio.Lock()  # two at once would each hold some readers, for ever
        self._loop = asyncio.get_running_loop()
        self._wal = Wal(path)
        self._files: OpenFiles
        self._folding: asyncio.Task[None] | None = None
        self._next_look: asyncio.TimerHandle | None = None
        self._error: BaseException | None = None
        self._tell_broken = broken

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        synchronous: str = "full",
        readers: int = 2,
        make_room: Callable[[], bool] = lambda: False,
        broken: Callable[[BaseException], None] = lambda _: None,
    ) -> "Database":
        """Open, or make, the database at `path` and bring it to the newest schema.

        Each open counts as a start. Raises DatabaseUnusable if the file belongs to
        another program or a newer jobd, is damaged, or cannot be made durable; a foreign
        file is left as it was. Raises OSError for what may pass: an I/O error, a lock of
        another program, a full disk, unless `make_room` then says that it has made some.

        `broken` is called on the loop, once, when the database breaks later, with a
        DatabaseUnusable or the I/O error: the process has to end.
        """
        try:
            try:
                return await cls._open(path, synchronous, readers, broken)
            except sqlite3.Error as error:
                if primary_code(error) != sqlite3.SQLITE_FULL or not make_room():
                    raise
                return await cls._open(path, synchronous, readers, broken)
        except (sqlite3.Error, schema.Foreign, Unsafe) as refused:
            reason = await asyncio.to_thread(corrected, refused, path)
            if primary_code(reason) in _MAY_PASS:
                raise OSError(f"{path}: {reason}") from refused
            raise DatabaseUnusable(f"{path}: {reason}") from refused

    @classmethod
    async def _open(
        cls, path: Path, synchronous: str, readers: int, broken: Callable[[BaseException], None]
    ) -> "Database":
        database = cls(path, await Connection.open(lambda: writing(path)), broken)
        try:
            await database._set_up(synchronous, readers)
        except BaseException:
            await database.close()
            raise
        return database

    async def _set_up(self, synchronous: str, readers: int) -> None:
        self.identity = await self._writer.call(lambda c: _prepare(c, self._path, synchronous))
        self._files = OpenFiles(self._path)
        for _ in range(readers):
            connection = await Connection.open(lambda: reading(self._path))
            self._readers.append(connection)
            await connection.call(set_up_reader)
            self._idle.put_nowait(connection)
        self._next_look = self._loop.call_later(LOOK_S, self._look)

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` as one transaction; durable on return, undone if it raises.

        A caller that is cancelled stops nothing: the transaction goes on to its end. An
        error of COMMIT itself leaves its outcome unknown. Raises DatabaseUnusable.
        """
        result = await self._write(lambda connection: atomically(connection, fn))
        self._wal.committed()
        self._fold_if_due()
        return result

    def wrote(self, row_bytes: int) -> None:
        """Count what the rows of a transaction held, so that the WAL is folded in time."""
        self._wal.wrote(row_bytes)
        self._fold_if_due()

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` on a read-only connection, waiting for an idle one.

        Rows are `sqlite3.Row`. `fn` must fetch all it asks for: an open cursor keeps the
        WAL from being reset. Raises Unavailable if this breaks the database.
        """
        await self._gate.wait()
        connection = await self._idle.get()
        try:
            return await connection.call(lambda c: self._judged(lambda: fn(c), _breaks_a_read))
        except (sqlite3.Error, DatabaseUnusable) as error:
            if isinstance(error, sqlite3.Error) and not _breaks_a_read(error):
                raise
            detail = "The database cannot be read: the daemon is stopping."
            raise Unavailable("starting", detail, retryable=True) from error
        finally:
            self._idle.put_nowait(connection)

    async def sizes(self) -> Sizes:
        """Return how large the file is and how much of it is free."""
        return await self.read(
            lambda c: Sizes(
                page_count=_number(c, "page_count"),
                freelist_count=_number(c, "freelist_count"),
                page_size=_number(c, "page_size"),
            )
        )

    async def vacuum(self, pages: int) -> int:
        """Give back up to `pages` free pages of the file; return how many it were.

        About 15 us each, in one transaction of its own. Returns 0 too if another program
        holds the lock or there is no room to write: try again later.
        """
        try:
            freed = await self._write(lambda connection: _vacuum(connection, pages))
        except sqlite3.Error as error:
            if primary_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL}:
                return 0
            raise
        self._wal.committed()
        self._fold_if_due()
        return freed

    async def alive(self) -> None:
        """Return when the writing thread has answered; runs no statement."""
        await self._writer.call(lambda _: None)

    async def checkpoint(self) -> None:
        """Copy what readers allow from the WAL into the file; waits for nobody.

        If the WAL has become large it is cut off then, with reads kept waiting meanwhile.
        """
        await self._write(self._wal.fold)
        if self._wal.too_large():
            async with self._cutting:
                await self._truncate()

    async def fold(self) -> None:
        """Checkpoint as far as that is possible now; what hinders it is logged."""
        try:
            await self.checkpoint()
        except (sqlite3.Error, DatabaseUnusable) as error:
            # the WAL still has all of it; the next round tries again
            log.warning("The WAL was not folded into the database.", extra={"reason": str(error)})

    async def close(self) -> None:
        """Close every connection, the writing one last: it folds the WAL into the file."""
        if self._next_look is not None:
            self._next_look.cancel()
        if self._folding is not None:
            await asyncio.wait([self._folding])
        for connection in [*self._readers, self._writer]:
            await connection.close()

    async def _write(self, act: Callable[[sqlite3.Connection], T]) -> T:
        return await self._writer.call(
            lambda connection: self._judged(lambda: self._vouched(connection, act), _breaks_a_write)
        )

    def _vouched(self, connection: sqlite3.Connection, act: Callable[[sqlite3.Connection], T]) -> T:
        """Act only on what is sound, and answer only if it still was afterwards."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        result = act(connection)
        replaced = self._files.replaced()
        if replaced is not None:
            raise DatabaseUnusable(replaced)
        return result

    def _judged(self, act: Callable[[], T], breaks: Callable[[BaseException], bool]) -> T:
        """Act, and if that breaks the database, say so; on the thread, where no cancel hides it."""
        try:
            return act()
        except (sqlite3.Error, DatabaseUnusable) as error:
            if not breaks(error):
                raise
            reason = corrected(error, self._path)
            if primary_code(reason) != sqlite3.SQLITE_IOERR:
                reason = _unusable(self._path, reason)
            self._break(reason)
            if reason is error:
                raise
            raise reason from error

    def _break(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
            self._loop.call_soon_threadsafe(self._tell_broken, error)

    def _look(self) -> None:
        replaced = self._files.replaced()
        if replaced is not None:
            self._break(DatabaseUnusable(replaced))
            return
        self._next_look = self._loop.call_later(LOOK_S, self._look)

    def _fold_if_due(self) -> None:
        """Fold the WAL in the background: whoever has written is answered first."""
        if self._wal.due() and self._folding is None:
            self._folding = self._loop.create_task(self.fold(), name="checkpoint")
            self._folding.add_done_callback(self._folded)

    def _folded(self, _: asyncio.Task[None]) -> None:
        self._folding = None

    async def _truncate(self) -> None:
        """Cut the WAL off while nobody reads."""
        held: list[Connection] = []
        self._gate.clear()  # whoever comes back at once would else be ahead of us again
        try:
            for _ in self._readers:
                connection = await self._idle.get()
                held.append(connection)
                # one whose caller was cancelled may still be reading
                await connection.call(lambda _: None)
            await self._write(self._wal.truncate)
        finally:
            for connection in held:
                self._idle.put_nowait(connection)
            self._gate.set()


def _unusable(path: Path, reason: BaseException) -> DatabaseUnusable:
    if isinstance(reason, DatabaseUnusable):
        return reason
    return DatabaseUnusable(f"{path}: {reason}")


def _breaks_a_write(error: BaseException) -> bool:
    if isinstance(error, DatabaseUnusable) or schema_gone(error):
        return True
    return primary_code(error) in _UNUSABLE | {sqlite3.SQLITE_IOERR}


def _breaks_a_read(error: BaseException) -> bool:
    return primary_code(error) in _BREAK_A_READ


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    (number,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(number)


def _vacuum(connection: sqlite3.Connection, pages: int) -> int:
    before = _number(connection, "page_count")
    # fetched row by row it would free one page
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")
    return before - _number(connection, "page_count")


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: str) -> schema.Identity:
    set_up_before_reading(connection)
    schema.check_ours(connection)
    set_up_writer(connection, synchronous)
    schema.migrate(connection, schema.migrations())
    schema.install_guards(connection)
    identity = schema.begin_start(connection)
    sync_names(path)  # the commit before has made the WAL
    return identity
