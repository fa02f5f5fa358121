"""Brings a database file to the schema of this program, and guards what moves in it.

Each numbered file of migrations/ is one transaction with its number in user_version: a
crash leaves the schema of some number, whole. The guard triggers are generated from the
one table of moves and are always on, so that no statement can make a move that is not in
it.

Not here: connections and their settings (connection.py).
"""

import os
import sqlite3
from collections.abc import Iterator
from importlib import resources

import msgspec

from jobd.domain.statuses import INITIAL, MOVES, Status
from jobd.store.connection import atomically
from jobd.store.queries import load

APPLICATION_ID = 0x6A6F6264
"""`jobd` in ASCII, at offset 68 of the file."""

FIRST_EPOCH = 1
"""Raised by a restore: ids given out after the backup was taken never come again."""

_SQL = load("meta.sql")


class Foreign(Exception):  # noqa: N818 - becomes DatabaseUnusable with the file's name
    """The file is not a database of this jobd."""


class Identity(msgspec.Struct, frozen=True):
    """Which database this is, and which of its starts."""

    database_id: str
    start_number: int


def migrations() -> list[str]:
    """Return the text of every migration, the n-th leading to version n."""
    folder = resources.files(__package__).joinpath("migrations")
    files = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return [folder.joinpath(name).read_text(encoding="utf-8") for name in files]


def check_ours(connection: sqlite3.Connection) -> None:
    """Raise Foreign if another program, or a newer jobd, made the file; changes nothing."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application_id != APPLICATION_ID and (application_id or version or tables):
        raise Foreign("it is a database of another program")
    newest = len(migrations())
    if version > newest:
        raise Foreign(f"a newer jobd wrote it: its schema is {version}, this jobd knows {newest}")


def migrate(connection: sqlite3.Connection, steps: list[str]) -> None:
    """Apply the steps that the file has not seen, each in a transaction of its own."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(steps[version:], start=version + 1):

        def apply(connection: sqlite3.Connection, step: str = step, number: int = number) -> None:
            for statement in _statements(step):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")

        atomically(connection, apply)


def _statements(script: str) -> Iterator[str]:
    """Cut a script into statements; `executescript` would commit before the first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def install_guards(connection: sqlite3.Connection) -> None:
    """Make the triggers in the file those of MOVES; writes only if they differ."""
    wanted = guards()
    found = dict(connection.execute(_SQL["triggers"]).fetchall())
    if found == wanted:
        return

    def install(connection: sqlite3.Connection) -> None:
        for name in found:
            connection.execute(f'DROP TRIGGER "{name}"')
        for statement in wanted.values():
            connection.execute(statement)

    atomically(connection, install)


def guards() -> dict[str, str]:
    """Return the triggers that refuse every move and every beginning not in domain.statuses.

    They run for every row of every move. AFTER: with a BEFORE trigger SQLite reads the row
    twice. Plain comparisons: of a longer IN it would make a table for each row.
    """
    moves = "\n  OR ".join(
        f"OLD.status = '{old}' AND ({_is_one_of(news)})" for old, news in MOVES.items() if news
    )
    return {
        "jobs_guard_begin": (
            "CREATE TRIGGER jobs_guard_begin AFTER INSERT ON jobs\n"
            f"WHEN NOT ({_is_one_of(INITIAL)})\n"
            "BEGIN SELECT RAISE(ABORT, 'a job cannot begin in that status'); END"
        ),
        "jobs_guard_move": (
            "CREATE TRIGGER jobs_guard_move AFTER UPDATE OF status ON jobs\n"
            "WHEN OLD.status <> NEW.status\n"
            f"AND NOT (\n  {moves}\n)\n"
            "BEGIN SELECT RAISE(ABORT, 'a job cannot make that move'); END"
        ),
    }


def _is_one_of(statuses: frozenset[Status]) -> str:
    return " OR ".join(f"NEW.status = '{status}'" for status in sorted(statuses))


def begin_start(connection: sqlite3.Connection) -> Identity:
    """Count this start, and return who we are."""

    def count(connection: sqlite3.Connection) -> Identity:
        connection.execute(_SQL["first_meta"], {"id": os.urandom(16).hex(), "epoch": FIRST_EPOCH})
        ((start_number,),) = connection.execute(_SQL["count_start"]).fetchall()
        ((database_id,),) = connection.execute(_SQL["meta"], {"key": "database_id"}).fetchall()
        return Identity(database_id=database_id, start_number=start_number)

    return atomically(connection, count)
