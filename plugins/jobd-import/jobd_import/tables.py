"""The target's table: made to fit the columns, or checked to take them unchanged."""

import sqlite3

from jobd.sdk import Discard
from jobd_import.columns import Column

_KEEPS = {
    "text": {"TEXT", "BLOB"},
    "integer": {"INTEGER", "NUMERIC", "BLOB"},
    "real": {"REAL", "BLOB"},
    "boolean": {"INTEGER", "NUMERIC", "BLOB"},
    "date": {"TEXT", "NUMERIC", "BLOB"},
}
"""The affinities that store a type's values as they are given."""


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def create_table(connection: sqlite3.Connection, table: str, columns: list[Column]) -> None:
    """Make the table."""
    _refuse_bad_names(table, columns)
    declared = ", ".join(
        f"{quoted(column.name)} {column.sqlite_type}{'' if column.nullable else ' NOT NULL'}"
        for column in columns
    )
    connection.execute(f"CREATE TABLE {quoted(table)} ({declared})")


def check_table(connection: sqlite3.Connection, table: str, columns: list[Column]) -> bool:
    """Whether the table exists; Discard with table_mismatch if the rows do not fit into it.

    It must have every column, with a type that keeps the values as they are, and any other
    column must be able to do without a value.
    """
    if table.lower().startswith(("_jobd_import", "sqlite_")):
        raise _mismatch(f"The table name {table} is reserved.")
    found = connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
    there = {name.lower(): facts for _, name, *facts in found}
    if not there:
        return False
    _refuse_bad_names(table, columns)
    for column in columns:
        if column.name.lower() not in there:
            raise _mismatch(f"The table {table} has no column {column.name}.")
        kind = there.pop(column.name.lower())[0]
        if _affinity(kind) not in _KEEPS[column.type]:
            raise _mismatch(f"{table}.{column.name} is {kind}, which does not keep {column.type}.")
    for name, (kind, notnull, default, key) in there.items():
        if notnull and default is None and not (key and kind.upper() == "INTEGER"):
            raise _mismatch(f"{table}.{name} needs a value, and is not among the columns.")
    return True


def _refuse_bad_names(table: str, columns: list[Column]) -> None:
    names = [column.name.lower() for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _mismatch(f"{table} cannot have two columns called {', '.join(twice)}.")
    if any("\0" in name for name in names):
        raise _mismatch(f"A column of {table} has a NUL in its name.")


def _affinity(declared: str) -> str:
    """Return the affinity of a declared type, by SQLite's own rules."""
    kind = declared.upper()
    if "INT" in kind:
        return "INTEGER"
    if any(word in kind for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if not kind or "BLOB" in kind:
        return "BLOB"
    if any(word in kind for word in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


def _mismatch(message: str) -> Discard:
    return Discard(code="table_mismatch", message=message)
