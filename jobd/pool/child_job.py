"""What both lanes do with a job: take it, find its handler, report its end."""

import contextlib
import os
import resource
import socket
import time
from pathlib import Path
from typing import Any

import msgspec

from jobd.domain.catalog import Lane
from jobd.pool import plugins
from jobd.pool.child_channel import Channel
from jobd.pool.protocol import (
    MAX_JOB_MESSAGE_BYTES,
    Finished,
    Hello,
    Job,
    JobFile,
    SettingUp,
    SetUp,
)
from jobd.sdk.context import JobInfo
from jobd.sdk.execution import ResultLimits
from jobd.sdk.files import names_any, uploaded
from jobd.sdk.outcome import Ended, Error

_MESSAGES: msgspec.msgpack.Decoder[Job | JobFile] = msgspec.msgpack.Decoder(Job | JobFile)
_JOBS: msgspec.msgpack.Decoder[Job] = msgspec.msgpack.Decoder(Job)

_MESSAGE = memoryview(bytearray(MAX_JOB_MESSAGE_BYTES))

_MAX_INLINE_BYTES = 8 * 1024 * 1024
"""A reply has to fit into a frame, whatever the settings say."""
_TRIED: set[str] = set()
"""Kinds whose import this process has begun."""
_PEAK_FROM_S = 0.005
"""Reading the peak costs as much as a small job; a shorter one has no time to grow."""
_GROWS_FROM_S = 0.0005
"""In less an attempt cannot take memory that is worth a system call of the next one."""
_CLOSED_BY_A_JOB = contextlib.suppress(OSError)
_SPARE_FDS = 100
_LEAKS_FROM_S = 0.0005
_LOOK_EVERY = 50
"""A shorter job opens few descriptors: so many such jobs leave some until the next look."""


def take(jobs: socket.socket, flags: int = 0) -> Job | None:
    """Take the next job: from here on it has started. None when no more will come."""
    size = jobs.recv_into(_MESSAGE, 0, flags)
    if not size:
        return None
    job = _MESSAGES.decode(_MESSAGE[:size])
    return job if isinstance(job, Job) else _JOBS.decode(Path(job.path).read_bytes())


def handler_for(job: Job, lane: Lane, channel: Channel) -> plugins.Handler:
    """Import the job's handler; plugins.Unavailable if it cannot run in this lane.

    The first import counts as setup: it takes nothing of the attempt's own time, and is no
    stall of the loop, which it keeps.
    """
    first = job.kind not in _TRIED
    if first:
        _TRIED.add(job.kind)
        channel.send(SettingUp(job.token))
    try:
        handler = plugins.load(job.kind)
    finally:
        if first:
            channel.send(SetUp(job.token))
    if handler.lane != lane:
        raise plugins.Unavailable(
            f"It belongs to the {handler.lane} lane since it was last installed: restart jobd."
        )
    return handler


def unavailable(job: Job, reason: plugins.Unavailable) -> Finished:
    """Return the end of a job whose handler cannot run."""
    error = Error("handler_unavailable", str(reason), retryable=True)
    return Finished(job.token, Ended("failed", error=error))


def info(job: Job, hello: Hello, config: object) -> JobInfo:
    """Return what the job's context shows."""
    return JobInfo(
        job_id=job.job_id,
        kind=job.kind,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        deadline=time.time() + job.timeout_s,
        metadata=job.metadata,
        traceparent=job.traceparent,
        restored_json=job.restored,
        scratch_dir=job.scratch_dir,
        artifacts_dir=job.artifacts_dir,
        allow_paths=hello.allow_paths,
        artifact_bytes=hello.artifact_bytes,
        files=uploaded(job.args, Path(hello.uploads_dir)) if names_any(job.args) else {},
        config=config,
    )


def limits(hello: Hello) -> ResultLimits:
    """Return how long results may be."""
    return ResultLimits(min(hello.inline_result_bytes, _MAX_INLINE_BYTES), hello.result_bytes)


def report(channel: Channel, finished: Finished) -> None:
    """Send how a job ended; that it cannot be sent is an end as well."""
    try:
        channel.send(finished)
    except ValueError as exc:
        error = Error("result_too_large", f"The report cannot be sent: {exc}", retryable=False)
        channel.send(msgspec.structs.replace(finished, ended=Ended("failed", error=error)))


class Usage:
    """What a cpu worker's attempt costs: CPU time, children included, and its peak memory."""

    def __init__(self) -> None:
        self._status = os.open("/proc/self/status", os.O_RDONLY)
        self._clear: int | None = None
        with contextlib.suppress(OSError):  # some kernels are built without it
            self._clear = os.open("/proc/self/clear_refs", os.O_WRONLY)
        self._cpu_s = self._helpers_s = 0.0
        self._grown = True
        """Whether the peak may be an earlier attempt's, which a short one has no time to raise."""

    def begin(self) -> None:
        """Start to measure an attempt."""
        self._cpu_s = time.process_time() + self._helpers_s
        if self._grown and self._clear is not None:
            os.pwrite(self._clear, b"5", 0)  # the peak begins anew

    def of(self, duration_s: float) -> dict[str, Any]:
        """Return what the attempt since begin() used."""
        self._grown = duration_s >= _GROWS_FROM_S
        helpers = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._helpers_s = helpers.ru_utime + helpers.ru_stime
        cpu_s = time.process_time() + self._helpers_s
        usage: dict[str, Any] = {"cpu_seconds": round(cpu_s - self._cpu_s, 6)}
        usage["worker_cpu_seconds"] = cpu_s  # from there the daemon counts for one that dies
        if self._clear is not None and duration_s >= _PEAK_FROM_S:
            status = os.pread(self._status, 4096, 0)
            usage["peak_rss_bytes"] = int(status.partition(b"VmHWM:")[2].split()[0]) * 1024
        return usage


class Ground:
    """What every job of a cpu worker finds and may change: folder, umask, free descriptors."""

    def __init__(self) -> None:
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._folder = os.open(".", os.O_PATH)
        self._jobs = 0

    def restore(self) -> None:
        """Undo what an earlier job did to the folder and the umask."""
        os.umask(self._umask)
        with _CLOSED_BY_A_JOB:
            os.fchdir(self._folder)

    def is_worn(self, duration_s: float) -> bool:
        """Whether hardly a descriptor is left for the next job, after one of this duration.

        Looks after small jobs only now and then: it costs a good part of such a job.
        """
        self._jobs += 1
        if duration_s < _LEAKS_FROM_S and self._jobs % _LOOK_EVERY:
            return False
        try:
            lowest = os.dup(self._folder)
        except OSError:
            return True
        os.close(lowest)
        return lowest + _SPARE_FDS > resource.getrlimit(resource.RLIMIT_NOFILE)[0]
