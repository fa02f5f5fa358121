"""A process with one worker of each lane, as a daemon has them: runs what a test asks for.

`python -m jobd.testing.host`; a line on stdin is a Request (the first one: Folders), a line
on stdout its Answer. A process of its own, because whoever has workers collects every orphan
below it, and must not be a test's. Ends when stdin does.

Not here: the test's side (worker.py).
"""

import asyncio
import fcntl
import itertools
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from jobd.domain.catalog import Catalog, HandlerSpec
from jobd.domain.ids import new_token
from jobd.domain.jobs import Artifact, Claim, Progress, Result
from jobd.domain.outcomes import (
    CancelledByRequest,
    Completed,
    Crashed,
    Failed,
    HandlerUnavailable,
    NotStarted,
    Outcome,
    Snoozed,
)
from jobd.pool.catalog import load_catalog
from jobd.pool.supervisor import AttemptLimits, Settings, Supervisor
from jobd.testing.child import PLAN, plan_in, word_in
from jobd.testing.messages import Answer, Folders, Plan, Request, Run, Shown

_TIMEOUT_S = 60.0
_MIB = 1024 * 1024
_LINE_BYTES = 64 * _MIB


class Record:
    """What an attempt did so far."""

    def __init__(self, cancel_at: tuple[str, int | None] | None) -> None:
        self.cancel_at = cancel_at
        self.progress: list[Shown] = []
        self.checkpoints: list[Any] = []
        self.lines: list[str] = []


class Host:
    """The pool of one test, and its listener."""

    def __init__(self, folders: Folders) -> None:
        self._folder = Path(folders.folder)
        self._folders = folders
        self._catalog = Catalog()
        self._numbers = itertools.count(1)
        self._records: dict[str, Record] = defaultdict(lambda: Record(None))
        self._memory_mb: int | None = None
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Look the installed plugins up, and begin to start the workers."""
        os.environ[PLAN] = str(self._folder)
        os.mkfifo(word_in(self._folder))
        # open for both: a worker that waits is never without somebody to give the word
        self._word = os.open(word_in(self._folder), os.O_RDWR)
        lock_fd = os.open(self._folder / "workers.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        mark = f"test.{os.getpid()}:1"
        self._catalog = await load_catalog(mark, lock_fd, config=self._folders.plugins)
        self._pool = Supervisor(
            _settings(self._folders, mark),
            scratch=self._folder / "scratch",
            artifacts=self._folder / "artifacts",
            uploads=self._folder / "uploads",
            listener=self,
            workers_lock_fd=lock_fd,
            limits_of=self._limits_of,
        )
        await self._pool.start()

    async def close(self) -> None:
        """End the workers."""
        await self._pool.close()

    async def answer(self, request: Request) -> Answer:
        """Run an attempt to its end."""
        spec = self._catalog.handlers.get(request.kind)
        if spec is None:
            return Answer(impossible=self._why_not(request.kind))
        self._plan(request)
        self._memory_mb = request.memory_mb
        while True:  # a worker can die, or be replaced, before it takes the job
            claim = self._claim(request, spec)
            self._records[claim.token] = Record(request.cancel_at)
            await self._slot(spec)
            outcome = await self._pool.run(claim)
            record = self._records.pop(claim.token)
            if isinstance(outcome, HandlerUnavailable):
                return Answer(impossible=outcome.message)
            if not isinstance(outcome, NotStarted):
                return Answer(self._run(outcome, record))

    # the pool's listener

    def slots_free(self) -> None:
        """Let a request go on that waits for a worker."""
        self._changed.set()

    def progressed(self, claim: Claim, progress: Progress) -> None:
        """Keep it; cancel the job if this is where that was planned."""
        record = self._records[claim.token]
        record.progress.append(msgspec.convert(progress, Shown, from_attributes=True))
        wanted = record.cancel_at
        if wanted and progress.step == wanted[0] and wanted[1] in (None, progress.step_index):
            record.cancel_at = None
            self._pool.cancel(claim.token)
            os.write(self._word, b".")

    def logged(self, claim: Claim, _stream: str, _at_ms: int, /, *lines: str) -> None:
        """Keep them."""
        self._records[claim.token].lines += lines

    def unavailable(self, kind: str, message: str) -> None:
        """Do nothing: the outcome says it too."""

    async def checkpointed(self, claim: Claim, data: bytes) -> bool:
        """Keep it: it counts as durable."""
        self._records[claim.token].checkpoints.append(msgspec.json.decode(data))
        return True

    def _plan(self, request: Request) -> None:
        plan_in(self._folder).unlink(missing_ok=True)
        at = request.crash_at or request.cancel_at
        if at is not None:
            plan = Plan(*at, crash=request.crash_at is not None)
            plan_in(self._folder).write_bytes(msgspec.json.encode(plan))

    async def _slot(self, spec: HandlerSpec) -> None:
        while not self._pool.free()[spec.lane]:
            self._changed.clear()
            await self._changed.wait()

    def _limits_of(self, kind: str) -> AttemptLimits:
        spec = self._catalog.handlers[kind]
        memory_mb = self._memory_mb or spec.memory_mb
        return AttemptLimits(
            memory_bytes=None if memory_mb is None else memory_mb * _MIB,
            heartbeat_timeout_s=spec.heartbeat_timeout_s,
            setup_timeout_s=spec.setup_timeout_s or AttemptLimits().setup_timeout_s,
        )

    def _why_not(self, kind: str) -> str:
        broken = self._catalog.errors.get(kind)
        if broken is not None:
            return f"{kind} ({broken.distribution}) did not load: {broken.message}"
        near = " or ".join(self._catalog.nearest(kind))
        return f"no installed plugin handles {kind!r}{near and f': did you mean {near}?'}"

    def _claim(self, request: Request, spec: HandlerSpec) -> Claim:
        number = next(self._numbers)
        return Claim(
            seq=number,
            job_id=f"job_{number:032x}",
            token=new_token(),
            kind=request.kind,
            queue=spec.queue,
            lane=spec.lane,
            attempt=request.attempt,
            max_attempts=request.max_attempts,
            timeout_ms=round((request.timeout_s or spec.timeout_s or _TIMEOUT_S) * 1000),
            failures=request.attempt - 1,
            crashes=0,
            interrupted=0,
            released=0,
            snoozes=0,
            args=bytes(request.args),
            metadata=request.metadata,
            traceparent=None,
            checkpoint=None if request.restored is None else bytes(request.restored),
            claimed_at_ms=0,
        )

    def _run(self, outcome: Outcome, record: Record) -> Run:
        known: dict[str, Any] = {
            "progress": record.progress,
            "checkpoints": record.checkpoints,
            "lines": record.lines,
            "evidence": getattr(outcome, "evidence", {}),
            "artifacts": self._paths(getattr(outcome, "artifacts", ())),
        }
        match outcome:
            case Completed():
                summary = outcome.summary and msgspec.structs.astuple(outcome.summary)
                known |= {"partial": outcome.partial, "summary": summary}
                return Run(status="completed", **known, **self._result(outcome.result))
            case Failed(error):
                return Run(
                    status="failed",
                    code=error.code,
                    message=error.message,
                    retryable=error.retryable,
                    failed_step=error.failed_step,
                    retry_in_s=outcome.retry_in_s,
                    **known,
                )
            case Crashed():
                return Run(
                    status="crashed",
                    code=outcome.code,
                    message=outcome.message,
                    retryable=True,
                    failed_step=outcome.failed_step,
                    **known,
                )
            case Snoozed():
                return Run(status="snoozed", snooze_in_s=outcome.in_s, **known)
            case CancelledByRequest():
                return Run(status="cancelled", **known)
        raise TypeError(f"an attempt of a test cannot end as {outcome!r}")

    def _result(self, result: Result | None) -> dict[str, Any]:
        if result is None:
            return {}
        if result.body is not None:
            return {"result": msgspec.json.decode(result.body)}
        path = self._folder / "artifacts" / str(result.path)
        if result.filename is None:
            return {"result": msgspec.json.decode(path.read_bytes())}
        return {"result_file": str(path)}

    def _paths(self, artifacts: tuple[Artifact, ...]) -> dict[str, str]:
        return {one.name: str(self._folder / "artifacts" / one.path) for one in artifacts}


def _settings(folders: Folders, mark: str) -> Settings:
    return Settings(
        cpu_workers=1,
        io_workers=1,
        io_concurrency=1,
        kill_grace_s=1.0,
        allow_paths=folders.allow_paths,
        inline_result_bytes=65536,
        result_bytes=64 * _MIB,
        artifact_bytes=10240 * _MIB,
        log_level="debug",
        mark=mark,
        spare=False,
        plugin_config=folders.plugins,
        program="jobd.testing.child",
    )


async def main() -> None:
    """Serve stdin until it ends."""
    lines = asyncio.StreamReader(limit=_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    host = Host(msgspec.json.decode(await lines.readline(), type=Folders))
    await host.start()
    try:
        while line := await lines.readline():
            answer = await host.answer(msgspec.json.decode(line, type=Request))
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()
    finally:
        await host.close()


if __name__ == "__main__":
    asyncio.run(main())
