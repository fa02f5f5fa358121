"""Promise 4 and jobd-import's own: kill -9 in every gap, every row there exactly once."""

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Daemon

BATCHES = 4
BATCH_ROWS = 25
ROWS = [(f"name {n}", n) for n in range(BATCHES * BATCH_ROWS)]
GAPS = range(2 * BATCHES + 1)
"""Before the first commit, and on both sides of the checkpoint that follows each."""


def write_source(folder: Path) -> Path:
    source = folder / "rows.csv"
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "n"), *ROWS])
    return source


def submit(daemon: Daemon, source: Path, victim: str, gap: int) -> str:
    args: dict[str, Any] = {
        "source": str(source),
        "database": str(source.with_name(f"{gap}.db")),
        "table": "rows",
        "columns": {"name": "text", "n": "integer"},
        "batch_rows": BATCH_ROWS,
        "victim": victim,
        "gap": gap,
        "once": str(source.with_name(f"{gap}.killed")),
    }
    submitted = daemon.jobd("submit", "test.killed_import", json.dumps(args))
    assert submitted.returncode == 0, submitted.stderr
    return submitted.stdout.strip()


def assert_every_row_once(daemon: Daemon, source: Path, job_id: str, gap: int) -> None:
    """The source has no unique key and the target no index: only the position guards it."""
    waited = daemon.jobd("wait", job_id, "-o", "json")
    assert waited.returncode == 0, waited.stderr
    job = json.loads(waited.stdout)
    with sqlite3.connect(source.with_name(f"{gap}.db")) as target:
        rows = target.execute("SELECT name, n FROM rows ORDER BY n").fetchall()
    target.close()
    assert source.with_name(f"{gap}.killed").exists()
    assert rows == ROWS
    assert job["attempt"] == 2
    assert job["result"]["rows_imported"] == len(ROWS)
    if gap > 0:
        assert job["result"]["bytes_read"] < source.stat().st_size


def test_a_worker_killed_in_any_gap_doubles_and_loses_no_row(daemon: Daemon) -> None:
    source = write_source(daemon.folder)

    job_ids = {gap: submit(daemon, source, "worker", gap) for gap in GAPS}

    for gap, job_id in job_ids.items():
        assert_every_row_once(daemon, source, job_id, gap)


@pytest.mark.timeout(180)
def test_a_daemon_killed_in_any_gap_doubles_and_loses_no_row(daemon: Daemon) -> None:
    source = write_source(daemon.folder)

    for gap in GAPS:
        job_id = submit(daemon, source, "daemon", gap)
        daemon.process.wait()
        daemon.kill()
        daemon.start()
        assert_every_row_once(daemon, source, job_id, gap)
