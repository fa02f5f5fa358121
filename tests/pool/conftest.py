"""A real pool with real workers, and a listener that lets a test wait for what it is told."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from jobd.domain.catalog import Lane
from jobd.domain.ids import new_token
from jobd.domain.jobs import Claim, Progress
from jobd.domain.outcomes import Outcome
from jobd.pool import tree
from jobd.pool.supervisor import AttemptLimits, Settings, Supervisor, WorkerInfo

SETTINGS = Settings(
    cpu_workers=1,
    io_workers=0,
    io_concurrency=10,
    kill_grace_s=0.5,
    allow_paths=(),
    inline_result_bytes=65536,
    result_bytes=200_000,
    artifact_bytes=1_000_000,
    log_level="info",
    mark="",
    spare=False,
)

_SEQ = itertools.count(1)
_MARK = f"test{os.getpid()}"
"""Of this run alone: others may run beside it."""


class Watcher:
    """The pool's listener. `until` waits for what it is told to make a condition true."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, Progress]] = []
        self.lines: list[tuple[str, str, str]] = []
        self.checkpoints: list[bytes] = []
        self.missing: list[tuple[str, str]] = []
        self.durable = True
        self.storable = asyncio.Event()
        self.storable.set()
        self._told = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def slots_free(self) -> None:
        self._tell()

    def progressed(self, claim: Claim, progress: Progress) -> None:
        self.shown.append((claim.token, progress))
        self._tell()

    def logged(self, claim: Claim, stream: str, at_ms: int, /, *lines: str) -> None:
        self.lines += [(claim.token, stream, line) for line in lines]
        self._tell()

    async def checkpointed(self, claim: Claim, data: bytes) -> bool:
        self.checkpoints.append(data)
        self._tell()
        await self.storable.wait()
        return self.durable

    def unavailable(self, kind: str, message: str) -> None:
        self.missing.append((kind, message))
        self._tell()

    async def until(self, met: Callable[[], bool]) -> None:
        async with self._told:
            await self._told.wait_for(met)

    def messages(self, claim: Claim) -> list[str | None]:
        return [shown.message for token, shown in self.shown if token == claim.token]

    def written(self, claim: Claim, stream: str | None = None) -> list[str]:
        return [
            line
            for token, kind, line in self.lines
            if token == claim.token and stream in (None, kind)
        ]

    def _tell(self) -> None:
        task = asyncio.get_running_loop().create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._told:
            self._told.notify_all()


class Pool:
    """A supervisor, its listener and its folders."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.listener = Watcher()
        self.scratch, self.artifacts = folder / "scratch", folder / "artifacts"
        self.uploads = folder / "uploads"
        self.lock_fd = os.open(folder / "workers.lock", os.O_RDWR | os.O_CREAT)
        self.limits: dict[str, AttemptLimits] = {}
        """What a kind's attempts may use."""
        self.size: dict[Lane, int] = {
            "cpu": settings.cpu_workers,
            "io": settings.io_workers * settings.io_concurrency,
        }
        self.supervisor = Supervisor(
            settings,
            scratch=self.scratch,
            artifacts=self.artifacts,
            uploads=self.uploads,
            listener=self.listener,
            workers_lock_fd=self.lock_fd,
            limits_of=lambda kind: self.limits.get(kind, AttemptLimits()),
        )

    @property
    def worker(self) -> WorkerInfo:
        """The only one that stays."""
        (worker,) = (one for one in self.supervisor.workers() if one.state != "stopping")
        return worker

    def workers(self, state: str) -> list[WorkerInfo]:
        """Those in this state."""
        return [worker for worker in self.supervisor.workers() if worker.state == state]

    async def ready(self) -> None:
        """Wait until every slot is free."""
        await self.listener.until(lambda: self.supervisor.free() == self.size)

    async def run(self, claim: Claim) -> Outcome:
        """Run a claim as soon as there is a slot."""
        await self.listener.until(lambda: self.supervisor.free()[claim.lane] > 0)
        return await self.supervisor.run(claim)

    async def begin(self, claim: Claim) -> asyncio.Task[Outcome]:
        """Run a claim and wait until its handler says that it runs."""
        task = asyncio.create_task(self.run(claim))
        await self.listener.until(lambda: bool(self.listener.messages(claim)) or task.done())
        return task

    def halt(self, pid: int | None = None) -> None:
        """SIGSTOP the only worker, or this one, and wait until it stands still."""
        pid = self.worker.pid if pid is None else pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)

    async def close(self) -> None:
        await self.supervisor.close()
        os.close(self.lock_fd)


class StartPool(Protocol):
    def __call__(self, **settings: Any) -> Coroutine[Any, Any, Pool]: ...


def make_claim(
    kind: str,
    args: Mapping[str, Any] | None = None,
    *,
    lane: Lane = "cpu",
    timeout_s: float = 30,
    checkpoint: bytes | None = None,
    crashes: int = 0,
    released: int = 0,
) -> Claim:
    seq = next(_SEQ)
    return Claim(
        seq=seq,
        job_id=f"job_{seq:032x}",
        token=new_token(),
        kind=kind,
        queue="default",
        lane=lane,
        attempt=1,
        max_attempts=3,
        timeout_ms=round(timeout_s * 1000),
        failures=0,
        crashes=crashes,
        interrupted=0,
        released=released,
        snoozes=0,
        args=msgspec.json.encode(args or {}),
        metadata={"colour": "blue"},
        traceparent=None,
        checkpoint=checkpoint,
        claimed_at_ms=0,
    )


def marked() -> list[int]:
    """The processes that carry the mark of a pool of this run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                mark = tree.Sighting(int(entry.name)).mark() or ""
            except (OSError, ValueError, IndexError):
                continue
            if mark.startswith(_MARK):
                found.append(int(entry.name))
    return found


def open_fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def claim() -> Callable[..., Claim]:
    return make_claim


@pytest.fixture
async def start_pool(tmp_path: Path) -> AsyncIterator[StartPool]:
    """Start pools; at the end none may have left a process or a descriptor."""
    before = open_fds()
    pools: list[Pool] = []

    async def start(**settings: Any) -> Pool:
        mark = f"{_MARK}.{next(_SEQ)}:1"
        pool = Pool(tmp_path, msgspec.structs.replace(SETTINGS, **{"mark": mark, **settings}))
        pools.append(pool)
        await pool.supervisor.start()
        await pool.ready()
        return pool

    yield start

    for pool in pools:
        await pool.close()
    assert marked() == []
    assert open_fds() == before


@pytest.fixture
async def pool(start_pool: StartPool) -> Pool:
    """One cpu worker."""
    return await start_pool()


@pytest.fixture
async def io_pool(start_pool: StartPool) -> Pool:
    """One io worker."""
    return await start_pool(cpu_workers=0, io_workers=1)
