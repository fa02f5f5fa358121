"""What a handler gets as `ctx`: facts about its job, and how it speaks to the daemon.

`Context` is for a `def`, `AsyncContext` for an `async def`: the same names, but what
waits for the daemon is awaited in the second. Folders are made on first use.

Not here: the way to the daemon (a `Link`, given by the worker or by testing.py); running a
program (running.py).
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from jobd.sdk.artifacts import Artifacts
from jobd.sdk.endings import Cancelled, Discard
from jobd.sdk.files import KEY
from jobd.sdk.link import AsyncLink, Link, Telling
from jobd.sdk.meter import INTERVAL_S, Meter, Place
from jobd.sdk.record import Record
from jobd.sdk.text import shown

MAX_CHECKPOINT_BYTES = 1024 * 1024
_STEP_NAME_CHARS = 200
_LOGGER = logging.getLogger("jobd.job")

Argv = Sequence[str | os.PathLike[str]]
"""A program and its arguments."""
OnLine = Callable[[str, str], bool | None]
"""Takes a stream and a line; see `Context.subprocess`."""


class JobInfo(msgspec.Struct, frozen=True):
    """One attempt, as the worker was told about it."""

    job_id: str
    kind: str
    attempt: int
    max_attempts: int
    deadline: float
    """Seconds since the epoch."""
    metadata: dict[str, str]
    traceparent: str | None
    restored_json: bytes | None
    scratch_dir: str | Path
    artifacts_dir: str | Path
    allow_paths: tuple[str, ...]
    artifact_bytes: int
    files: dict[str, Path] = {}
    """Where the uploads lie that its args name, by id."""
    config: Any = None
    """The table of its distribution, as the handler declared it."""


class _Attempt:
    """What both contexts share."""

    __slots__ = (
        "_info",
        "_link",
        "_log",
        "_meter",
        "_open_steps",
        "_record",
        "_restored",
        "_shared",
        "_waited_s",
    )

    def __init__(
        self, job: JobInfo, link: Telling, *, progress_interval_s: float = INTERVAL_S
    ) -> None:
        self._info = job
        self._link = link
        self._meter = Meter(link.progress, progress_interval_s)
        self._open_steps: list[Place] = []
        self._log: logging.LoggerAdapter[logging.Logger] | None = None
        self._restored: Any = msgspec.UNSET
        self._record = Record(Artifacts(job.artifacts_dir, job.artifact_bytes))
        self._shared: Any = None
        self._waited_s = 0.0

    @property
    def job_id(self) -> str:
        """The job's id: the same in every attempt, so a key for work done elsewhere."""
        return self._info.job_id

    @property
    def kind(self) -> str:
        """The job's kind, the name of the handler's entry point."""
        return self._info.kind

    @property
    def attempt(self) -> int:
        """Which run of the job this is, from 1. Above 1, an earlier one may have done things."""
        return self._info.attempt

    @property
    def max_attempts(self) -> int:
        """How many failed attempts end the job."""
        return self._info.max_attempts

    @property
    def deadline(self) -> float:
        """When this attempt is killed, in seconds since the epoch (compare time.time())."""
        return self._info.deadline + self._waited_s

    @property
    def metadata(self) -> Mapping[str, str]:
        """The labels that the job was submitted with."""
        return MappingProxyType(self._info.metadata)

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context of the submission, to pass on with calls to other services."""
        return self._info.traceparent

    @property
    def config(self) -> Any:
        """The table `[plugins.<distribution>]` of the daemon's settings; not to be changed.

        An instance of the Struct that `@handler(config=…)` names, a dict without one.
        """
        return self._info.config

    @property
    def shared(self) -> Any:
        """What the handler's `setup` gave: the same object for all jobs of a worker."""
        return self._shared

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry job_id, kind and attempt."""
        if self._log is None:
            extra = {"job_id": self.job_id, "kind": self.kind, "attempt": self.attempt}
            self._log = logging.LoggerAdapter(_LOGGER, extra)
        return self._log

    @property
    def workdir(self) -> Path:
        """A private folder for this attempt's temporary files; removed after the attempt."""
        folder = Path(self._info.scratch_dir)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def restored(self) -> Any:
        """What an earlier attempt's last `checkpoint()` stored; None in a fresh start."""
        if self._restored is msgspec.UNSET:
            stored = self._info.restored_json
            self._restored = None if stored is None else msgspec.json.decode(stored)
        return self._restored

    @property
    def cancelled(self) -> bool:
        """Whether the job was cancelled; cheap enough to ask for every item."""
        return self._link.cancelled()

    def progress(
        self,
        pct: float | None = None,
        done: int | None = None,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        """Say how far the attempt is; what is left out stays as it was.

        Without `pct` it is computed from `done` and `total`. It is kept within 0 and 100
        and never goes back within an attempt. Call it as often as is convenient: at most
        ten a second are sent, the first and the end always.
        """
        self._meter.report(pct, done, total, message)

    def heartbeat(self) -> None:
        """Say that the handler is alive, for a kind with `heartbeat_timeout_s`.

        `progress()`, `step()` and `checkpoint()` say so too. Call it as often as is
        convenient: at most ten a second are sent.
        """
        if self._meter.silent():
            self._link.heartbeat()

    @contextmanager
    def step(self, name: str, index: int | None = None, count: int | None = None) -> Iterator[None]:
        """Name what the block does: `with ctx.step("load", 2, 3):`.

        The name shows in the job's progress, `index` of `count` with it. If an exception that
        leaves the block ends the attempt, the name becomes the error's `failed_step`. Steps
        may be nested; the innermost counts.
        """
        name = shown(name, _STEP_NAME_CHARS)
        started_at, started_s = time.time(), time.monotonic()
        self._open_steps.append((name, index, count))
        self._meter.enter(self._open_steps[-1])
        try:
            yield
        except BaseException as exc:
            self._record.step_failed(name, exc)
            raise
        finally:
            self._record.step_ended(name, started_at, time.monotonic() - started_s)
            self._open_steps.pop()
            if self._open_steps:  # else the last one stays in sight until the next begins
                self._meter.place = self._open_steps[-1]

    def artifact(self, name: str) -> Path:
        """Return where to write the file `name`; it is kept with the job if it exists at the end.

        Also when the attempt fails. `name` is one path segment: letters, digits, `.`, `_`
        and `-`, at most 128, not starting with a dot; else ValueError. Return the path from
        the handler to make the file the job's result.
        """
        return self._record.artifacts.path(name)

    def path(self, path: str) -> Path:
        """Return a path of the host that the job named, if the operator allows it.

        It must be absolute and, with every symbolic link followed, lie in a folder of
        `[files] allow_paths`; else Discard with code `path_not_allowed`. It need not exist.
        Open what is returned, not what was given.
        """
        if path.startswith("/") and "\0" not in path:
            real = Path(os.path.realpath(path))
            for folder in self._info.allow_paths:
                if real.is_relative_to(os.path.realpath(folder)):
                    return real
        raise Discard(
            code="path_not_allowed",
            message=f"{shown(path)!r} is not an absolute path below [files] allow_paths.",
        )

    def _file(self, ref: str | Mapping[str, str]) -> Path:
        file_id = ref if isinstance(ref, str) else ref.get(KEY, "")
        path = self._info.files.get(file_id)
        if path is None:
            raise Discard(
                code="file_not_named", message=f"{shown(ref)} is no file that the job's args name."
            )
        if not path.is_file():
            raise Discard(code="input_missing", message=f"{file_id} is not there any more.")
        return path

    def _encoded(self, data: Any) -> bytes:
        encoded = msgspec.json.encode(data)
        if len(encoded) > MAX_CHECKPOINT_BYTES:
            raise ValueError(
                f"a checkpoint holds at most {MAX_CHECKPOINT_BYTES} bytes, not {len(encoded)}: "
                "keep the data in a file or database and the position here"
            )
        return encoded


class Context(_Attempt):
    """The `ctx` of a `def` handler: its job's facts, progress, files, checkpoints."""

    __slots__ = ("_sync_link",)

    def __init__(
        self, job: JobInfo, link: Link, *, progress_interval_s: float = INTERVAL_S
    ) -> None:
        super().__init__(job, link, progress_interval_s=progress_interval_s)
        self._sync_link = link

    def check_cancelled(self) -> None:
        """Raise Cancelled if the job was cancelled. Call it where stopping leaves no mess."""
        if self._link.cancelled():
            raise Cancelled

    def file(self, ref: str | Mapping[str, str]) -> Path:
        """Return the path of an upload that the job's args name, to be read only.

        `ref` is what stands in the args, `{"$file": id}`, or the id. Raises Discard with code
        `file_not_named` for any other file, `input_missing` when it is gone.
        """
        return self._file(ref)

    def checkpoint(self, data: Any) -> None:
        """Store `data` for a later attempt, which finds it in `restored`.

        `data` is anything JSON, at most 1 MiB; it replaces what was stored before and is on
        disk when this returns. Work done elsewhere is not part of it: after a crash the
        checkpoint may be one behind. Raises Cancelled when this attempt no longer owns the
        job, ValueError when the data is too long.
        """
        self._sync_link.checkpoint(self._encoded(data))

    def subprocess(
        self,
        argv: Argv,
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        input: str | bytes | None = None,  # noqa: A002 - as in subprocess.run
        check: bool = True,
        on_line: OnLine | None = None,
    ) -> int:
        """Run a program and return its exit code (-n: signal n ended it).

        The lines of its stdout and stderr go into the job's log as they come; a line for
        which `on_line("stdout" or "stderr", line)` returns True does not. Programs that
        redraw a line end it with a carriage return: that counts as an end. `input` is what
        it reads on stdin, else nothing. It runs in `workdir` unless `cwd` says otherwise,
        and `env` replaces the worker's environment.

        When this returns or raises, the program is dead, and all of its process group: on
        a cancel (Cancelled is raised) or an exception of `on_line` by SIGTERM, and by
        SIGKILL two seconds later. It also dies with the worker. None is started for a job
        that was cancelled: then Cancelled is raised at once.

        Raises subprocess.CalledProcessError, with the last lines as `stdout` and `stderr`,
        when it fails and `check` is true; Discard with code `program_missing` when there is
        no such program.
        """
        from jobd.sdk import program, running  # noqa: PLC0415 - most handlers run none

        call = program.Call(argv, cwd or self.workdir, env, input, on_line)
        return running.run(self._sync_link, call).code(check=check)


class AsyncContext(_Attempt):
    """The `ctx` of an `async def` handler: as `Context`, with `await ctx.checkpoint(…)`."""

    __slots__ = ("_async_link",)

    def __init__(
        self, job: JobInfo, link: AsyncLink, *, progress_interval_s: float = INTERVAL_S
    ) -> None:
        super().__init__(job, link, progress_interval_s=progress_interval_s)
        self._async_link = link

    def check_cancelled(self) -> None:
        """Raise asyncio.CancelledError if the job was cancelled.

        An await raises it too, so this is only for long stretches without one.
        """
        if self._link.cancelled():
            import asyncio  # noqa: PLC0415 - a `def` handler's worker never needs it

            raise asyncio.CancelledError

    async def file(self, ref: str | Mapping[str, str]) -> Path:
        """Return the path of an upload that the job's args name, to be read only.

        `ref` is what stands in the args, `{"$file": id}`, or the id. Raises Discard with code
        `file_not_named` for any other file, `input_missing` when it is gone.
        """
        return self._file(ref)

    async def checkpoint(self, data: Any) -> None:
        """Store `data` for a later attempt, which finds it in `restored`.

        `data` is anything JSON, at most 1 MiB; it replaces what was stored before and is on
        disk when this returns. Work done elsewhere is not part of it: after a crash the
        checkpoint may be one behind. Raises asyncio.CancelledError when this attempt no
        longer owns the job, ValueError when the data is too long.
        """
        await self._async_link.checkpoint(self._encoded(data))

    async def subprocess(
        self,
        argv: Argv,
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        input: str | bytes | None = None,  # noqa: A002 - as in subprocess.run
        check: bool = True,
        on_line: OnLine | None = None,
    ) -> int:
        """Run a program and return its exit code (-n: signal n ended it).

        As `Context.subprocess`; the loop's other jobs go on meanwhile. `on_line` is a plain
        function, called in the handler's task, so it must not block.
        """
        from jobd.sdk import async_running, program  # noqa: PLC0415 - most handlers run none

        call = program.Call(argv, cwd or self.workdir, env, input, on_line)
        return (await async_running.run(call)).code(check=check)


def share(ctx: Context | AsyncContext, shared: object, waited_s: float) -> None:
    """Give what the setup gave, and move the deadline by the time it took: for execution.py."""
    ctx._shared = shared  # noqa: SLF001 - the one door to it
    ctx._waited_s = waited_s  # noqa: SLF001


def record_of(ctx: Context | AsyncContext) -> Record:
    """Return what the attempt has left so far: for execution.py, not for handlers."""
    return ctx._record  # noqa: SLF001 - the one door to it
