"""How fast jobs are worked off: a backlog of no-ops, and one at a time that is waited for.

Each result is durable alone. Not here: the table (run.py).
"""

import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

import load
from harness import Row, ask, daemon

KIND = "test.echo"
QUEUE = "held"
CONNECTIONS = 64
UNLIMITED = {
    "JOBD_LIMITS_QUEUED_JOBS_PER_PRINCIPAL": "1000000",
    "JOBD_POOL_CPU_WORKERS": "2",
    "JOBD_POOL_IO_WORKERS": "0",
}
_LOOK_S = 0.01
_BETWEEN_LOOKS = threading.Event()


def backlog(rounds: int, count: int) -> list[Row]:
    """Work off so many queued jobs with two cpu workers; count the calls that sync."""
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch), **UNLIMITED) as (path, _),
    ):
        _filled(path, count // 4)
        _drained_s(path)  # the workers have imported their handlers then
        per_s = []
        for _ in range(rounds):
            _filled(path, count)
            per_s.append(count / _drained_s(path))
    speed = statistics.median(per_s)
    what = f"a backlog of {count:,} no-op jobs, two workers"
    figures = f"{speed:,.0f} jobs/s (best {max(per_s):,.0f})"
    return [Row(what, figures, "≥ 41,000 jobs/s", met=speed >= 41_000), _syncs(count)]


def _syncs(count: int) -> Row:
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        counted = Path(scratch, "calls")
        tracer = ("strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=fsync,fdatasync")
        with daemon(Path(scratch), under=(*tracer, "-o", str(counted)), **UNLIMITED) as (path, _):
            _filled(path, count)
            before = len(counted.read_text().splitlines())
            _drained_s(path)
            calls = len(counted.read_text().splitlines()) - before
    each = calls / count
    what = "fsyncs per job of that backlog"
    return Row(what, f"{each:.3f} ({calls:,} for {count:,})", "≤ 0.1", met=each <= 0.1)


def round_trip(count: int) -> Row:
    """Submit a job and wait for its end in one request, back to back, nothing else going on."""
    body = json.dumps({"kind": KIND, "args": {"text": "x" * 32}}).encode()
    request = load.post("/v1/jobs", body, "Prefer: wait=10")
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch), **UNLIMITED) as (path, _),
    ):
        load.run(path, request, 200, 1, b"HTTP/1.1 200")
        measured = load.run(path, request, count, 1, b"HTTP/1.1 200")
    p50, p99 = measured.percentile_ms(0.5), measured.percentile_ms(0.99)
    what = "submit → completed in one waiting request, idle, back to back"
    return Row(what, f"p50 {p50:.2f} ms, p99 {p99:.2f} ms", "≤ 0.6, ≤ 3", met=p50 <= 0.6 >= p99 / 5)


def _filled(path: str, count: int) -> None:
    _order(path, "pause")
    body = json.dumps({"kind": KIND, "args": {"text": "x" * 32}, "queue": QUEUE}).encode()
    request = load.post("/v1/jobs", body, "Prefer: respond-async")
    load.run(path, request, count, CONNECTIONS, b"HTTP/1.1 202")


def _drained_s(path: str) -> float:
    """Let the queue go and return how long it took until it was empty."""
    began_s = time.perf_counter()
    _order(path, "resume")
    while _left(path):
        _BETWEEN_LOOKS.wait(_LOOK_S)
    return time.perf_counter() - began_s


def _left(path: str) -> int:
    status = json.loads(ask(path, "GET", "/v1/status")[2])
    return int(status["queued"]) + int(status["processing"])


def _order(path: str, order: str) -> None:
    status, _, answer = ask(path, "POST", f"/v1/queues/{QUEUE}/{order}")
    assert status == 200, answer


def measured(rounds: int, count: int) -> list[Row]:
    """Return the rows of this file."""
    return [*backlog(rounds, count), round_trip(count // 10)]


if __name__ == "__main__":
    for row in measured(3, 10_000):
        print(row.what, row.measured, sep=": ", flush=True)
