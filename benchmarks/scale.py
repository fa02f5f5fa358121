"""How jobd behaves as things grow: draws benchmarks/plots/*.svg.

`python benchmarks/scale.py [--quick] [--full]`; `--full` goes up to 10,000,000 rows, else it
is 1,000,000. Claims are made and settled on the store in this process (backlog.py), beside
so many queued rows; submits and queues go through a daemon. Bytes and memory: what the
database and a daemon that has just started over it hold. Not here: drawing (svg.py).
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import load
from backlog import claim_ms, drained_per_s
from filled import fill
from harness import HERE, TWO_WORKERS, ask, daemon, drained, order, rss_mb
from submits import KIND, submit
from svg import Axis, Line, plot

PLOTS = HERE / "plots"
ROWS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000)
QUEUES = (1, 2, 5, 10, 20, 50, 100)
MEASURED_JOBS = 4_000
Points = list[tuple[float, float]]


def by_rows(most: int) -> None:
    """Claim and settle beside so many queued jobs; weigh the file and the daemon."""
    speeds, claims, weights, memory = Points(), Points(), Points(), Points()
    for rows in (count for count in ROWS if count <= most):
        with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
            path = Path(scratch, "state", "jobd.db")
            finished, spare = rows // 2, 2 * MEASURED_JOBS
            fill(path, finished=finished, queued=rows - finished + spare)
            weights.append((rows, path.stat().st_size / (rows + spare)))
            memory.append((rows, _memory_mb(Path(scratch))))
            claims.append((rows, asyncio.run(claim_ms(path))))
            speeds.append((rows, asyncio.run(drained_per_s(path, MEASURED_JOBS))))
        print(f"{rows:,} rows: {speeds[-1][1]:,.0f}/s, a claim {claims[-1][1]:.3f} ms", flush=True)
    rows_axis = Axis("jobs in the database, half of them finished, half queued", log=True)
    _save("claim-rate", "Claimed and settled, jobs/s", rows_axis, "jobs/s", speeds)
    _save("claim-time", "A claim of 64 jobs, durable, ms", rows_axis, "ms", claims)
    heavy = [point for point in weights if point[0] >= 1_000]
    _save("bytes-per-job", "Bytes on disk for each job", rows_axis, "bytes", heavy)
    _save("memory", "Memory of the daemon", rows_axis, "MB", memory)
    (first, low), (last, high) = memory[0], memory[-1]
    print(f"{(high - low) * 1024 * 1024 / (last - first):.1f} bytes of memory per job", flush=True)


def _memory_mb(folder: Path) -> float:
    """Return the memory of a daemon that has answered a few questions about its jobs."""
    with daemon(folder, **TWO_WORKERS) as (path, pid):
        for url in ("/v1/jobs", "/v1/status", "/v1/queues", "/v1/jobs?status=queued"):
            ask(path, "GET", url)
        return rss_mb(pid)


def by_connections(count: int, rounds: int) -> None:
    """Submits a second from so many connections, each with one request in flight."""
    points, p99s = Points(), Points()
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch), **TWO_WORKERS, JOBD_LIMITS_CONNECTIONS="2000") as (path, _),
    ):
        order(path, "held", "pause")
        for connections in CONNECTIONS:
            runs = [
                load.run(path, submit(), max(count, connections), connections, b"HTTP/1.1 202")
                for _ in range(rounds)
            ]
            points.append((connections, statistics.median(run.per_s for run in runs)))
            p99s.append((connections, statistics.median(run.percentile_ms(0.99) for run in runs)))
            print(f"{connections} connections: {points[-1][1]:,.0f} submits/s", flush=True)
    axis = Axis("connections, one request in flight each", log=True)
    _save("submits", "Durable submits, jobs/s", axis, "jobs/s", points)
    _save("submit-p99", "The same: p99 of an answer, ms", axis, "ms", p99s)


def by_queues(count: int, rounds: int) -> None:
    """A backlog of no-ops spread over so many queues, two workers."""
    points = Points()
    for queues in QUEUES:
        names = [f"q{n}" for n in range(queues)]
        speeds = []
        with (
            tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
            daemon(Path(scratch), **TWO_WORKERS) as (path, _),
        ):
            load.run(path, submit("default"), 500, 8, b"HTTP/1.1 202")
            drained(path)
            for _ in range(rounds):
                for name in names:
                    order(path, name, "pause")
                    load.run(path, submit(name), count // queues, 64, b"HTTP/1.1 202")
                took_s = drained(path, first=_resume(path, names))
                speeds.append(count // queues * queues / took_s)
        points.append((queues, statistics.median(speeds)))
        print(f"{queues} queues: {points[-1][1]:,.0f} jobs/s", flush=True)
    axis = Axis("queues that the backlog is spread over", log=True)
    _save(
        "queues", f"A backlog of {count:,} {KIND} jobs, two workers, jobs/s", axis, "jobs/s", points
    )


def _resume(path: str, names: list[str]) -> Callable[[], None]:
    def resume() -> None:
        for name in names:
            order(path, name, "resume")

    return resume


def _save(name: str, title: str, x: Axis, y: str, points: Points) -> None:
    PLOTS.mkdir(exist_ok=True)
    (PLOTS / f"{name}.svg").write_text(plot(title, x, Axis(y), [Line(y, points)]))


def draw(*, quick: bool = False, full: bool = False) -> None:
    """Measure and draw all of them."""
    began_s = time.monotonic()
    by_rows(10_000 if quick else ROWS[-1] if full else 1_000_000)
    by_connections(1_000 if quick else 10_000, 1 if quick else 3)
    by_queues(2_000 if quick else 20_000, 1 if quick else 3)
    print(f"drawn in {time.monotonic() - began_s:.0f} s: {PLOTS}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true", help="up to 10,000,000 rows")
    options = parser.parse_args()
    draw(quick=options.quick, full=options.full)
    return 0


if __name__ == "__main__":
    sys.exit(main())
