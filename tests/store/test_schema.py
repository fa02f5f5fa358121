"""The schema: what the migrations leave is what schema.sql says, from whatever version."""

from __future__ import annotations

import re
import sqlite3
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.deliveries import receiver_of
from jobd.store.database import Database
from jobd.store.schema import install_guards, migrate, migrations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSIONS = range(1, len(migrations()))
"""Those that a file of an older jobd may have."""

VALUES: dict[str, Any] = {"ANY": 1, "BLOB": b"x", "INTEGER": 1, "REAL": 1.0, "TEXT": "x"}

SPECIAL = {
    ("jobs", "lane"): "cpu",
    ("jobs", "status"): "queued",
    ("deliveries", "status"): "pending",
    ("deliveries", "next_attempt_at"): 1,
}
"""Where a CHECK takes less than the column's type does."""


def written() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    script = resources.files("jobd.store").joinpath("schema.sql").read_text(encoding="utf-8")
    connection.executescript(script)
    return connection


def definitions(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return what each table, index and trigger is, without the order of a table's checks.

    A column that a migration adds stands behind the checks in SQLite's text, so the parts of
    a table are compared as a set, and its columns once more in their order.
    """
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_schema"
        " WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*'"
    ).fetchall()
    return {name: defined(connection, type_, name, sql) for type_, name, sql in rows}


def defined(connection: sqlite3.Connection, type_: str, name: str, sql: str) -> Any:
    text = " ".join(re.sub(r"--.*", "", sql).split())
    if type_ != "table":
        return text
    begin, end = text.index("("), text.rindex(")")
    parts = {" ".join(part.split()) for part in split(text[begin + 1 : end])}
    return parts, text[end + 1 :], columns(connection, name)


def split(text: str) -> Iterator[str]:
    """Cut at the commas that are in no parenthesis."""
    depth, part = 0, ""
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            yield part
            part = ""
        else:
            part += character
    yield part


def columns(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (table,)
    ).fetchall()


def tables(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM pragma_table_list WHERE schema = 'main'")
    return sorted(name for (name,) in rows if not name.startswith("sqlite_"))


def fill(connection: sqlite3.Connection, table: str) -> tuple[Any, ...]:
    """Put a row into the table; return it."""
    row = {
        name: SPECIAL.get((table, name), VALUES[type_] if needed or key else None)
        for name, type_, needed, default, key in columns(connection, table)
        if default is None
    }
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", [*row.values()])  # noqa: S608 - names of ours
    stored: tuple[Any, ...] = connection.execute(f"SELECT * FROM {table}").fetchone()  # noqa: S608
    return stored


def of_version(path: Path, version: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, migrations()[:version])
    install_guards(connection)
    return connection


def test_the_migrations_make_what_the_schema_says(schema: sqlite3.Connection) -> None:
    assert definitions(schema) == definitions(written())


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_file_of_any_older_version_keeps_its_rows(tmp_path: Path, version: int) -> None:
    path = tmp_path / "jobd.db"
    old = of_version(path, version)
    before = {table: fill(old, table) for table in tables(old)}
    old.close()

    await (await Database.open(path)).close()

    new = sqlite3.connect(path)
    assert definitions(new) == definitions(written())
    assert new.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for table, row in before.items():
        rows = new.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
        assert row in [found[: len(row)] for found in rows], table
    new.close()


URLS = (
    "https://A.example.com/x/y?z=http://",
    "http://127.0.0.1:8080?x=/",
    "https://[2001:db8::1]:8443",
    "unix:/run/app.sock:/hooks/jobd?x",
)


async def test_what_waited_before_there_were_receivers_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "jobd.db"
    old = of_version(path, 6)
    for n, url in enumerate(URLS):
        old.execute(
            "INSERT INTO deliveries (delivery_id, message_id, seq, principal, url, status,"
            " created_at, next_attempt_at) VALUES (?, 'msg_1', 1, 'me', ?, 'pending', 5, 6)",
            (f"dlv_{n}", url),
        )
    old.close()

    await (await Database.open(path)).close()

    new = sqlite3.connect(path)
    rows = new.execute("SELECT url, receiver, begun_at, ended_at FROM deliveries").fetchall()
    assert rows == [(url, receiver_of(url), 5, None) for url in URLS]
    new.close()
