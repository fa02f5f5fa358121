"""How long one thing takes when little else goes on: a job there and back, an order.

Submit → completed is one waiting request on one connection, back to back, a no-op `def`.
The same beside many rows runs on a second, idle-otherwise daemon, in turns with the first.
"""

import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path

import load
from filled import fill
from harness import TWO_WORKERS, Row, Size, ask, daemon, drained, order, spread
from submits import QUEUE, submit
from throughput import filled
from workers import get, running, submitted

OK = b"HTTP/1.1 200"


def round_trips(size: Size) -> list[Row]:
    """Submit a job and wait for its end, in an empty file and beside many jobs."""
    request = submit("default", "wait=10")
    p50s: dict[str, list[float]] = {"empty": [], "large": []}
    p99s = []
    with contextlib.ExitStack() as stack:
        paths = {}
        for name in p50s:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobd-bench-")))
            if name == "large":
                fill(
                    folder / "state" / "jobd.db", finished=size.rows, queued=size.rows, queue=QUEUE
                )
            paths[name], _ = stack.enter_context(daemon(folder, **TWO_WORKERS))
            order(paths[name], QUEUE, "pause")
            load.run(paths[name], request, 200, 1, OK)
        for _ in range(size.rounds):
            for name, path in paths.items():
                found = load.run(path, request, size.requests // 30, 1, OK)
                p50s[name].append(found.percentile_ms(0.5))
                if name == "empty":
                    p99s.append(found.percentile_ms(0.99))
    p50, p99 = statistics.median(p50s["empty"]), statistics.median(p99s)
    ratios = [empty / large for empty, large in zip(p50s["empty"], p50s["large"], strict=True)]
    ratio = statistics.median(ratios)
    beside = (
        f"its speed beside {size.rows:,} finished and {size.rows:,} queued jobs, of an empty file"
    )
    figures = f"{ratio:.2f} (p50 {statistics.median(p50s['large']):.2f} ms)"
    return [
        Row(
            "submit → completed in one waiting request, idle, back to back: p50",
            f"{p50:.2f} ms",
            "≤ 0.6 ms",
            met=p50 <= 0.6,
            value=p50,
            spread=spread(p50s["empty"]),
            less=True,
        ),
        Row(
            "the same: p99",
            f"{p99:.2f} ms",
            "≤ 3 ms",
            met=p99 <= 3,
            value=p99,
            spread=spread(p99s),
            less=True,
        ),
        Row(beside, figures, "≥ 0.8", met=ratio >= 0.8, value=ratio, spread=spread(ratios)),
    ]


def orders(size: Size) -> list[Row]:
    """Pause while a backlog is worked off, and cancel a running job, until the answer is true."""
    pauses, cancels = [], []
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch), **TWO_WORKERS) as (path, _),
    ):
        filled(path, size.requests // 2)
        for _ in range(size.rounds * 3):
            order(path, QUEUE, "resume")
            began_s = time.perf_counter()
            order(path, QUEUE, "pause")
            pauses.append((time.perf_counter() - began_s) * 1000)
        order(path, QUEUE, "resume")
        drained(path)
        for _ in range(size.rounds * 3):
            job_id = submitted(path, "bench.mixed", seconds=60)
            running(path, job_id, 1)
            began_s = time.perf_counter()
            ask(path, "POST", f"/v1/jobs/{job_id}/cancel")
            while not get(path, f"/v1/jobs/{job_id}")["done"]:
                pass
            cancels.append((time.perf_counter() - began_s) * 1000)
    rows = (
        ("pause of a queue that is worked off, until nothing more of it starts", pauses),
        ("cancel of a running job that looks for it each millisecond, until it has ended", cancels),
    )
    return [
        Row(
            what,
            f"median {statistics.median(took):.1f} ms, worst {max(took):.1f} ms",
            "",
            met=True,
            value=statistics.median(took),
            spread=spread(took),
            less=True,
        )
        for what, took in rows
    ]


def listed(path: str) -> int:
    """Return how many jobs the first page holds; for the readers of other benchmarks."""
    return len(json.loads(ask(path, "GET", "/v1/jobs?page_size=100")[2])["jobs"])
