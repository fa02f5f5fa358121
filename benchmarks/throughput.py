"""How fast a backlog of no-op jobs is worked off by two worker processes.

The queue is paused while it is filled; the clock runs from the call that resumes it until
the daemon says that nothing is queued or processing, so the start of the drain and the last
commit are in it. Each result is durable alone: a kill of a worker re-runs one job.
"""

import statistics
import tempfile
from pathlib import Path

import load
from harness import TWO_WORKERS, Row, Size, daemon, drained, order, spread
from submits import CONNECTIONS, QUEUE, submit


def filled(path: str, count: int) -> None:
    """Queue so many jobs, and leave the queue paused."""
    order(path, QUEUE, "pause")
    load.run(path, submit(), count, CONNECTIONS, b"HTTP/1.1 202")


def drained_s(path: str) -> float:
    """Let the queue go and return how long it took until it was empty."""
    return drained(path, first=lambda: order(path, QUEUE, "resume"))


def measured(size: Size) -> list[Row]:
    """Work off a backlog, round after round."""
    count = size.requests
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch), **TWO_WORKERS) as (path, _),
    ):
        filled(path, count // 4)
        drained_s(path)  # the workers have imported their handlers then
        per_s = []
        for _ in range(size.rounds):
            filled(path, count)
            per_s.append(count / drained_s(path))
    speed = statistics.median(per_s)
    what = f"a backlog of {count:,} no-op jobs, two workers"
    figures = f"{speed:,.0f} jobs/s (best {max(per_s):,.0f})"
    met = speed >= 41_000
    return [Row(what, figures, "≥ 41,000 jobs/s", met=met, value=speed, spread=spread(per_s))]
