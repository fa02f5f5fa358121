"""Whether the file stays as large as it is: jobs at a steady rate, retention on, for an hour.

`python benchmarks/hour.py [--minutes 60] [--per-second 5000]`, or `run.py --hour`. No-op jobs
are submitted over 64 connections and run by two workers; each is kept for a minute. The file
counts as flat if what it grew to in the first sixth is not exceeded by more than a tenth later.
"""

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

import load
from harness import TWO_WORKERS, Row, daemon, drained, rss_mb
from submits import CONNECTIONS, submit

KEPT_S = 60
_CLOCK = threading.Event()


def _bytes(state: Path) -> int:
    return sum(path.stat().st_size for path in state.glob("jobd.db*"))


def measured(minutes: float, per_s: int) -> list[Row]:
    """Submit so many a second; look at the files once a second."""
    sizes: list[int] = []
    late = 0
    environ = {"JOBD_RETENTION_DEFAULT_S": str(KEPT_S)}
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch), **TWO_WORKERS, **environ) as (path, pid),
    ):
        began_s = time.monotonic()
        for second in range(round(minutes * 60)):
            wait_s = began_s + second - time.monotonic()
            if wait_s > 0:
                _CLOCK.wait(wait_s)
            else:
                late += 1
            load.run(path, submit("default"), per_s, CONNECTIONS, b"HTTP/1.1 202")
            sizes.append(_bytes(Path(scratch, "state")))
        drained(path)
        memory = rss_mb(pid)
    settled = max(sizes[: max(len(sizes) // 6, 1)])
    growth = max(sizes) / settled
    what = f"{minutes:g} min at {per_s:,} jobs/s, each kept for {KEPT_S} s: how much the file grows"
    sizes_mb = f"{settled >> 20:,} MB after a sixth, {max(sizes) >> 20:,} MB at most"
    figures = f"{growth:.2f} ({sizes_mb}; {late} s late; {memory:.0f} MB RSS)"
    met = growth <= 1.1 and late <= len(sizes) / 20
    return [Row(what, figures, "flat (≤ 1.1)", met=met, value=growth, less=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--per-second", type=int, default=5000)
    options = parser.parse_args()
    for row in measured(options.minutes, options.per_second):
        print(row.what, row.measured, sep=": ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
