"""The rows of a query.

Invariant: it reads one database, and nothing else. The file is opened to be read only, and the
authorizer lets SELECT through, and no ATTACH, PRAGMA or write, in whatever they are hidden.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from jobd.sdk import Context, Discard, Retry
from jobd_report.args import File
from jobd_report.source import opened

BUSY_S = 5.0

_MAX_CELL_BYTES = 10_000_000
_STEPS_BETWEEN_LOOKS = 100_000
_ALLOWED = (
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
)
_REFUSED_FUNCTIONS = ("load_extension", "fts3_tokenizer")


@contextmanager
def read(
    ctx: Context, database: File, query: str, params: Mapping[str, Any]
) -> Iterator[tuple[list[str], Iterator[tuple[Any, ...]]]]:
    """Run a query; give the names of its columns, and the rows as they are found.

    Raises Discard with `database_unusable` or `query_failed`, Retry with `database_locked`.
    """
    with opened(ctx, database) as (_, path), _named_errors(ctx):
        where = f"{path.as_uri()}?mode=ro"
        with closing(sqlite3.connect(where, uri=True, timeout=BUSY_S)) as connection:
            _guard(ctx, connection)
            cursor = connection.execute(query, dict(params))
            if cursor.description is None:
                raise Discard(code="query_failed", message="The query gives no rows.")
            yield [column[0] for column in cursor.description], cursor


def _guard(ctx: Context, connection: sqlite3.Connection) -> None:
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # is it a database at all?
    connection.execute("PRAGMA trusted_schema = OFF")  # a view is the file's, not the operator's
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_CELL_BYTES)
    connection.set_authorizer(_judged)
    connection.set_progress_handler(lambda: ctx.cancelled, _STEPS_BETWEEN_LOOKS)


def _judged(action: int, _first: str | None, second: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION and second in _REFUSED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


@contextmanager
def _named_errors(ctx: Context) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as exc:
        ctx.check_cancelled()
        name = getattr(exc, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise Retry(code="database_locked", message=f"The database is busy: {exc}") from None
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_CANTOPEN", "SQLITE_IOERR")):
            message = f"The database cannot be read: {exc}"
            raise Discard(code="database_unusable", message=message) from None
        raise Discard(code="query_failed", message=f"The query failed: {exc}") from None
