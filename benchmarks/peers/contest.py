"""The same work for jobd and its peers: enqueue, work a backlog off, one job at a time.

Every job is the same no-op that writes one byte, so that jobs are counted from outside, by
the size of a file. Two worker processes each. A round lets all of them run one after the
other; medians of several rounds count. How fair it is:

- enqueue: two producer processes of 1, 8 or 32 callers each, whichever suits the client best
  (tried before the first round). One job per call; what a library can add in bulk is apart.
- backlog: all have as many jobs queued and are watched until the queue is empty, or for so
  long; the rate counts from a tenth of the backlog on, so a start is not in it.
- latency: idle, a job every 2 to 15 ms, from the call to the byte.
- durability: each syncs before it acknowledges (servers.py). Peers that acknowledge a job
  before they run it, or keep no result, are left to: jobd keeps a durable result of each.
"""

import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import harness
from peers import environments, servers
from peers.catalog import PEERS, Peer

HERE = Path(__file__).parents[1]
PRODUCERS = 2
TIMES = "\N{MULTIPLICATION SIGN}"
NO_PYTHON = ("beanstalkd", "BullMQ")
CALLERS = (1, 8, 32)
LIMIT_S = 120.0
JOBD = ("jobd, its Python client", "jobd, raw HTTP")
QUEUE = "bench"
_LOOK = threading.Event()


class Size(NamedTuple):
    """How much of it."""

    rounds: int
    jobs: int
    watch_s: float
    latencies: int


FULL = Size(rounds=3, jobs=20_000, watch_s=8.0, latencies=100)
QUICK = Size(rounds=1, jobs=3_000, watch_s=3.0, latencies=30)


class Contender(NamedTuple):
    """Somebody who takes part."""

    name: str
    producer: Sequence[str]
    environ: dict[str, str]
    serving: Callable[[Path, str], "contextlib.AbstractContextManager[str]"]
    working: Callable[[str, str], "contextlib.AbstractContextManager[None]"]


class Measured(NamedTuple):
    """One round of one contender."""

    enqueued_per_s: float
    drained_per_s: float
    latency_ms: float


def of_peer(peer: Peer) -> Contender:
    python = str(environments.folder(peer) / "bin" / "python")
    program = "node" if peer.node else python
    environ = environments.environ(peer)

    @contextlib.contextmanager
    def serving(folder: Path, mark: str) -> Iterator[str]:
        with peer.server(folder) as server:
            if peer.prepare:
                ready = environments.command(peer, peer.prepare, server)
                known = environ | {"BENCH_SERVER": server, "BENCH_FILE": mark}
                subprocess.run(
                    ready, env=os.environ | known, cwd=HERE, check=True, capture_output=True
                )
            yield server

    @contextlib.contextmanager
    def working(server: str, mark: str) -> Iterator[None]:
        known = environ | {"BENCH_SERVER": server, "BENCH_FILE": mark}
        with contextlib.ExitStack() as stack:
            command = environments.command(peer, peer.worker, server)
            log = Path(f"{mark}.log")
            for _ in range(peer.times):
                # killed at the end: its queue goes with it, and some take seconds to leave
                worker = servers.running(
                    command, stop=signal.SIGKILL, cwd=HERE, environ=known, log=log
                )
                stack.enter_context(worker)
            yield

    return Contender(peer.name, (program, f"peers/{peer.file}"), environ, serving, working)


def of_jobd(name: str) -> Contender:
    """jobd's queue is paused while it is filled, and resumed to work."""
    raw = {"JOBD_RAW": "1"} if name == JOBD[1] else {}

    @contextlib.contextmanager
    def serving(folder: Path, mark: str) -> Iterator[str]:
        more = {"BENCH_FILE": mark}
        with harness.daemon(folder, **harness.TWO_WORKERS, **more) as (path, _):
            harness.order(path, QUEUE, "pause")
            yield path

    @contextlib.contextmanager
    def working(server: str, _mark: str) -> Iterator[None]:
        harness.order(server, QUEUE, "resume")
        yield

    producer = (sys.executable, "peers/jobd_peer.py")
    return Contender(name, producer, {**harness.python_path(HERE), **raw}, serving, working)


@contextlib.contextmanager
def _served(contender: Contender, *, pipe: bool = False) -> Iterator[tuple[str, str]]:
    """Run the contender's server; gives its address and the file that jobs write to."""
    with tempfile.TemporaryDirectory(prefix="jobd-peer-") as scratch:
        folder = Path(scratch)
        mark = folder / "marks"
        if pipe:
            os.mkfifo(mark)
        else:
            mark.touch()
        held = os.open(mark, os.O_RDWR)  # else a pipe's first end would wait for the other
        try:
            with contender.serving(folder, str(mark)) as server:
                yield server, str(mark)
        finally:
            os.close(held)


def _producers(
    contender: Contender, server: str, mark: str, *order: object
) -> "list[subprocess.Popen[str]]":
    known = contender.environ | {"BENCH_SERVER": server, "BENCH_FILE": mark}
    many = 1 if order[0] == "latency" else PRODUCERS
    return [
        subprocess.Popen(
            [*contender.producer, *map(str, order)],
            cwd=HERE,
            env=os.environ | known,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(many)
    ]


def fill(
    contender: Contender, server: str, mark: str, count: int, callers: int, order: str = "fill"
) -> float:
    """Enqueue so many jobs with two producers; return how many a second."""
    producers = _producers(contender, server, mark, order, count // PRODUCERS, callers)
    patience = threading.Timer(LIMIT_S, _kill, [producers])
    patience.start()
    try:
        _expect(producers, "ready\n", contender.name)
        began_s = time.perf_counter()
        for producer in producers:
            assert producer.stdin is not None
            producer.stdin.write("go\n")
            producer.stdin.flush()
        _expect(producers, "done\n", contender.name)
        took_s = time.perf_counter() - began_s
        for producer in producers:
            producer.communicate()
    finally:
        patience.cancel()
        _kill(producers)
    return count / took_s


def _expect(producers: "list[subprocess.Popen[str]]", said: str, name: str) -> None:
    for producer in producers:
        assert producer.stdout is not None
        assert producer.stdout.readline() == said, f"{name} cannot enqueue"


def _kill(producers: "list[subprocess.Popen[str]]") -> None:
    for producer in producers:
        producer.kill()
        producer.wait()


def _drained_per_s(mark: str, count: int, watch_s: float) -> float:
    """Watch the file grow: from a tenth of the backlog until all is done, or for so long."""
    patience_s = time.perf_counter() + 30
    while (first := Path(mark).stat().st_size) < count // 10:
        assert time.perf_counter() < patience_s, f"nothing is worked off: {_last_words(mark)}"
        _LOOK.wait(0.001)
    began_s = time.perf_counter()
    while (done := Path(mark).stat().st_size) < count:
        if time.perf_counter() - began_s > watch_s:
            break
        _LOOK.wait(0.001)
    return (done - first) / (time.perf_counter() - began_s)


def _last_words(mark: str) -> str:
    log = Path(f"{mark}.log")
    return log.read_text()[-2000:] if log.exists() else "its workers said nothing"


def _latency_ms(contender: Contender, count: int) -> float:
    """The file is a pipe here: the producer reads the byte that the job writes."""
    with _served(contender, pipe=True) as (server, mark), contender.working(server, mark):
        (producer,) = _producers(contender, server, mark, "latency", count)
        try:
            said, _ = producer.communicate(timeout=60)
        finally:
            producer.kill()
    return float(statistics.median(json.loads(said)))


def measure(contender: Contender, size: Size, callers: int) -> Measured:
    """Let a contender run one round."""
    with _served(contender) as (server, mark):
        enqueued_per_s = fill(contender, server, mark, size.jobs, callers)
        with contender.working(server, mark):
            drained_per_s = _drained_per_s(mark, size.jobs, size.watch_s)
    return Measured(enqueued_per_s, drained_per_s, _latency_ms(contender, size.latencies))


def best_callers(contender: Contender, count: int) -> int:
    """Return with how many callers in each producer the contender enqueues fastest."""
    with _served(contender) as (server, mark):
        speed = {callers: fill(contender, server, mark, count, callers) for callers in CALLERS}
    return max(speed, key=speed.__getitem__)


def contenders(only: str = "") -> list[Contender]:
    """Return who takes part, jobd first; installs what is missing."""
    peers = [peer for peer in PEERS if only.lower() in peer.name.lower()]
    for peer in peers:
        environments.installed(peer)
    return [*map(of_jobd, JOBD), *map(of_peer, peers)]


def run(size: Size, taking_part: Sequence[Contender]) -> dict[str, Measured]:
    """Return the medians of all contenders by name; who cannot take part is told and left out."""
    callers: dict[str, int] = {}
    rounds: dict[str, list[Measured]] = {one.name: [] for one in taking_part}
    for n in range(size.rounds):
        for one in taking_part:
            try:
                if one.name not in callers:
                    callers[one.name] = best_callers(one, size.jobs // 10)
                found = measure(one, size, callers[one.name])
            except (AssertionError, subprocess.SubprocessError, OSError) as error:
                if one.name in JOBD:
                    raise
                print(f"round {n + 1}, {one.name} FAILED: {error}", file=sys.stderr, flush=True)
                continue
            rounds[one.name].append(found)
            print(f"round {n + 1}, {one.name}: {_told(found)}", file=sys.stderr, flush=True)
    return {
        name: Measured(*(statistics.median(column) for column in zip(*found, strict=True)))
        for name, found in rounds.items()
        if found
    }


def _told(found: Measured) -> str:
    enqueued, drained, latency_ms = found
    return f"enqueue {enqueued:,.0f}/s, backlog {drained:,.0f}/s, latency {latency_ms:.2f} ms"


def bulk(size: Size, taking_part: Sequence[Contender]) -> list[str]:
    """Return a line on who can add many jobs in one call; it stands apart from the table."""
    lines = []
    for one in taking_part:
        if one.name.startswith("BullMQ"):
            with _served(one) as (server, mark):
                per_s = fill(one, server, mark, size.jobs, 4, "fillbulk")
            lines.append(f"{one.name}, `addBulk` of 100: {per_s:,.0f} jobs/s")
    return lines


def versions() -> str:
    """Return what took part, as a line of text."""
    asked = (("redis-server", "--version"), ("beanstalkd", "-v"), ("postgres", "--version"))
    found = []
    for name, flag in (*asked, ("node", "--version")):
        command = [servers.program(name), flag]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        number = re.search(r"\d+(\.\d+)+", said)
        found.append(f"{name} {number[0] if number else said.strip()}")
    return ", ".join([*found, *dict.fromkeys(need for peer in PEERS for need in peer.needs)])


def rows(medians: dict[str, Measured]) -> list[harness.Row]:
    """Return the rows of the budgets: how much faster a backlog is worked off."""
    rivals = {name: one.drained_per_s for name, one in medians.items() if name not in JOBD}
    others = {name: speed for name, speed in rivals.items() if name.startswith(NO_PYTHON)}
    pythons = {name: speed for name, speed in rivals.items() if name not in others}
    ours = medians[JOBD[0]].drained_per_s
    found = []
    for what, least, group in (
        ("a backlog, beside beanstalkd and BullMQ", 3.0, others),
        ("a backlog, beside every Python peer", 6.0, pythons),
    ):
        if not group:
            continue
        best = max(group, key=group.__getitem__)
        ratio, budget = ours / group[best], f"≥ {least:g} {TIMES}"
        figures = f"{ratio:.1f} {TIMES} {best} ({ours:,.0f}/s of {group[best]:,.0f}/s)"
        row = harness.Row(what, figures, budget, met=ratio >= least, value=ratio, spread=0.1)
        found.append(row)
    return found


def table(medians: dict[str, Measured]) -> list[str]:
    """Return the lines of a table; ratios are of jobd through its own client."""
    ours = medians[JOBD[0]]
    lines = [
        f"| {TIMES}: jobd is so much faster | enqueue, jobs/s | backlog, jobs/s | idle, p50 |",
        "|---|---|---|---|",
    ]
    for name, found in medians.items():
        cells = [f"{found.enqueued_per_s:,.0f}", f"{found.drained_per_s:,.0f}"]
        cells.append(f"{found.latency_ms:.2f} ms")
        if name not in JOBD:
            times = [ours.enqueued_per_s / found.enqueued_per_s]
            times += [ours.drained_per_s / found.drained_per_s, found.latency_ms / ours.latency_ms]
            cells = [
                f"{cell} ({ratio:.1f} {TIMES})" for cell, ratio in zip(cells, times, strict=True)
            ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    everybody = contenders("".join(sys.argv[1:]))
    print("\n".join([*table(run(QUICK, everybody)), "", *bulk(QUICK, everybody)]))
