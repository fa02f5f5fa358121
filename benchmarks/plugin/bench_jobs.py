"""The handlers that the benchmarks run. On PYTHONPATH they are an installed plugin.

They live apart from the test plugins, so that all that a job costs is jobd's.
"""

import json
import os
import threading
import time
from typing import Any

from jobd.sdk import Context, handler

_PATH = os.environ.get("BENCH_FILE")
_MARK = os.open(_PATH, os.O_WRONLY | os.O_APPEND) if _PATH else None


@handler
def noop(_ctx: Context, _args: dict[str, Any]) -> None:
    """Write one byte, so that jobs can be counted from outside."""
    if _MARK is not None:
        os.write(_MARK, b".")


@handler
def mixed(ctx: Context, args: dict[str, Any]) -> None:
    """Be short, or take `seconds` unless cancelled; say in the file `note` when it began."""
    seconds = args.get("seconds", 0)
    if note := args.get("note"):
        line = json.dumps({"at": time.monotonic_ns(), "seconds": seconds, "pid": os.getpid()})
        fd = os.open(note, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        os.write(fd, line.encode() + b"\n")
        os.close(fd)
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        ctx.check_cancelled()
        threading.Event().wait(0.001)
