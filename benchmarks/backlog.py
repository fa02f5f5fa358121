"""What a large database costs: claims and settlements, an idle daemon, a start after a kill.

The rows are put in by SQL, as jobd would have left them. Not here: the table (run.py).
"""

import asyncio
import contextlib
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import load
from harness import Row, ask, daemon, ready, wait_for_kinds
from jobd.clock import SystemClock
from jobd.config import Config
from jobd.domain.catalog import Lane
from jobd.domain.jobs import Claim, Result, Settlement
from jobd.domain.statuses import Status
from jobd.store.database import Database
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.rules import rules_of
from jobd.store.writer import Writer

KIND = "test.aecho"
SLOTS = 64
MILLION = 1_000_000

_JOBS = """
WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
INSERT INTO jobs (
  seq, job_id, principal, kind, queue, lane, priority, status, run_at, created_at, updated_at,
  started_at, finished_at, expires_at, attempt, max_attempts, timeout_ms, retention_ms, event_id
)
SELECT
  i, printf('job_%032x', i), 'bench', :kind, :queue, 'io', 5, :status, :run_at, :now, :now,
  iif(:done, :now, NULL), iif(:done, :now, NULL), iif(:done, :now + 604800000, NULL),
  :done, 3, 3600000, 604800000, (1 << 40) + i
FROM n
"""
_INPUTS = """
INSERT INTO job_inputs (seq, metadata, args)
SELECT seq, '{}', CAST('{"text":"xxxxxxxx"}' AS BLOB) FROM jobs WHERE seq BETWEEN :first AND :last
"""
_EVENTS = """
INSERT INTO events (seq, type, at, attempt, data)
SELECT seq, 'job.' || types.value, created_at, attempt, '{}'
FROM jobs CROSS JOIN json_each(:types) AS types WHERE seq BETWEEN :first AND :last
"""
_RESULTS = """
INSERT INTO job_results (seq, media_type, size_bytes, sha256, partial, body)
SELECT seq, 'application/json', 4, hex(zeroblob(32)), 0, CAST('null' AS BLOB)
FROM jobs WHERE seq BETWEEN :first AND :last
"""


def fill(
    path: Path, *, finished: int = 0, queued: int = 0, scheduled: int = 0, queue: str = "default"
) -> None:
    """Make a database with so many jobs."""
    asyncio.run(_made(path))
    now = time.time_ns() // MILLION
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # a job cannot begin at its end: the next start puts the guards back
        connection.execute("DROP TRIGGER jobs_guard_begin")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        first = 1
        for status, count in (
            ("completed", finished),
            ("queued", queued),
            ("scheduled", scheduled),
        ):
            if not count:
                continue
            done = status == "completed"
            types = '["queued", "processing", "completed"]' if done else f'["{status}"]'
            values = {
                "first": first,
                "last": first + count - 1,
                "kind": KIND,
                "queue": queue,
                "status": status,
                "run_at": now + 86_400_000 if status == "scheduled" else None,
                "now": now,
                "done": int(done),
                "types": types,
            }
            for statement in (_JOBS, _INPUTS, _EVENTS, *([_RESULTS] if done else [])):
                used = {name: values[name] for name in re.findall(r":(\w+)", statement)}
                connection.execute(statement, used)
            first += count
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _made(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = await Database.open(path)
    await database.close()


class Drain:
    """Stands where the dispatcher is: settles each claim as soon as it is made."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._running = 0
        self._settling: set[asyncio.Task[None]] = set()
        self._done = asyncio.Event()
        self.writer: Writer

    def free_slots(self) -> Mapping[Lane, int]:
        return {"io": min(SLOTS - self._running, self._left)}

    def claimed(self, claims: list[Claim]) -> None:
        self._running += len(claims)
        self._left -= len(claims)
        for claim in claims:
            task = asyncio.ensure_future(self._settle(claim))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def _settle(self, claim: Claim) -> None:
        result = Result("application/json", 4, "0" * 64, body=b"null")
        await self.writer.settle(
            Settlement(claim.seq, claim.token, Status.COMPLETED, result=result)
        )
        self._running -= 1
        self.writer.wake()
        if self._left <= 0 and self._running == 0:
            self._done.set()

    def died(self, error: BaseException) -> None:
        raise error

    async def over(self) -> None:
        await self._done.wait()


async def drained_per_s(path: Path, count: int) -> float:
    """Claim and settle `count` jobs; return how many a second."""
    database = await Database.open(path)
    drain = Drain(count)
    around = Around(
        free_slots=drain.free_slots,
        runnable=lambda: {KIND: "io"},
        claimed=drain.claimed,
        publish=lambda _: None,
        messages=lambda: None,
        died=drain.died,
    )
    drain.writer = Writer(GroupCommit(database, SystemClock(), rules_of(Config()), around))
    await drain.writer.start()
    began_s = time.perf_counter()
    drain.writer.wake()
    await drain.over()
    per_s = count / (time.perf_counter() - began_s)
    await drain.writer.close()
    await database.close()
    return per_s


def flat(rounds: int, rows: int, count: int) -> Row:
    """Claim and settle beside many finished and queued rows, against an almost empty file."""
    empties, larges, ratios = [], [], []
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        empty, large = Path(scratch, "empty.db"), Path(scratch, "large.db")
        fill(empty, queued=count * rounds)
        fill(large, finished=rows, queued=rows)
        for _ in range(rounds):
            empties.append(asyncio.run(drained_per_s(empty, count)))
            larges.append(asyncio.run(drained_per_s(large, count)))
            ratios.append(larges[-1] / empties[-1])
    ratio = statistics.median(ratios)
    figures = (
        f"{ratio:.2f} ({statistics.median(larges):,.0f}/s of {statistics.median(empties):,.0f}/s)"
    )
    what = f"claim and settle beside {rows:,} finished and {rows:,} queued jobs, of an empty file"
    return Row(what, figures, "≥ 0.8", met=ratio >= 0.8)


def fsyncs(count: int, connections: int, request: bytes) -> Row:
    """Calls that make a file durable, for each submit."""
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        folder = Path(scratch)
        counted = folder / "calls"
        tracer = ("strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=fsync,fdatasync")
        under = (*tracer, "-o", str(counted))
        with daemon(folder, under=under, JOBD_POOL_IO_WORKERS="0") as (path, _):
            before = len(counted.read_text().splitlines())
            load.run(path, request, count, connections, b"HTTP/1.1 202")
            # a statement more, so that all of the load's calls are in the file
            ask(path, "GET", "/v1/status")
            calls = len(counted.read_text().splitlines()) - before
    each = calls / count
    figures = f"{each:.3f} ({calls:,} for {count:,}, {count:,} rows)"
    return Row(f"fsyncs per submit, {connections} connections", figures, "≤ 0.1", met=each <= 0.1)


IDLE_S = 10
_STATEMENT = "trace=fcntl,pread64,pwrite64,fdatasync,fsync"
"""Each read of a database in WAL mode begins with a lock: without one there was none."""


def idle(rows: int) -> Row:
    """Statements of an idle daemon with many jobs in the future."""
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        folder = Path(scratch)
        fill(folder / "state" / "jobd.db", scheduled=rows)
        with daemon(folder) as (path, pid):
            ask(path, "GET", "/v1/status")
            wait_until_quiet(pid)
            before = _cpu_ticks(pid)
            calls = _calls(pid, IDLE_S)
            ticks = _cpu_ticks(pid) - before
    figures = f"{calls} calls to the file, {ticks * 10} ms of CPU in {IDLE_S} s"
    return Row(f"idle, {rows:,} jobs in the future", figures, "0 statements", met=calls == 0)


def wait_until_quiet(pid: int) -> None:
    """Return when the daemon has done what it does after its start."""
    while _calls(pid, 2):
        pass


def _calls(pid: int, seconds: float) -> int:
    command = ["strace", "-f", "-qq", "-e", _STATEMENT, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        with contextlib.suppress(subprocess.TimeoutExpired):
            tracer.wait(seconds)
        tracer.send_signal(signal.SIGINT)
        _, lines = tracer.communicate()
    return sum(
        re.search(r"(fcntl|pread64|pwrite64|f(data)?sync)\(", line) is not None
        for line in lines.splitlines()
    )


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def restart(rounds: int, rows: int) -> Row:
    """From kill -9 with many queued jobs, and a WAL to recover, to ready."""
    took = []
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        folder = Path(scratch)
        fill(folder / "state" / "jobd.db", queued=rows, queue="held")
        with daemon(folder) as (path, _):
            status, _, answer = ask(path, "POST", "/v1/queues/held/pause")
            assert status == 200, answer
        body = b'{"kind": "test.aecho", "args": {"text": "x"}, "queue": "held"}'
        for _ in range(rounds):
            with started(folder) as (path, child, began_s):
                took.append(ready(child) - began_s)
                wait_for_kinds(path)
                load.run(path, load.post("/v1/jobs", body), 2000, 64, b"HTTP/1.1 202")
    worst = max(took[1:])
    figures = f"median {statistics.median(took[1:]):.2f} s, worst {worst:.2f} s"
    return Row(f"ready after kill -9, {rows:,} jobs queued", figures, "≤ 1 s", met=worst <= 1)


@contextlib.contextmanager
def started(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[str]", float]]:
    """Start a daemon, and kill -9 it at the end of the block."""
    path = str(folder / "jobd.sock")
    command = [sys.executable, "-m", "jobd", "serve", "--state-dir", str(folder / "state")]
    began_s = time.perf_counter()
    with subprocess.Popen([*command, "--socket", path], stderr=subprocess.PIPE, text=True) as child:
        try:
            yield path, child, began_s
        finally:
            child.kill()
