"""How long a page of the list takes among many jobs, whatever is asked for.

Half of the jobs are over and half are queued, behind them; of all of them some have failed,
or are of another kind or queue. Each page is asked for over the socket, one at a time; the
slowest question counts, by the median of its rounds. A page that is short because few jobs
are what is asked for, and no index knows which, counts like any other.
"""

import contextlib
import os
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from filled import KIND, fill
from harness import Row, Size, ask, daemon, spread
from jobd.wire.times import from_ms

QUEUE = "paused"
RARE = 997
"""Of so many jobs one is another."""
APART_MS = 10
BUDGET_MS = 50

_SOME_ARE_OTHERS = """
DROP TRIGGER jobs_guard_move;
INSERT INTO queues (name, paused) VALUES ('paused', 1), ('rare', 1);
UPDATE jobs SET created_at = created_at - 10 * ((SELECT max(seq) FROM jobs) - seq);
UPDATE jobs SET kind = 'bench.rare' WHERE seq % 997 = 1;
UPDATE jobs SET queue = 'rare' WHERE seq % 997 = 2;
UPDATE jobs SET status = 'failed' WHERE seq % 997 = 3 AND status = 'completed';
"""


def _questions(rows: int) -> list[str]:
    now_ms = time.time_ns() // 1_000_000
    middle = quote(from_ms(now_ms - APART_MS * rows // 2).isoformat())
    early = quote(from_ms(now_ms - APART_MS * (rows - 100)).isoformat())
    return [
        "page_size=50",
        "page_size=1000",
        *(f"status={status}" for status in ("queued", "processing", "completed", "failed")),
        "status=failed&status=cancelled&kind=bench.rare",
        "kind=bench.rare",
        "queue=rare",
        f"kind={KIND}&queue=rare",
        "kind=bench.rare&status=queued",
        "kind=none&status=queued",
        f"created_before={early}",
        f"created_after={middle}&created_before={middle}&status=completed",
        f"created_before={early}&kind=bench.rare&status=failed",
        "idempotency_key=none",
        "batch_id=none",
    ]


def _asked_ms(path: str, question: str, rounds: int) -> list[float]:
    took_ms = []
    for _ in range(rounds):
        began_s = time.perf_counter()
        status, _, answer = ask(path, "GET", f"/v1/jobs?{question}")
        took_ms.append((time.perf_counter() - began_s) * 1000)
        assert status == 200, answer
    return took_ms


def measured(size: Size) -> list[Row]:
    """Return the row: the slowest of all the questions."""
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        file = Path(scratch, "state", "jobd.db")
        half = size.rows // 2
        fill(file, finished=half, queued=half, queue=QUEUE, principal=f"uid:{os.getuid()}")
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.executescript(_SOME_ARE_OTHERS)
        with daemon(Path(scratch)) as (path, _):
            asked = {one: _asked_ms(path, one, size.rounds * 2) for one in _questions(size.rows)}
    slowest = max(asked, key=lambda one: statistics.median(asked[one]))
    median = statistics.median(asked[slowest])
    return [
        Row(
            f"a page of the list among {size.rows:,} jobs, the slowest of {len(asked)} questions",
            f"{median:.1f} ms (`{slowest}`)",
            f"≤ {BUDGET_MS} ms",
            met=median <= BUDGET_MS,
            value=median,
            spread=spread(asked[slowest]),
            less=True,
        )
    ]
