"""What requests cost beside a bare handler that answers as many bytes and stores nothing.

The two sides alternate, from the same raw load generator (load.py), which has one of the two
cores about to itself. A submit is answered after fsync. Not here: the bare side (bare.py).
"""

import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import load
from harness import HERE, TWO_WORKERS, Row, Size, ask, daemon, drained, order, process, spread

CONNECTIONS = 64
QUEUE = "held"
KIND = "bench.noop"
_DROPPED = {"Content-Length", "Date", "Server"}


def body(queue: str = QUEUE) -> bytes:
    return json.dumps({"kind": KIND, "args": {"text": "x" * 32}, "queue": queue}).encode()


def submit(queue: str = QUEUE, prefer: str = "respond-async") -> bytes:
    return load.post("/v1/jobs", body(queue), f"Prefer: {prefer}")


@contextlib.contextmanager
def bare(folder: Path, answer: tuple[int, dict[str, str], bytes]) -> Iterator[str]:
    """Run the bare handler with an answer of jobd's."""
    status, headers, content = answer
    path = folder / f"bare-{status}.sock"
    kept = {name: value for name, value in headers.items() if name not in _DROPPED}
    (folder / "headers").write_text(json.dumps(kept))
    (folder / "body").write_bytes(content)
    command = [sys.executable, str(HERE / "bare.py"), str(path), str(status)]
    with process(*command, str(folder / "headers"), str(folder / "body"), ready="ready on"):
        yield str(path)


def _ratio(what: str, budget: float, ours: list[float], limits: list[float]) -> Row:
    ratios = [mine / limit for mine, limit in zip(ours, limits, strict=True)]
    ratio = statistics.median(ratios)
    figures = (
        f"{ratio:.2f} ({statistics.median(ours):,.0f}/s of {statistics.median(limits):,.0f}/s)"
    )
    wanted = f"≥ {budget}" if budget else ""
    return Row(what, figures, wanted, met=ratio >= budget, value=ratio, spread=spread(ratios))


def submits(size: Size) -> list[Row]:
    """Single durable submits: with the queue paused, and while the same jobs run."""
    expect = b"HTTP/1.1 202"
    limits, paused, running, ended = [], [], [], []
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch), **TWO_WORKERS) as (path, _),
    ):
        order(path, QUEUE, "pause")
        _warm(path)
        with bare(Path(scratch), ask(path, "POST", "/v1/jobs", body())) as limit:
            for _ in range(size.rounds):
                limits.append(load.run(limit, submit(), size.requests, CONNECTIONS, expect).per_s)
                paused.append(load.run(path, submit(), size.requests, CONNECTIONS, expect).per_s)
                order(path, QUEUE, "resume")
                drained(path)
                order(path, QUEUE, "pause")
                both = load.run(path, submit("default"), size.requests, CONNECTIONS, expect)
                running.append(both.per_s)
                ended.append(size.requests / (both.took_s + drained(path)))
    speed = statistics.median(ended)
    whole = "submitted by 64 clients and completed meanwhile, end to end, two workers"
    return [
        _ratio(
            f"durable submits, {CONNECTIONS} connections, queue paused, of a bare handler",
            0.5,
            paused,
            limits,
        ),
        _ratio("the same while the same jobs run", 0.35, running, limits),
        Row(
            whole,
            f"{speed:,.0f} jobs/s",
            "≥ 10,000 jobs/s",
            met=speed >= 10_000,
            value=speed,
            spread=spread(ended),
        ),
    ]


def _warm(path: str) -> None:
    """Let the workers import the handler, and show how short it is."""
    load.run(path, submit("default"), 500, CONNECTIONS, b"HTTP/1.1 202")
    drained(path)


def polls(size: Size) -> list[Row]:
    """GET of a finished job, and of one that the client has already (304)."""
    limits: dict[str, list[float]] = {"200": [], "304": []}
    ours: dict[str, list[float]] = {"200": [], "304": []}
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch), **TWO_WORKERS) as (path, _),
        contextlib.ExitStack() as stack,
    ):
        _, headers, _ = ask(path, "POST", "/v1/jobs", body("default"))
        drained(path)
        url = headers["Location"]
        full = ask(path, "GET", url)
        get = f"GET {url} HTTP/1.1\r\nHost: localhost\r\n"
        known = f"{get}If-None-Match: {full[1]['ETag']}\r\n\r\n".encode()
        requests = {"200": f"{get}\r\n".encode(), "304": known}
        bares = {
            "200": stack.enter_context(bare(Path(scratch), full)),
            "304": stack.enter_context(bare(Path(scratch), (304, full[1], b""))),
        }
        for _ in range(size.rounds):
            for status, request in requests.items():
                expect = f"HTTP/1.1 {status}".encode()
                for found, socket in ((limits, bares[status]), (ours, path)):
                    per_s = load.run(socket, request, size.requests // 2, CONNECTIONS, expect).per_s
                    found[status].append(per_s)
    return [
        _ratio(
            f"polls of a finished job, {CONNECTIONS} connections, of a bare handler",
            0,
            ours["200"],
            limits["200"],
        ),
        _ratio(
            "polls that bring nothing new (304), of a bare handler", 0, ours["304"], limits["304"]
        ),
    ]


def fsyncs(size: Size) -> Row:
    """Calls that make a file durable, while 64 clients submit and the same jobs run."""
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        counted = Path(scratch, "calls")
        tracer = ("strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=fsync,fdatasync")
        under = (*tracer, "-o", str(counted))
        with daemon(Path(scratch), under=under, **TWO_WORKERS) as (path, _):
            _warm(path)
            before = len(counted.read_text().splitlines())
            load.run(path, submit("default"), size.requests, CONNECTIONS, b"HTTP/1.1 202")
            drained(path)
            calls = len(counted.read_text().splitlines()) - before
    each = calls / size.requests
    figures = f"{each:.3f} ({calls:,} for {size.requests:,} jobs)"
    what = f"fsyncs per job, {CONNECTIONS} clients submit, two workers"
    return Row(what, figures, "≤ 0.1", met=each <= 0.1, value=each, spread=0.2, less=True)


def measured(size: Size) -> list[Row]:
    return [*submits(size), fsyncs(size)]
