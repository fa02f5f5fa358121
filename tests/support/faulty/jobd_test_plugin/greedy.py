"""Handlers that use much memory, or seem to; that are silent, or slow to begin."""

import mmap
import os
import subprocess
import sys
import threading
from typing import Any

from jobd.sdk import AsyncContext, Context, Discard, handler

_NO_RESERVE = 0x4000
_HOG = "import sys, threading; kept = b'x' * (int(sys.argv[1]) << 20); threading.Event().wait()"


@handler
def hog(ctx: Context, args: dict[str, Any]) -> None:
    """Take so many MiB in a step of its own, and stay."""
    with ctx.step("grow"):
        kept = b"x" * (int(args["mb"]) << 20)
        ctx.progress(message="running")
        threading.Event().wait()
    del kept


@handler
def litter(ctx: Context, args: dict[str, Any]) -> None:
    """Have a process take so many MiB that is out of the worker's session, and stay."""
    subprocess.Popen([sys.executable, "-c", _HOG, str(args["mb"])], start_new_session=True)
    threading.Event().wait()


@handler
def reserve(ctx: Context, args: dict[str, Any]) -> None:
    """Map 10 GiB, touch nothing, and stay for a while."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    with mmap.mmap(-1, 10 << 30, flags=flags):
        ctx.progress(message="running")
        threading.Event().wait(float(args["seconds"]))


@handler
def keep(ctx: Context, args: dict[str, Any]) -> None:
    """Leave so many MiB in the worker."""
    _KEPT.append(b"x" * (int(args["mb"]) << 20))


_KEPT: list[bytes] = []


@handler
def chat(ctx: Context, args: dict[str, Any]) -> None:
    """Say something every so often."""
    for turn in range(int(args["turns"])):
        ctx.progress(done=turn)
        threading.Event().wait(float(args["seconds"]))


def _never(config: Any) -> None:
    threading.Event().wait()


@handler(setup=_never)
def stuck(ctx: Context, args: dict[str, Any]) -> None:
    """Never come to begin."""


def _slow(config: Any) -> str:
    threading.Event().wait(0.6)
    return "ready"


@handler(setup=_slow)
def slow(ctx: Context, args: dict[str, Any]) -> Any:
    """Begin late."""
    return ctx.shared


async def _anever(config: Any) -> None:
    import asyncio  # noqa: PLC0415 - the cpu lane's workers import this module too

    await asyncio.Event().wait()


@handler(setup=_anever)
async def astuck(ctx: AsyncContext, args: dict[str, Any]) -> None:
    """Never come to begin."""


@handler
def pretend(ctx: Context, args: dict[str, Any]) -> None:
    """Fail with a code that is not a handler's to use."""
    raise Discard(code="handler_unavailable", message="as it were")


@handler
def stumble(ctx: Context, args: dict[str, Any]) -> None:
    """End the worker in the second step."""
    with ctx.step("first", 1, 2):
        pass
    with ctx.step("second", 2, 2):
        os._exit(3)
