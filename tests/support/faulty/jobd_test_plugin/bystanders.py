"""Handlers that behave while others do not: each waits at a gate, and then does a little work.

A gate is a FIFO: closed while somebody holds it open for writing, open when nobody does, for
those who come later too.
"""

import asyncio
import os
from pathlib import Path

import msgspec

from jobd.sdk import AsyncContext, Context, handler


class Errand(msgspec.Struct):
    gate: str
    number: int


@handler(args=Errand, timeout_s=120)
def errand(ctx: Context, args: Errand) -> int:
    fd = os.open(args.gate, os.O_RDONLY | os.O_NONBLOCK)  # blocking, open() waits for a writer
    os.set_blocking(fd, True)
    os.read(fd, 1)
    os.close(fd)
    note = ctx.workdir / "note"
    note.write_text(str(args.number))
    if note.stat().st_mode & 0o600 != 0o600:
        raise PermissionError("nobody but root could read what this job has written")
    Path.cwd()  # raises when it is gone
    return int(note.read_text())


@handler(args=Errand, timeout_s=120)
async def aerrand(ctx: AsyncContext, args: Errand) -> int:
    fd = os.open(args.gate, os.O_RDONLY | os.O_NONBLOCK)
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, gone.set)
    try:
        if not _is_open(fd):
            await gone.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    await asyncio.to_thread((ctx.workdir / "note").write_text, str(args.number))
    return int(await asyncio.to_thread((ctx.workdir / "note").read_text))


def _is_open(fd: int) -> bool:
    try:
        os.read(fd, 1)
    except BlockingIOError:
        return False
    return True
