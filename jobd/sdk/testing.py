"""`run_handler`: run a handler as a worker would, in this process, and see all that it did.

    from jobd.sdk.testing import run_handler
    outcome = run_handler(my_handler, {"source": "/data/a.csv"})
    assert outcome.status == "completed"

Invariant: args and results pass through JSON and the same code as in a worker
(execution.py), so what fails there fails here. Not here: time limits and crashes; a
handler that ends the process ends the test.
"""

import functools
import logging
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from jobd.sdk.context import AsyncContext, Context, JobInfo
from jobd.sdk.execution import ResultLimits, run_async, run_sync
from jobd.sdk.files import named_files
from jobd.sdk.handlers import is_async, options_of
from jobd.sdk.outcome import Ended, Error
from jobd.sdk.setups import Setups

_TIMEOUT_S = 3600.0
_LIMITS = ResultLimits(inline_result_bytes=65536, result_bytes=67108864)
_ARTIFACT_BYTES = 10737418240


class Shown(msgspec.Struct, frozen=True):
    """One progress report, as the job's document would show it; None means not known."""

    pct: float | None = None
    done: int | None = None
    total: int | None = None
    step: str | None = None
    step_index: int | None = None
    step_count: int | None = None
    message: str | None = None


class Outcome(msgspec.Struct, weakref=True):
    """How a handler ended and what it did on the way. Its files live as long as this object."""

    status: str
    """completed, failed, snoozed or cancelled."""
    result: Any
    """What was returned, after a trip through JSON; a Path when a file is the result."""
    error: Error | None
    """With status failed: code, message, retryable, failed_step, traceback."""
    partial: bool
    summary: tuple[int, int, int] | None
    """With partial: total, succeeded, failed."""
    retry_in_s: float | None
    snooze_in_s: float | None
    progress: list[Shown]
    """Every progress report; a worker leaves some out."""
    checkpoints: list[Any]
    """What was passed to checkpoint(), after a trip through JSON; give the last to `restored`."""
    logs: list[str]
    """The messages logged through ctx.log, at any level."""
    artifacts: dict[str, Path]
    steps: tuple[tuple[str, float, float], ...]
    """(name, began at, duration in seconds)."""


class _Seen:
    """Stands where the worker's connection to the daemon is."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.stored: list[bytes] = []

    def progress(self, **known: Any) -> None:
        self.shown.append(Shown(**known))

    def heartbeat(self) -> None:
        """Nobody waits for it."""

    def cancelled(self) -> bool:
        return False


class _Link(_Seen):
    def held(self) -> nullcontext[None]:
        return nullcontext()

    def checkpoint(self, data: bytes) -> None:
        self.stored.append(data)


class _AsyncLink(_Seen):
    async def checkpoint(self, data: bytes) -> None:
        self.stored.append(data)


def run_handler(
    fn: Callable[..., Any],
    args: object,
    *,
    attempt: int = 1,
    restored: object = None,
    metadata: Mapping[str, str] | None = None,
    allow_paths: Sequence[str] = ("/",),
    files: Mapping[str, Path] | None = None,
    config: object = None,
) -> Outcome:
    """Run a handler, `def` or `async def`, once, and return how it ended; never raises for it.

    `args` is the Struct or a dict. `restored` is what an earlier attempt checkpointed. `files`
    are the uploads by id; as in a worker, the handler gets those that the args name. It gets
    real folders for its files. `config` is the table `[plugins.<distribution>]`, a dict or
    the Struct; msgspec.ValidationError if it does not fit what the handler declared. A
    `setup` is run before and cleaned up after. Not callable from a running event loop.
    """
    folder = Path(tempfile.mkdtemp(prefix="run_handler."))
    args_json = msgspec.json.encode(args)
    named = named_files(args_json)
    job = JobInfo(
        job_id=f"job_{0:032x}",
        kind="test",
        attempt=attempt,
        max_attempts=max(attempt, 3),
        deadline=time.time() + _TIMEOUT_S,
        metadata=dict(metadata or {}),
        traceparent=None,
        restored_json=None if restored is None else msgspec.json.encode(restored),
        scratch_dir=str(folder / "scratch"),
        artifacts_dir=str(folder / "artifacts"),
        allow_paths=tuple(allow_paths),
        artifact_bytes=_ARTIFACT_BYTES,
        files={file_id: path for file_id, path in (files or {}).items() if file_id in named},
        config=_config(fn, {} if config is None else config),
    )
    with _captured_logs() as logs:
        link, ended = _run(fn, job, args_json)
    shutil.rmtree(job.scratch_dir, ignore_errors=True)
    outcome = _outcome(ended, link, logs)
    weakref.finalize(outcome, shutil.rmtree, folder, ignore_errors=True)
    return outcome


def _config(fn: Callable[..., Any], table: object) -> Any:
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(table))  # as it comes to a worker
    wanted = options_of(fn).config
    return plain if wanted is None else msgspec.convert(plain, wanted)


def _run(fn: Callable[..., Any], job: JobInfo, args_json: bytes) -> tuple[_Seen, Ended]:
    if is_async(fn):
        import asyncio  # noqa: PLC0415 - only for async handlers

        return asyncio.run(_run_async(fn, job, args_json))
    link = _Link()
    ctx = Context(job, link, progress_interval_s=0)
    setup = options_of(fn).setup
    with closing(Setups()) as setups:
        ready = setup and functools.partial(setups.get, setup, job.config)
        return link, run_sync(fn, ctx, args_json, result_limits=_LIMITS, setup=ready)


async def _run_async(fn: Callable[..., Any], job: JobInfo, args_json: bytes) -> tuple[_Seen, Ended]:
    from jobd.sdk.async_setups import AsyncSetups  # noqa: PLC0415 - it imports asyncio

    link = _AsyncLink()
    ctx = AsyncContext(job, link, progress_interval_s=0)
    setup = options_of(fn).setup
    setups = AsyncSetups()
    ready = setup and functools.partial(setups.get, setup, job.config)
    ended = await run_async(fn, ctx, args_json, result_limits=_LIMITS, setup=ready)
    await setups.close()
    return link, ended


def _outcome(ended: Ended, link: _Seen, logs: list[str]) -> Outcome:
    paths = {left.name: Path(left.path) for left in ended.artifacts}
    return Outcome(
        status=ended.status,
        result=_result(ended, paths),
        error=ended.error,
        partial=ended.summary is not None,
        summary=ended.summary,
        retry_in_s=ended.retry_in_s,
        snooze_in_s=ended.snooze_in_s,
        progress=link.shown,
        checkpoints=[msgspec.json.decode(data) for data in link.stored],
        logs=logs,
        artifacts={name: path for name, path in paths.items() if not name.startswith(".")},
        steps=ended.steps,
    )


def _result(ended: Ended, paths: dict[str, Path]) -> Any:
    if ended.result_artifact is None:
        return None if ended.result_json is None else msgspec.json.decode(ended.result_json)
    path = paths[ended.result_artifact]
    if ended.result_artifact.startswith("."):
        return msgspec.json.decode(path.read_bytes())
    return path


class _Messages(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def _captured_logs() -> Iterator[list[str]]:
    logger, capture = logging.getLogger("jobd.job"), _Messages()
    level = logger.level
    logger.addHandler(capture)
    logger.setLevel(logging.DEBUG)
    try:
        yield capture.messages
    finally:
        logger.setLevel(level)
        logger.removeHandler(capture)
