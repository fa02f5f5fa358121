"""Measure streams of events: how late the last of many subscribers is, and what each costs.

`python benchmarks/sse.py [--subscribers N] [--events N]` runs a daemon, connects N raw
subscribers to it from this process, and prints a table. A latency begins before the request
that makes the event and ends when its last subscriber has it, so it includes the durable
commit and the reading of all N sockets in Python.
"""

import argparse
import json
import resource
import selectors
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import Row, ask, daemon, rss_mb, spread

END_OF_EVENT = b"}\n\n"
LIMIT_S = 30.0


class Subscribers:
    """Many open streams, read by one thread."""

    def __init__(self, path: str, url: str, count: int) -> None:
        self._selector = selectors.EpollSelector()
        self._sockets = [self._connect(path, url) for _ in range(count)]

    def _connect(self, path: str, url: str) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        connection.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self._selector.register(connection, selectors.EVENT_READ)
        return connection

    def all_have(self, wanted: bytes) -> None:
        """Read until every stream has brought `wanted` in what it brings from now on."""
        waiting = set(self._sockets)
        seen: dict[socket.socket, bytes] = {}
        until_s = time.perf_counter() + LIMIT_S
        while waiting:
            assert time.perf_counter() < until_s, f"{len(waiting)} streams lack {wanted!r}"
            for key, _ in self._selector.select(1.0):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                chunk = connection.recv(1 << 16)
                assert chunk, "a stream was closed"
                seen[connection] = seen.get(connection, b"") + chunk
                if wanted in seen[connection]:
                    waiting.discard(connection)

    def close(self) -> None:
        for connection in self._sockets:
            self._selector.unregister(connection)
            connection.close()


def took_ms(subscribers: Subscribers, cause: Callable[[], object], wanted: bytes) -> float:
    began_s = time.perf_counter()
    cause()
    subscribers.all_have(wanted)
    return (time.perf_counter() - began_s) * 1000


def submit(path: str) -> str:
    """Submit a job that nobody runs; return its URL."""
    body = json.dumps({"kind": "test.aecho", "args": {"text": "x" * 32}}).encode()
    status, headers, answer = ask(path, "POST", "/v1/jobs", body)
    assert status == 202, answer
    return headers["Location"]


def of_all(path: str, pid: int, count: int, events: int) -> list[Row]:
    """All listen to all jobs: each new job is an event for each of them."""
    before_mb = rss_mb(pid)
    subscribers = Subscribers(path, "/v1/events", count)
    subscribers.all_have(b"retry: 2000\n")
    kb = (rss_mb(pid) - before_mb) * 1024 / count
    submit(path)  # the first event also compiles and fills what later ones find
    subscribers.all_have(END_OF_EVENT)
    late_ms = sorted(
        took_ms(subscribers, lambda: submit(path), END_OF_EVENT) for _ in range(events)
    )
    after_kb = (rss_mb(pid) - before_mb) * 1024 / count
    subscribers.close()
    p99_ms = late_ms[min(int(events * 0.99), events - 1)]
    figures = f"p50 {statistics.median(late_ms):.0f} ms, p99 {p99_ms:.0f} ms"
    memory = f"{kb:.0f} KB, after {events} events {after_kb:.0f} KB"
    what = f"event to the last of {count:,} subscribers to all jobs"
    return [
        Row(what, figures, "p99 ≤ 100 ms", met=p99_ms <= 100, value=p99_ms, less=True),
        Row(
            f"memory of each of {count:,} subscribers to all jobs",
            memory,
            "≤ 60 KB",
            met=after_kb <= 60,
            value=after_kb,
            less=True,
        ),
    ]


def of_one_job(path: str, pid: int, count: int, rounds: int) -> list[Row]:
    """All listen to one job; the event is its end, and ends the streams."""
    late_ms, kbs = [], []
    for _ in range(rounds):
        url = submit(path)
        before_mb = rss_mb(pid)
        subscribers = Subscribers(path, f"{url}/events", count)
        subscribers.all_have(END_OF_EVENT)
        kbs.append((rss_mb(pid) - before_mb) * 1024 / count)
        cancel = lambda url=url: ask(path, "POST", f"{url}/cancel")  # noqa: E731 - bound to this round's job
        late_ms.append(took_ms(subscribers, cancel, b"event: job.cancelled\n"))
        subscribers.close()
    figures = f"median {statistics.median(late_ms):.0f} ms, worst {max(late_ms):.0f} ms"
    what = f"event to the last of {count:,} subscribers to one job"
    memory = f"{max(kbs):.0f} KB"
    return [
        Row(
            what,
            figures,
            "≤ 100 ms",
            met=max(late_ms) <= 100,
            value=statistics.median(late_ms),
            spread=spread(late_ms),
            less=True,
        ),
        Row(
            f"memory of each of {count:,} subscribers to one job",
            memory,
            "≤ 60 KB",
            met=max(kbs) <= 60,
            value=max(kbs),
            less=True,
        ),
    ]


def measured(subscribers: int, events: int) -> list[Row]:
    """Return the rows of this benchmark."""
    files = subscribers + 200
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert most >= files, f"{files} open files are needed, {most} allowed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    environ = {
        "JOBD_LIMITS_STREAMS_PER_PRINCIPAL": str(subscribers),
        "JOBD_LIMITS_CONNECTIONS": str(2 * subscribers),
        "JOBD_POOL_IO_WORKERS": "0",  # what is submitted stays queued
    }
    rows: list[Row] = []
    # a daemon for each: what streams cost can be seen only in one that has had none
    for measure, times in ((of_all, events), (of_one_job, 5)):
        with (
            tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
            daemon(Path(scratch), **environ) as (path, pid),
        ):
            rows += measure(path, pid, subscribers, times)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--events", type=int, default=200)
    options = parser.parse_args()
    print("| what | measured | budget | |\n|---|---|---|---|")
    for row in measured(options.subscribers, options.events):
        print(f"| {row.what} | {row.measured} | {row.budget} | {'met' if row.met else 'MISSED'} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
