"""What a large database costs: claims and settlements, an idle daemon, a start after a kill.

Not here: the making of such a database (filled.py).
"""

import asyncio
import contextlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import load
from filled import KIND, fill
from harness import Row, Size, ask, daemon, ready, rss_mb, spread, wait_for_kinds
from jobd.clock import SystemClock
from jobd.config import Config
from jobd.domain.catalog import Lane
from jobd.domain.jobs import Claim, Result, Settlement
from jobd.domain.statuses import Status
from jobd.store.database import Database
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.rules import rules_of
from jobd.store.writer import Writer

SLOTS = 64


class Drain:
    """Stands where the dispatcher is: settles each claim as soon as it is made."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._running = 0
        self.settled = 0
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
        self.settled += 1
        self.writer.wake()
        if self._left <= 0 and self._running == 0:
            self._done.set()

    def died(self, error: BaseException) -> None:
        raise error

    async def over(self) -> None:
        await self._done.wait()

    async def quiet(self) -> None:
        """Take no more, and return when what runs is settled."""
        self._left = 0
        while self._settling:
            await asyncio.wait(self._settling)


async def drained_per_s(path: Path, count: int) -> float:
    """Claim and settle `count` jobs; return how many a second."""
    database = await Database.open(path)
    drain = Drain(count)
    writer = writer_of(database, drain)
    await writer.start()
    began_s = time.perf_counter()
    writer.wake()
    await drain.over()
    per_s = count / (time.perf_counter() - began_s)
    await writer.close()
    await database.close()
    return per_s


class Claims(Drain):
    """Takes the jobs and settles none."""

    def __init__(self) -> None:
        super().__init__(0)
        self.come = asyncio.Event()
        self.wanted = 0

    def free_slots(self) -> Mapping[Lane, int]:
        return {"io": self.wanted}

    def claimed(self, claims: list[Claim]) -> None:
        self.wanted -= len(claims)
        if self.wanted == 0:
            self.come.set()


async def claim_ms(path: Path, times: int = 40) -> float:
    """Return how long a claim of so many jobs as there are slots takes, with its commit."""
    database = await Database.open(path)
    claims = Claims()
    writer = writer_of(database, claims)
    await writer.start()
    took_ms = []
    for _ in range(times):
        claims.wanted = SLOTS
        began_s = time.perf_counter()
        writer.wake()
        await claims.come.wait()
        took_ms.append((time.perf_counter() - began_s) * 1000)
        claims.come.clear()
    await writer.close()
    await database.close()
    return statistics.median(took_ms)


def writer_of(database: Database, drain: "Drain") -> Writer:
    """Return a writer whose claims go to `drain`."""
    around = Around(
        free_slots=drain.free_slots,
        runnable=lambda: {KIND: "io"},
        claimed=drain.claimed,
        publish=lambda _: None,
        messages=lambda _: None,
        died=drain.died,
    )
    drain.writer = Writer(GroupCommit(database, SystemClock(), rules_of(Config()), around))
    return drain.writer


def flat(size: Size) -> Row:
    """Claim and settle beside many finished and queued rows, against an almost empty file."""
    rounds, rows, count = size.rounds, size.rows, size.requests // 2
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
    return Row(what, figures, "≥ 0.8", met=ratio >= 0.8, value=ratio, spread=spread(ratios))


IDLE_S = 10
_STATEMENT = "trace=fcntl,pread64,pwrite64,fdatasync,fsync"
"""Each read of a database in WAL mode begins with a lock: without one there was none."""


def idle(size: Size) -> list[Row]:
    """What an idle daemon with many jobs in the future does and holds."""
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        folder = Path(scratch)
        fill(folder / "state" / "jobd.db", scheduled=size.rows)
        with daemon(folder) as (path, pid):
            ask(path, "GET", "/v1/status")
            wait_until_quiet(pid)
            made = calls(pid, IDLE_S)
            # apart: a tracer makes what it counts dearer
            before, woken = _cpu_ticks(pid), _wakes(pid)
            threading.Event().wait(IDLE_S)
            part = (_cpu_ticks(pid) - before) / 100 / IDLE_S
            woken = _wakes(pid) - woken
        # one that has just started: the file's cache belongs to the row above
        with (
            tempfile.TemporaryDirectory(prefix="jobd-bench-") as fresh,
            daemon(Path(fresh)) as (
                _,
                pid,
            ),
        ):
            own = rss_mb(pid)
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            each = max(rss_mb(int(child)) for child in children)
    what = f"idle, {size.rows:,} jobs in the future"
    cpu = f"{part:.1%} in {IDLE_S} s, woken {woken} times"
    return [
        Row(
            f"{what}: statements in {IDLE_S} s",
            str(made),
            "0",
            met=made == 0,
            value=made,
            less=True,
        ),
        Row(f"{what}: CPU", cpu, "≤ 0.3 %", met=part <= 0.003, value=part, less=True),
        Row(
            "idle daemon, its own memory",
            f"{own:.0f} MB",
            "≤ 60 MB",
            met=own <= 60,
            value=own,
            less=True,
        ),
        Row(
            "the largest of its workers",
            f"{each:.0f} MB",
            "≤ 35 MB",
            met=each <= 35,
            value=each,
            less=True,
        ),
    ]


def _wakes(pid: int) -> int:
    """Return how often the process's threads have begun to run after waiting."""
    lines = [
        line
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text().splitlines()
    ]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


def wait_until_quiet(pid: int) -> None:
    """Return when the daemon has done what it does after its start."""
    while calls(pid, 2):
        pass


def calls(pid: int, seconds: float) -> int:
    """Return how often the process touched a file of its database for so long."""
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


def restart(size: Size) -> Row:
    """From kill -9 with many queued jobs, and a WAL to recover, to ready."""
    took, rows = [], size.rows
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        folder = Path(scratch)
        fill(folder / "state" / "jobd.db", queued=rows, queue="held")
        with daemon(folder) as (path, _):
            status, _, answer = ask(path, "POST", "/v1/queues/held/pause")
            assert status == 200, answer
        body = b'{"kind": "test.aecho", "args": {"text": "x"}, "queue": "held"}'
        for _ in range(4):
            with started(folder) as (path, child, began_s):
                took.append(ready(child) - began_s)
                wait_for_kinds(path)
                load.run(path, load.post("/v1/jobs", body), 2000, 64, b"HTTP/1.1 202")
    worst = max(took[1:])
    figures = f"median {statistics.median(took[1:]):.2f} s, worst {worst:.2f} s"
    what = f"ready after kill -9, {rows:,} jobs queued"
    median = statistics.median(took[1:])
    return Row(
        what, figures, "≤ 1 s", met=worst <= 1, value=median, spread=spread(took[1:]), less=True
    )


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
