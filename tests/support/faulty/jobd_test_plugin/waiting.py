"""`async def` handlers."""

import asyncio
import contextlib
import ctypes
from typing import Any

from jobd.sdk import AsyncContext, handler


@handler
async def echo(ctx: AsyncContext, args: dict[str, Any]) -> Any:
    return args


@handler
async def sleep(ctx: AsyncContext, args: dict[str, Any]) -> None:
    ctx.progress(message="running")
    await asyncio.Event().wait()


@handler
async def checkpoint(ctx: AsyncContext, args: dict[str, Any]) -> Any:
    if ctx.restored is None:
        await asyncio.gather(*(ctx.checkpoint({"row": row}) for row in (1, 2, 3)))
    return ctx.restored


@handler
async def block(ctx: AsyncContext, args: dict[str, Any]) -> None:
    ctx.progress(message="running")
    while True:
        pass


@handler
async def ignore(ctx: AsyncContext, args: dict[str, Any]) -> None:
    ctx.progress(message="running")
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


@handler
async def segfault(ctx: AsyncContext, args: dict[str, Any]) -> None:
    async def fall() -> None:
        ctypes.string_at(0)

    await asyncio.create_task(fall())
