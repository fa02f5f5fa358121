"""Every named statement: prepared against the schema, used, and never a walk over the jobs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import jobd.store
from jobd.store.queries import load

if TYPE_CHECKING:
    import sqlite3

FOLDER = Path(jobd.store.__file__).parent
FILES = sorted(path.name for path in FOLDER.glob("*.sql") if path.name != "schema.sql")
STATEMENTS = [(file, name) for file in FILES for name in load(file)]

MAY_BE_WALKED = {"progress", "meta", "tokens", "sqlite_schema", "sqlite_sequence"}
"""A row or two each, or one for each running job, or for each time that an admin made one."""


SEQS = "seq>? AND seq<?"
ROWIDS = "rowid>? AND rowid<?"
OF_KIND = "principal=? AND queue=? AND kind=?"
IDS = "delivery_id>? AND delivery_id<?"
OF_PRINCIPAL = "principal=? AND status=?"
OF_RECEIVER = "receiver=? AND status=?"
GROUP = "principal=? AND status=? AND queue=? AND kind=?"


def plan(connection: sqlite3.Connection, sql: str) -> list[str]:
    named: dict[str, Any] = dict.fromkeys(re.findall(r":(\w+)", sql))
    values: Any = named or (None,) * sql.count("?")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.mark.parametrize(("file", "name"), STATEMENTS)
def test_no_statement_walks_a_table(schema: sqlite3.Connection, file: str, name: str) -> None:
    walked = {
        found[1]
        for step in plan(schema, load(file)[name])
        if "VIRTUAL TABLE" not in step and "CONSTANT ROW" not in step
        if (found := re.match(r"SCAN (\w+)", step))
    }

    assert walked - MAY_BE_WALKED == set()


@pytest.mark.parametrize(
    ("file", "name", "index"),
    [
        ("claims.sql", "pick", "jobs_ready (lane=? AND queue=?)"),
        ("queues.sql", "queues_with_work", "jobs_ready (lane=? AND queue>?)"),
        ("deadlines.sql", "next_head", "jobs_ready ((lane,queue,priority)>(?,?,?))"),
        ("deadlines.sql", "old_queued", "jobs_ready (lane=? AND queue=? AND priority=?)"),
        ("deadlines.sql", "old_parked", "jobs_parked_age (created_at<?)"),
        ("deadlines.sql", "long_parked", "jobs_parked (parked_at>? AND parked_at<?)"),
        ("deadlines.sql", "not_started", "jobs_start_before (start_before>? AND start_before<?)"),
        ("deadlines.sql", "next_deadlines", "jobs_parked_age"),
        ("moves.sql", "due", "jobs_due (run_at<?)"),
        ("moves.sql", "next_due", "jobs_due"),
        ("moves.sql", "orphans", "jobs_running (queue>?)"),
        ("listing.sql", "next_group", "jobs_listed (principal=? AND queue=? AND kind>?)"),
        ("listing.sql", "next_ready", "jobs_ready (lane=? AND queue=? AND priority>?)"),
        ("listing.sql", "of_group", f"jobs_listed ({OF_KIND} AND {ROWIDS})"),
        ("listing.sql", "queued_of_group", f"jobs_listed ({OF_KIND} AND {ROWIDS})"),
        ("listing.sql", "settled_of_group", f"jobs_settled ({GROUP} AND {ROWIDS})"),
        ("listing.sql", "ready", f"jobs_ready (lane=? AND queue=? AND priority=? AND {SEQS})"),
        (
            "listing.sql",
            "ready_floor",
            f"jobs_ready (lane=? AND queue=? AND priority=? AND {SEQS})",
        ),
        ("listing.sql", "parked", f"jobs_parked_listed ({SEQS})"),
        ("listing.sql", "of_batch", f"jobs_of_batch (batch_seq=? AND {ROWIDS})"),
        ("deliveries.sql", "next_receiver", "deliveries_due (receiver>?)"),
        ("deliveries.sql", "due", "deliveries_due (receiver=? AND next_attempt_at<?)"),
        ("deliveries.sql", "next_due", "deliveries_due (receiver=? AND next_attempt_at>?)"),
        ("deliveries.sql", "oldest", "deliveries_ageing"),
        ("deliveries.sql", "waiting", "deliveries_due (receiver=? AND next_attempt_at>?)"),
        ("deliveries.sql", "overdue", "deliveries_ageing (begun_at<?)"),
        ("delivery_log.sql", "of_principal", f"deliveries_listed ({OF_PRINCIPAL} AND {IDS})"),
        ("delivery_log.sql", "of_all", f"deliveries_of_all (status=? AND {IDS})"),
        ("delivery_log.sql", "owner", "deliveries_of_receiver (receiver=?)"),
        ("delivery_log.sql", "of_receiver", f"deliveries_of_receiver ({OF_RECEIVER} AND {IDS})"),
        ("delivery_log.sql", "of_job", "deliveries_of_job (seq=? AND delivery_id<?)"),
        ("outbox.sql", "drop_expired", "deliveries_expiring (ended_at<?)"),
        ("readers.sql", "events", "events_of_job (seq=? AND id>?)"),
        ("retention.sql", "expiring", "jobs_expiring (expires_at>?)"),
        ("retention.sql", "expired_keys", "idempotency_expiring (expires_at<?)"),
        ("retention.sql", "expired_uploads", "uploads_expiring (expires_at<?)"),
    ],
)
def test_a_statement_over_a_backlog_uses_its_index_in_its_order(
    schema: sqlite3.Connection, file: str, name: str, index: str
) -> None:
    steps = plan(schema, load(file)[name])

    assert any(step.endswith(f"INDEX {index}") for step in steps)
    assert not any("TEMP B-TREE" in step for step in steps)


@pytest.mark.parametrize(("file", "name"), STATEMENTS)
def test_every_statement_is_used(file: str, name: str) -> None:
    code = "".join(path.read_text() for path in FOLDER.glob("*.py"))

    assert f'"{name}"' in code


@pytest.mark.parametrize("file", FILES)
def test_every_statement_says_what_it_is(file: str) -> None:
    text = (FOLDER / file).read_text()
    below_headers = re.findall(r"^-- (?:name|part): \w+\n(.*)", text, re.MULTILINE)

    assert below_headers
    assert all(line.startswith("-- ") for line in below_headers)
