"""How long the writer is held at a time, and how large the WAL grows, when all comes at once.

64 clients submit, two workers run what is submitted, retention deletes jobs that have
expired, three clients read pages of 100 jobs without a pause, the WAL is checkpointed. Each
act on the daemon's writing thread is timed with its COMMIT or fsync (timed.py). Not here:
bulk submissions (there are none yet).
"""

import asyncio
import contextlib
import os
import tempfile
import time
from pathlib import Path

import uvloop

import load
from filled import fill
from harness import HERE, TWO_WORKERS, Row, Size, daemon, drained
from submits import CONNECTIONS, submit

READERS = 3
WAL_MB = 64
_PAGE = b"GET /v1/jobs?page_size=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"
_ENDLESS = 1 << 40


async def _watch(wal: str, sizes: list[int]) -> None:
    loop = asyncio.get_running_loop()
    tick = asyncio.Event()
    while True:
        with contextlib.suppress(FileNotFoundError):
            sizes.append(os.stat(wal).st_size)  # noqa: PTH116 - does not block
        loop.call_later(0.005, tick.set)
        await tick.wait()
        tick.clear()


async def _crowd(path: str, wal: str, seconds: float) -> tuple[int, int]:
    """Submit and read for so long; return how much was submitted, and the WAL's largest size."""
    sizes: list[int] = []
    readers = asyncio.ensure_future(load.go(path, _PAGE, _ENDLESS, READERS, b"HTTP/1.1 200"))
    watch = asyncio.ensure_future(_watch(wal, sizes))
    submitted, until_s = 0, time.monotonic() + seconds
    while time.monotonic() < until_s:
        assert not readers.done(), "the readers were refused"
        await load.go(path, submit("default"), 1_000, CONNECTIONS, b"HTTP/1.1 202")
        submitted += 1_000
    for task in (readers, watch):
        task.cancel()
    await asyncio.wait([readers, watch])
    return submitted, max(sizes)


def measured(size: Size) -> list[Row]:
    """Let the crowd in for some seconds; return the two rows."""
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        folder, held = Path(scratch), Path(scratch, "held")
        state = folder / "state"
        fill(state / "jobd.db", finished=size.rows // 4, kept_s=1.0)
        timed = (str(HERE / "timed.py"),)
        with daemon(folder, program=timed, **TWO_WORKERS, BENCH_HELD=str(held)) as (path, _):
            began_s = time.perf_counter()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                crowd = _crowd(path, str(state / "jobd.db-wal"), 3.0 * size.rounds)
                submitted, wal = runner.run(crowd)
            drained(path)
            per_s = submitted / (time.perf_counter() - began_s)
        held_ms = sorted(float(line) * 1000 for line in held.read_text().splitlines())
    p99_ms = held_ms[len(held_ms) * 99 // 100]
    times = f"{len(held_ms):,} times, {per_s:,.0f} jobs/s meanwhile"
    figures = f"p99 {p99_ms:.1f} ms, worst {held_ms[-1]:.0f} ms ({times})"
    what = "writer held at a time: 64 clients, two workers, retention, checkpoints, 3 readers"
    wal_mb = wal / (1 << 20)
    beside = "the WAL's largest size meanwhile"
    met = wal_mb <= WAL_MB
    return [
        Row(what, figures, "p99 ≤ 20 ms", met=p99_ms <= 20, value=p99_ms, spread=0.2, less=True),
        Row(beside, f"{wal_mb:.0f} MB", "≤ 64 MB", met=met, value=wal_mb, spread=0.2, less=True),
    ]
