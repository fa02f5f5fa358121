"""The guard triggers: every move of the table is allowed, every other refused by the file."""

from __future__ import annotations

import itertools
import sqlite3
from typing import TYPE_CHECKING

import pytest

from jobd.domain.statuses import INITIAL, MOVES, Status
from jobd.store.schema import install_guards

if TYPE_CHECKING:
    from pathlib import Path

    from jobd.store.database import Database


def insert(connection: sqlite3.Connection, status: Status) -> None:
    connection.execute(
        "INSERT INTO jobs (seq, job_id, principal, kind, queue, lane, priority, status, run_at,"
        " created_at, updated_at, max_attempts, timeout_ms, retention_ms, event_id, lease_token)"
        " VALUES (1, 'j', 'p', 'k', 'q', 'cpu', 5, ?1, 1, 1, 1, 3, 1, 1, 1,"
        " iif(?1 = 'processing', 't', NULL))",
        (status,),
    )


def move(connection: sqlite3.Connection, status: Status) -> None:
    connection.execute(
        "UPDATE jobs SET status = ?1, lease_token = iif(?1 = 'processing', 't', NULL)", (status,)
    )


def unguard(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TRIGGER jobs_guard_begin")
    connection.execute("DROP TRIGGER jobs_guard_move")


def put(connection: sqlite3.Connection, status: Status) -> None:
    """Put one job in `status`, by no move at all."""
    unguard(connection)
    insert(connection, status)
    install_guards(connection)


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(Status, 2)))
def test_a_move_is_allowed_if_and_only_if_it_is_in_the_table(
    schema: sqlite3.Connection, old: Status, new: Status
) -> None:
    put(schema, old)
    allowed = new in MOVES[old]

    if allowed:
        move(schema, new)
    else:
        with pytest.raises(sqlite3.IntegrityError, match="cannot make that move"):
            move(schema, new)

    assert schema.execute("SELECT status FROM jobs").fetchall() == [(new if allowed else old,)]


@pytest.mark.parametrize("status", Status)
def test_a_job_begins_scheduled_or_queued(schema: sqlite3.Connection, status: Status) -> None:
    if status in INITIAL:
        insert(schema, status)
    else:
        with pytest.raises(sqlite3.IntegrityError, match="cannot begin in that status"):
            insert(schema, status)


@pytest.mark.parametrize("status", Status)
def test_a_status_that_stays_is_no_move(schema: sqlite3.Connection, status: Status) -> None:
    put(schema, status)

    move(schema, status)


def test_an_unknown_status_is_refused(schema: sqlite3.Connection) -> None:
    put(schema, Status.QUEUED)

    with pytest.raises(sqlite3.IntegrityError, match="cannot make that move"):
        schema.execute("UPDATE jobs SET status = 'paused'")


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.PROCESSING}))
def test_a_lease_and_the_status_processing_go_together(
    schema: sqlite3.Connection, status: Status
) -> None:
    unguard(schema)
    insert(schema, status)

    for change in ("lease_token = 't'", "status = 'processing'"):
        with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint"):
            schema.execute(f"UPDATE jobs SET {change}")  # noqa: S608 - the two above


async def test_every_open_puts_the_guards_back(database: Database, path: Path) -> None:
    def weaken(connection: sqlite3.Connection) -> None:
        unguard(connection)
        connection.execute(
            "CREATE TRIGGER jobs_guard_old BEFORE UPDATE ON jobs BEGIN SELECT 1; END"
        )

    await database.run(weaken)
    again = await type(database).open(path)
    rows = await again.read(
        lambda c: c.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    )
    await again.close()

    assert {row["name"] for row in rows} == {
        "batches_count",
        "jobs_guard_begin",
        "jobs_guard_move",
    }
