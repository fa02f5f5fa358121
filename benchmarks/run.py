"""Measure jobd against its limits, as ratios in one run on one machine.

`python benchmarks/run.py [--quick]` alternates the two sides of each row, takes the median
of several rounds and prints a table. Needs jobd-server and tests/support/faulty installed.
"""

import argparse
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import backlog
import load
import sse
import throughput
import upload
import workers
from harness import Row, ask, daemon, process, rss_mb

HERE = Path(__file__).parent
CONNECTIONS = 64
UNLIMITED = {"JOBD_LIMITS_QUEUED_JOBS_PER_PRINCIPAL": "1000000"}


def submit_ratio(rounds: int, count: int) -> Row:
    """Single durable submits, nothing claimed, against the bare handler."""
    body = json.dumps({"kind": "test.aecho", "args": {"text": "x" * 32}}).encode()
    request = load.post("/v1/jobs", body, "Prefer: respond-async")
    ratios, ours, bares = [], [], []
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        folder = Path(scratch)
        # no io worker: what is submitted stays queued, as with paused queues
        with daemon(folder, **UNLIMITED, JOBD_POOL_IO_WORKERS="0") as (jobd_socket, _):
            status, headers, answer = ask(jobd_socket, "POST", "/v1/jobs", body)
            assert status == 202, answer
            dropped = {"Content-Length", "Date", "Server"}
            kept = {name: value for name, value in headers.items() if name not in dropped}
            (folder / "headers").write_text(json.dumps(kept))
            (folder / "body").write_bytes(answer)
            bare_socket = str(folder / "bare.sock")
            bare = [sys.executable, str(HERE / "bare.py"), bare_socket]
            with process(*bare, str(folder / "headers"), str(folder / "body"), ready="ready on"):
                for _ in range(rounds):
                    expect = b"HTTP/1.1 202"
                    limit = load.run(bare_socket, request, count, CONNECTIONS, expect)
                    mine = load.run(jobd_socket, request, count, CONNECTIONS, expect)
                    ratios.append(mine.per_s / limit.per_s)
                    ours.append(mine.per_s)
                    bares.append(limit.per_s)
    ratio = statistics.median(ratios)
    figures = f"{ratio:.2f} ({statistics.median(ours):,.0f}/s of {statistics.median(bares):,.0f}/s)"
    what = f"durable submits, {CONNECTIONS} connections, nothing claimed, of a bare handler"
    return Row(what, figures, "≥ 0.3", met=ratio >= 0.3)


def idle_memory() -> list[Row]:
    """Resident memory of an idle daemon, and of its workers apart."""
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch)) as (_, pid),
    ):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        own = rss_mb(pid)
        sizes = [rss_mb(int(child)) for child in children]
    each = f"each of its {len(sizes)} workers"
    return [
        Row("idle daemon, its own memory", f"{own:.0f} MB", "≤ 60 MB", met=own <= 60),
        Row(each, f"≤ {max(sizes):.0f} MB", "≤ 35 MB", met=max(sizes) <= 35),
    ]


class Size(NamedTuple):
    """How much of everything."""

    rounds: int
    requests: int
    events: int
    upload_mb: int
    rows: int


FULL = Size(rounds=7, requests=30_000, events=200, upload_mb=5_000, rows=backlog.MILLION)
QUICK = Size(rounds=3, requests=5_000, events=50, upload_mb=300, rows=50_000)


def queue(size: Size) -> list[Row]:
    """What the queue costs: calls that wait for the disk, and a backlog."""
    body = json.dumps({"kind": "test.aecho", "args": {"text": "x" * 32}}).encode()
    request = load.post("/v1/jobs", body, "Prefer: respond-async")
    return [
        backlog.fsyncs(size.requests, CONNECTIONS, request),
        backlog.flat(size.rounds, size.rows, size.requests // 2),
        backlog.idle(size.rows),
        backlog.restart(4, size.rows),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and requests")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    rows = [submit_ratio(size.rounds, size.requests), *queue(size), *idle_memory()]
    rows += throughput.measured(size.rounds, size.requests)
    rows += [*workers.deaths(size.rounds * 3), workers.hogged(size.rounds, size.requests // 3)]
    rows += sse.measured(1000, size.events)
    rows.append(upload.growth(size.upload_mb))
    versions = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "msgspec"))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, ",
        end="",
    )
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}, ", end=""
    )
    print("synchronous=FULL\n")
    print("| what | measured | budget | |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.measured} | {row.budget} | {'met' if row.met else 'MISSED'} |")
    if options.json:
        options.json.write_text(json.dumps([row._asdict() for row in rows], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
