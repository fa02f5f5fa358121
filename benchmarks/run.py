"""Measure jobd against its budgets, its limits and its peers, in one run on one machine.

`python benchmarks/run.py [--quick] [--peers] [--plots] [--hour]`, with jobd-server and
tests/support/faulty installed, prints markdown tables and writes benchmarks/results.json,
after comparing with what was there. Where a row has two sides they alternate; medians of
several rounds count. Each row's file says how it is measured and how fair that is:

    submits.py     durable submits and polls beside a bare handler, fsyncs per job
    bulk.py        batches, and what others wait behind the worst of them
    throughput.py  a backlog of no-ops on two workers
    latency.py     a job there and back, pause, cancel
    overrun.py     jobs behind a head that takes too long
    hold.py        how long the writer is held, how large the WAL grows
    backlog.py     beside millions of rows; an idle daemon; a start after kill -9
    workers.py     a worker dies; every worker hogs its core
    lists.py       pages of a long list
    hooks.py       webhooks: to one receiver, beside one that hangs, a million that wait
    sse.py         1,000 streams; upload.py: a large upload; hour.py: an hour at a steady rate
    peers/         the same jobs through other queues; scale.py: the plots

`--only WORD` measures the rows of the files whose name contains it. A run measures times on
one machine: CI never fails on it.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import backlog
import bulk
import hold
import hooks
import hour
import latency
import lists
import overrun
import report
import scale
import sse
import submits
import throughput
import upload
import workers
from harness import Row, Size
from peers import contest

RESULTS = Path(__file__).with_name("results.json")
FULL = Size(rounds=5, requests=20_000, events=200, upload_mb=2_000, rows=1_000_000)
QUICK = Size(rounds=2, requests=3_000, events=30, upload_mb=200, rows=20_000)

MEASURES: dict[str, Callable[[Size], list[Row]]] = {
    "submits": submits.measured,
    "bulk": bulk.measured,
    "throughput": throughput.measured,
    "latency": latency.round_trips,
    "overrun": overrun.measured,
    "hold": hold.measured,
    "backlog": lambda size: [backlog.flat(size), backlog.restart(size)],
    "idle": backlog.idle,
    "orders": latency.orders,
    "polls": submits.polls,
    "deaths": lambda size: workers.deaths(size.rounds * 3),
    "hogged": lambda size: [workers.hogged(size.rounds, size.requests // 3)],
    "lists": lists.measured,
    "hooks": hooks.measured,
    "sse": lambda size: sse.measured(1000, size.events),
    "upload": lambda size: [upload.growth(size.upload_mb)],
}


def rows(size: Size, only: str) -> list[Row]:
    """Measure; say on stderr what has been found as it is found."""
    found = []
    for name, measure in MEASURES.items():
        if only not in name:
            continue
        for row in measure(size):
            print(f"{row.what}: {row.measured}", file=sys.stderr, flush=True)
            found.append(row)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, requests and rows")
    parser.add_argument("--only", default="", help=f"of {', '.join(MEASURES)}; or a peer")
    parser.add_argument("--peers", action="store_true", help="also run the peers")
    parser.add_argument("--hour", action="store_true", help="also run for an hour")
    parser.add_argument("--plots", action="store_true", help="also draw benchmarks/plots/*.svg")
    parser.add_argument("--no-save", action="store_true", help="leave results.json as it is")
    options = parser.parse_args(arguments)
    # so that what has been started is stopped
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    known = report.machine()
    # first, so that whatever is missing is said before anything is measured
    taking_part = contest.contenders(options.only) if options.peers else []
    of_peers = contest.QUICK if options.quick else contest.FULL
    last = {} if options.quick else report.last_rows(RESULTS)
    found = rows(QUICK if options.quick else FULL, options.only)
    found += hour.measured(60, 5000) if options.hour else []
    medians: dict[str, contest.Measured] = {}
    if options.peers:
        medians = contest.run(of_peers, taking_part)
        found += contest.rows(medians)
    print(f"{report.sentence(known)}\n")
    print("\n".join(report.table(found, last)))
    if medians:
        print("\n".join(["", *contest.table(medians), ""]))
        print("\n".join([*contest.bulk(of_peers, taking_part), contest.versions()]))
    if options.plots:
        scale.draw(quick=options.quick)
    if not (options.quick or options.no_save):
        peers: dict[str, Any] = {name: one._asdict() for name, one in medians.items()}
        report.save(RESULTS, known, found, peers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
