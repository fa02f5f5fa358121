"""`def` handlers that behave."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from jobd.sdk import Cancelled, Context, Discard, Partial, Retry, Snooze, handler


class Seconds(msgspec.Struct):
    seconds: float


@handler
def echo(ctx: Context, args: dict[str, Any]) -> Any:
    """Return the args.

    A second paragraph, which the catalogue leaves out.
    """
    return args


@handler(args=Seconds, queue="slow", timeout_s=100, max_attempts=2)
def sleep(ctx: Context, args: Seconds) -> None:
    ctx.progress(message="running")
    threading.Event().wait(args.seconds)


@handler
def progress(ctx: Context, args: dict[str, Any]) -> None:
    ctx.progress(done=1, total=4, message="one")
    with ctx.step("second", 2, 2):
        ctx.progress(pct=100)


@handler
def checkpoint(ctx: Context, args: dict[str, Any]) -> Any:
    if ctx.restored is None:
        ctx.checkpoint({"row": 7})
    return ctx.restored


@handler
def crowd(ctx: Context, args: dict[str, Any]) -> None:
    """Checkpoint while threads ask, and say, and checkpoint as well."""

    def one() -> None:
        for row in range(50):
            ctx.progress(done=row)
            assert not ctx.cancelled
            ctx.checkpoint(row)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    one()
    for thread in threads:
        thread.join()


@handler
def artifact(ctx: Context, args: dict[str, Any]) -> Path:
    ctx.artifact("notes.txt").write_text("beside")
    table = ctx.artifact("table.csv")
    table.write_text("a,b\n")
    return table


@handler
def big(ctx: Context, args: dict[str, Any]) -> str:
    return "x" * int(args["bytes"])


@handler
def partial(ctx: Context, args: dict[str, Any]) -> Partial:
    return Partial("some", total=3, succeeded=2, failed=1)


@handler
def scratch(ctx: Context, args: dict[str, Any]) -> str:
    (ctx.workdir / "temporary").write_text("x")
    return str(ctx.workdir)


@handler
def process(ctx: Context, args: dict[str, Any]) -> Any:
    """Say how the worker's process was set up."""
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "oom_score_adj": int(Path("/proc/self/oom_score_adj").read_text()),
        "environ": dict(os.environ),
        "stdin": str(Path("/proc/self/fd/0").readlink()),
        "threads": threading.active_count(),
        "inheritable": [fd for fd in range(3, 64) if _inheritable(fd)],
    }


@handler
def raise_(ctx: Context, args: dict[str, Any]) -> None:
    with ctx.step("break"):
        raise RuntimeError("as planned")


@handler
def retry(ctx: Context, args: dict[str, Any]) -> None:
    raise Retry(in_s=30, code="rate_limited", message="later")


@handler
def discard(ctx: Context, args: dict[str, Any]) -> None:
    raise Discard(code="source_not_found", message="never")


@handler
def snooze(ctx: Context, args: dict[str, Any]) -> None:
    raise Snooze(5)


@handler
def cancelled(ctx: Context, args: dict[str, Any]) -> None:
    raise Cancelled


def _inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


class Gate(msgspec.Struct):
    fifo: str


@handler(args=Gate)
def gate(ctx: Context, args: Gate) -> str:
    """Wait until somebody has written to the FIFO and closed it."""
    return Path(args.fifo).read_text()


class Walk(msgspec.Struct):
    fifo: str
    steps: int


@handler(args=Walk)
def walk(ctx: Context, args: Walk) -> int:
    """Take a step for every byte that is written to the FIFO, and tell of it in every way."""
    with Path(args.fifo).open("rb", buffering=0) as fifo:
        for number in range(1, args.steps + 1):
            fifo.read(1)
            sys.stdout.write(f"step {number}\n")
            ctx.progress(done=number, total=args.steps)
            with ctx.step("walk", number, args.steps):  # is told at once, progress perhaps not
                pass
    return args.steps
