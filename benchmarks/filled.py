"""Databases with many jobs: the rows are put in by SQL, as jobd would have left them."""

import asyncio
import contextlib
import re
import sqlite3
import time
from pathlib import Path

from jobd.store.database import Database

KIND = "test.aecho"
MILLION = 1_000_000

_JOBS = """
WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
INSERT INTO jobs (
  seq, job_id, principal, kind, queue, lane, priority, status, run_at, created_at, updated_at,
  started_at, finished_at, expires_at, attempt, max_attempts, timeout_ms, retention_ms, event_id
)
SELECT
  i, printf('job_%032x', i), :principal, :kind, :queue, 'io', 5, :status, :run_at, :now, :now,
  iif(:done, :now, NULL), iif(:done, :now, NULL), :expires_at,
  :done, 3, 3600000, 604800000, (1 << 40) + i
FROM n
"""
_INPUTS = """
INSERT INTO job_inputs (seq, metadata, args)
SELECT seq, '{}', CAST('{"text":"xxxxxxxx"}' AS BLOB) FROM jobs WHERE seq BETWEEN :first AND :last
"""
_EVENTS = """
INSERT INTO events (seq, type, at, attempt, data)
SELECT seq, 'job.' || types.value, created_at, attempt, '{}'
FROM jobs CROSS JOIN json_each(:types) AS types WHERE seq BETWEEN :first AND :last
"""
_RESULTS = """
INSERT INTO job_results (seq, media_type, size_bytes, sha256, partial, body)
SELECT seq, 'application/json', 4, hex(zeroblob(32)), 0, CAST('null' AS BLOB)
FROM jobs WHERE seq BETWEEN :first AND :last
"""


def fill(
    path: Path,
    *,
    finished: int = 0,
    queued: int = 0,
    scheduled: int = 0,
    queue: str = "default",
    kept_s: float = 604_800.0,
    principal: str = "bench",
) -> None:
    """Make a database with so many jobs; what is finished is kept for `kept_s` from now on."""
    asyncio.run(_made(path))
    now = time.time_ns() // MILLION
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # a job cannot begin at its end: the next start puts the guards back
        connection.execute("DROP TRIGGER jobs_guard_begin")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        first = 1
        for status, count in (
            ("completed", finished),
            ("queued", queued),
            ("scheduled", scheduled),
        ):
            if not count:
                continue
            done = status == "completed"
            types = '["queued", "processing", "completed"]' if done else f'["{status}"]'
            values = {
                "first": first,
                "last": first + count - 1,
                "kind": KIND,
                "queue": queue,
                "principal": principal,
                "status": status,
                "run_at": now + 86_400_000 if status == "scheduled" else None,
                "now": now,
                "done": int(done),
                "expires_at": now + round(kept_s * 1000) if done else None,
                "types": types,
            }
            for statement in (_JOBS, _INPUTS, _EVENTS, *([_RESULTS] if done else [])):
                used = {name: values[name] for name in re.findall(r":(\w+)", statement)}
                connection.execute(statement, used)
            first += count
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _made(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = await Database.open(path)
    await database.close()
