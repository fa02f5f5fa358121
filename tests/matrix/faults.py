"""The faults: what each job does to its worker, what its end has to be called, and by when.

Not here: how they are committed (tests/support/faulty), what is looked at (matrix.py).
"""

from typing import Any, Literal, NamedTuple

LIMIT_S = 2.0
"""The time limit of a faulty job, unless it says otherwise."""
MISSING_S = 1.0
"""How long the daemon waits for a handler that cannot be imported."""
STALL_S = 10.0
"""How long the loop of an io worker may stand still: no setting says otherwise."""


class Fault(NamedTuple):
    """One row of the matrix."""

    name: str
    kind: str
    code: str
    """The error's, or `completed`."""
    args: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    lane: Literal["cpu", "io"] = "cpu"
    timeout_s: float = LIMIT_S
    limit_s: float = LIMIT_S
    """What has to end it: its time limit if nothing else does."""


FAULTS = (
    Fault("segfault", "test.segfault", "worker_crashed"),
    Fault("abort", "test.abort", "worker_crashed"),
    Fault("os._exit(0)", "test.exit0", "worker_crashed"),
    Fault("os._exit(1)", "test.exit1", "worker_crashed"),
    Fault("SIGKILL", "test.kill", "worker_crashed"),
    Fault("SIGSTOP to itself", "test.stop", "timeout"),
    Fault("endless loop", "test.spin", "timeout"),
    Fault("GIL held by PyDLL(None).sleep(60)", "test.gil", "timeout"),
    Fault("the same, and SIGTERM blocked", "test.deaf", "timeout"),
    Fault("GIL held by pow(3, 10**8)", "test.power", "timeout"),
    Fault("SIGTERM ignored", "test.ignore_term", "timeout"),
    Fault("fork bomb of 50", "test.bomb", "timeout"),
    Fault("fork, and both return", "test.fork", "completed"),
    Fault("grandchildren after setsid, setpgid", "test.escape", "timeout"),
    Fault("1 GiB of stdout", "test.flood", "completed", {"mb": 1024}, timeout_s=30, limit_s=30),
    Fault("64 MiB result", "test.big", "result_too_large", {"bytes": 64 << 20}),
    Fault("control socket closed", "test.close", "worker_crashed"),
    Fault("garbage on the control socket", "test.garbage", "worker_crashed"),
    Fault("memory hog", "test.gorge", "memory_limit"),
    Fault("10 GiB mapped, untouched", "test.sparse", "completed"),
    Fault("import error", "test.gone", "handler_missing", limit_s=MISSING_S),
    Fault("sys.exit", "test.leave", "handler_error"),
    Fault("KeyboardInterrupt", "test.interrupt", "handler_error"),
    Fault("thread left running", "test.thread", "completed"),
    Fault("descriptor leak", "test.leak", "completed"),
    Fault("no descriptor left", "test.exhaust", "completed"),
    Fault("exception that cannot be printed", "test.unprintable", "handler_error"),
    Fault("result that is no JSON", "test.no_json", "result_invalid"),
    Fault("chdir and umask", "test.astray", "completed"),
    Fault("async: segfault", "test.asegfault", "worker_crashed", lane="io"),
    Fault("async: deaf to its cancel", "test.aignore", "timeout", lane="io"),
    Fault("async: loop blocked over the time limit", "test.ablock", "timeout", lane="io"),
    Fault(
        "async: loop blocked within it",
        "test.ajam",
        "loop_blocked",
        lane="io",
        timeout_s=60,
        limit_s=STALL_S,
    ),
)
