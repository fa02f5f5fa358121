"""The database that is imported into, and the import's own record in it.

Invariant: the rows of a batch, its rejects and the position behind it are one transaction,
and the position is only ever moved on from where it was read. So whatever dies when, a row
is in the table exactly once; the table itself needs no key for that.

The database's journal mode stays as its owner chose. Not here: what is a row (csv_rows.py,
ndjson_rows.py).
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

from jobd.sdk import Discard, Retry
from jobd_import.columns import Column
from jobd_import.rows import Row, Values
from jobd_import.source import Stamp
from jobd_import.tables import check_table, create_table, quoted

BUSY_S = 5.0
KEEP_REJECTS_S = 30 * 86400

_MAX_SHOWN_BYTES = 8192
_SAVED = """
CREATE TABLE IF NOT EXISTS _jobd_import (
    job_id TEXT PRIMARY KEY, source TEXT NOT NULL, target TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    header TEXT NOT NULL, at_bytes INTEGER NOT NULL, at_line INTEGER NOT NULL,
    imported INTEGER NOT NULL, rejected INTEGER NOT NULL,
    done INTEGER NOT NULL, touched_at INTEGER NOT NULL)
"""
_REJECTS = """
CREATE TABLE IF NOT EXISTS _jobd_import_rejects (
    job_id TEXT NOT NULL, line INTEGER NOT NULL, reason TEXT NOT NULL, row TEXT NOT NULL,
    PRIMARY KEY (job_id, line)) WITHOUT ROWID
"""


class Position(msgspec.Struct, frozen=True):
    """How far an import is: bytes and lines of the source behind it, and what came of them."""

    at_bytes: int
    at_line: int
    imported: int = 0
    rejected: int = 0


class Saved(msgspec.Struct, frozen=True):
    """What an earlier attempt left in the target."""

    position: Position
    stamp: Stamp
    header: list[str]
    done: bool


class Target:
    """One job's import into one table. Use as a context manager.

    Every method raises Retry when somebody else holds the database locked for longer than
    BUSY_S, and Discard when the database or the table cannot be used.
    """

    def __init__(self, path: Path, table: str, job_id: str) -> None:
        self._path = path
        self._table = table
        self._job_id = job_id
        self._connection: sqlite3.Connection | None = None
        self._insert = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()  # rolls back what is not committed

    def saved(self) -> Saved | None:
        """Return what an earlier attempt of this job left; makes no database."""
        if not self._path.exists():
            return None
        with self._errors():
            known = "SELECT 1 FROM sqlite_master WHERE name = '_jobd_import'"
            if not self._open().execute(known).fetchall():
                return None
            found = self._open().execute(
                "SELECT at_bytes, at_line, imported, rejected, size_bytes, mtime_ns, inode,"
                " header, done FROM _jobd_import WHERE job_id = ?",
                (self._job_id,),
            )
            for row in found.fetchall():
                header = msgspec.json.decode(row[7], type=list[str])
                return Saved(Position(*row[:4]), Stamp(*row[4:7]), header, bool(row[8]))
        return None

    def begin(
        self,
        source: Path,
        stamp: Stamp,
        header: list[str],
        columns: list[Column],
        position: Position,
    ) -> None:
        """Record a new import; make the table, or check that the columns fit into it."""
        now = int(time.time())
        header_json = msgspec.json.encode(header).decode()
        place = (position.at_bytes, position.at_line)
        with self._transaction() as connection:
            connection.execute(_SAVED)
            connection.execute(_REJECTS)
            connection.execute(
                "DELETE FROM _jobd_import_rejects WHERE job_id IN"
                " (SELECT job_id FROM _jobd_import WHERE done AND touched_at < ?)",
                (now - KEEP_REJECTS_S,),
            )
            if not check_table(connection, self._table, columns):
                create_table(connection, self._table, columns)
            connection.execute(
                "INSERT INTO _jobd_import VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, ?)",
                (
                    self._job_id,
                    str(source),
                    self._table,
                    *msgspec.structs.astuple(stamp),
                    header_json,
                    *place,
                    now,
                ),
            )

    def prepare(self, columns: list[Column]) -> None:
        """Say which columns `all_rows` and `each_row` write, in order."""
        names = ", ".join(quoted(column.name) for column in columns)
        marks = ", ".join("?" for _ in columns)
        self._insert = f"INSERT INTO {quoted(self._table)} ({names}) VALUES ({marks})"  # noqa: S608 - names are quoted

    def all_rows(self, rows: Iterable[Values], before: Position, at: Position) -> Position | None:
        """Write a batch without rejects, and move from `before` to the place `at`.

        None, and nothing is written, if the table itself refuses a row (a constraint).
        """
        with self._transaction() as connection:
            connection.execute("SAVEPOINT rows")
            try:
                written = connection.executemany(self._insert, rows).rowcount
            except sqlite3.IntegrityError:
                connection.execute("ROLLBACK TO rows")
                return None
            return self._move(connection, before, at, max(written, 0), 0)

    def each_row(self, rows: Iterable[Row], before: Position, at: Position) -> Position:
        """Write a batch row by row, the rejected ones as rejects; move as `all_rows` does."""
        imported = 0
        rejects: list[tuple[str, int, str, str]] = []
        with self._transaction() as connection:
            for row in rows:
                reason = row.reason
                if row.values is not None:
                    try:
                        imported += connection.execute(self._insert, row.values).rowcount
                    except sqlite3.IntegrityError as exc:
                        reason = f"refused by the table: {exc}"
                    else:
                        continue
                rejects.append((self._job_id, row.line, reason, _shown(row.raw)))
            connection.executemany("INSERT INTO _jobd_import_rejects VALUES (?, ?, ?, ?)", rejects)
            return self._move(connection, before, at, imported, len(rejects))

    def finish(self) -> None:
        """Record that the import is done: another attempt of the job does nothing."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE _jobd_import SET done = 1, touched_at = ? WHERE job_id = ?",
                (int(time.time()), self._job_id),
            )

    def rejects(self) -> Iterator[tuple[int, str, str]]:
        """Return line, reason and row of every reject of this job, in order."""
        with self._errors():
            yield from self._open().execute(
                "SELECT line, reason, row FROM _jobd_import_rejects WHERE job_id = ? ORDER BY line",
                (self._job_id,),
            )

    def _move(
        self,
        connection: sqlite3.Connection,
        before: Position,
        at: Position,
        imported: int,
        rejected: int,
    ) -> Position:
        after = Position(
            at.at_bytes, at.at_line, before.imported + imported, before.rejected + rejected
        )
        moved = connection.execute(
            "UPDATE _jobd_import SET at_bytes = ?, at_line = ?, imported = ?, rejected = ?,"
            " touched_at = ? WHERE job_id = ? AND at_bytes = ? AND at_line = ? AND NOT done",
            (
                *msgspec.structs.astuple(after),
                int(time.time()),
                self._job_id,
                before.at_bytes,
                before.at_line,
            ),
        )
        if moved.rowcount != 1:
            raise Retry(
                code="import_moved", message="Another attempt of this import has moved it on."
            )
        return after

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
            # the job is reported completed after this database's commit: that must be on disk
            self._connection.execute("PRAGMA synchronous = FULL")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._errors():
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise self._explained(exc) from exc

    def _explained(self, exc: sqlite3.Error) -> Retry | Discard:
        message = f"{self._path}: {exc}"
        match getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return Retry(code="database_locked", message=message)
            case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
                return Retry(code="database_unwritable", message=message)
            case sqlite3.SQLITE_ERROR:
                return Discard(code="table_mismatch", message=message)
            case _:
                return Discard(code="database_unusable", message=message)


def _shown(raw: bytes) -> str:
    """Return a rejected row as text, without its line end, every odd byte as an escape."""
    cut = raw.rstrip(b"\r\n")[:_MAX_SHOWN_BYTES]
    return cut.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
