"""A handler that writes down when it runs, for a checker that reads nothing else of jobd."""

import fcntl
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from jobd.sdk import Backoff, Context, Discard, Retry, handler

LONG = "this will take long"


class Witnessed(msgspec.Struct):
    """Where to write, in whose name, how long to take, and how often to fail first.

    The first run takes `first_s` more, and says so.
    """

    folder: str
    key: str
    seconds: float
    failures: int
    first_s: float = 0.0


class Brief(Witnessed):
    """The same; the first run of one that `dies` takes its worker with it."""

    dies: bool = False


class Witness:
    """The file of one job: its open description holds the lock that dies with the process."""

    def __init__(self, ctx: Context, args: Witnessed) -> None:
        self._said = {"who": f"pid-{os.getpid()}", "job_id": ctx.job_id, "key": args.key}
        path = Path(args.folder) / f"run-{ctx.job_id}.jsonl"
        self._fd = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def lock(self) -> bool:
        """Whether no other run of the job is alive."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def say(self, op: str, **more: Any) -> None:
        line = {"op": op, "at": time.monotonic_ns(), **self._said, **more}
        os.write(self._fd, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        os.close(self._fd)


@handler(args=Witnessed, max_attempts=3, backoff=Backoff(base_s=0.01, cap_s=0.05))
def history(ctx: Context, args: Witnessed) -> int:
    """Run for a while under the lock of the job, after a checkpoint."""
    witness = Witness(ctx, args)
    try:
        if not witness.lock():
            witness.say("overlap")
            raise Discard(code="overlap")
        _run(ctx, args, witness)
    finally:
        witness.close()
    return ctx.attempt


@handler(args=Brief, max_attempts=3, backoff=Backoff(base_s=0.01, cap_s=0.05))
def brief(ctx: Context, args: Brief) -> int:
    """Run under the lock of the job, without a checkpoint: short enough to be at hand."""
    witness = Witness(ctx, args)
    try:
        if not witness.lock():
            witness.say("overlap")
            raise Discard(code="overlap")
        run = os.urandom(8).hex()
        witness.say("start", run=run, attempt=ctx.attempt)
        if args.dies and ctx.attempt == 1:
            signal.raise_signal(signal.SIGKILL)
        threading.Event().wait(args.seconds)
        witness.say("end", run=run)
    finally:
        witness.close()
    return ctx.attempt


def _run(ctx: Context, args: Witnessed, witness: Witness) -> None:
    run = os.urandom(8).hex()
    witness.say("start", run=run, attempt=ctx.attempt)
    try:
        ctx.checkpoint(ctx.attempt)
        if args.first_s and ctx.attempt == 1:
            ctx.progress(message=LONG)
            threading.Event().wait(args.first_s)
        threading.Event().wait(args.seconds)  # a worker without a daemon is not told
        if ctx.attempt <= args.failures:
            raise Retry(code="as_planned")
    finally:
        witness.say("end", run=run)
