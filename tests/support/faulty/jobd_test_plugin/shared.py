"""Handlers with settings, a setup, programs and heartbeats."""

# ruff: noqa: T201 - printing is what they are for
import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from jobd.sdk import AsyncContext, Context, handler


class Settings(msgspec.Struct):
    """Of the table `[plugins.jobd-test-plugin]`."""

    journal: str = os.devnull
    """What setups do is written to its end."""
    fail: str = ""
    """A setup fails as long as this file is there."""


def note(config: Settings, what: str) -> None:
    with Path(config.journal).open("a") as journal:
        journal.write(f"{what}\n")


def begin(config: Settings) -> list[str]:
    note(config, f"begun {os.getpid()}")
    print("setting up")
    if config.fail and Path(config.fail).exists():
        raise RuntimeError("not today")
    return []


def setup(config: Settings) -> Iterator[list[str]]:
    yield begin(config)
    note(config, f"cleaned {os.getpid()}")


async def async_setup(config: Settings) -> AsyncIterator[list[str]]:
    shared = begin(config)
    await asyncio.to_thread(note, config, "awaited")
    yield shared
    note(config, f"cleaned {os.getpid()}")


def endless(config: Any) -> None:
    print("setting up")
    threading.Event().wait()


async def async_endless(config: Any) -> None:
    print("setting up")
    await asyncio.Event().wait()


@handler
def config(ctx: Context, args: dict[str, Any]) -> Any:
    """Return the settings as they are."""
    return ctx.config


@handler(config=Settings, setup=setup)
def join(ctx: Context, args: dict[str, Any]) -> Any:
    """Return all who had what is shared before, and itself."""
    ctx.shared.append(ctx.job_id)
    return ctx.shared


@handler(config=Settings, setup=setup)
def join_too(ctx: Context, args: dict[str, Any]) -> Any:
    ctx.shared.append(ctx.job_id)
    return ctx.shared


@handler(config=Settings, setup=async_setup)
async def ajoin(ctx: AsyncContext, args: dict[str, Any]) -> Any:
    ctx.shared.append(ctx.job_id)
    return ctx.shared


@handler(setup=endless)
def never(ctx: Context, args: dict[str, Any]) -> None: ...


@handler(setup=async_endless)
async def anever(ctx: AsyncContext, args: dict[str, Any]) -> None: ...


@handler
def program(ctx: Context, args: dict[str, Any]) -> int:
    """Run a program; each line that it says is told as progress too."""
    return ctx.subprocess(args["argv"], on_line=lambda _, line: ctx.progress(message=line))


@handler
async def aprogram(ctx: AsyncContext, args: dict[str, Any]) -> int:
    return await ctx.subprocess(args["argv"], on_line=lambda _, line: ctx.progress(message=line))


@handler
def beat(ctx: Context, args: dict[str, Any]) -> None:
    """Say that it is alive, until it is told to end."""
    ctx.progress(message="running")
    while True:
        ctx.check_cancelled()
        ctx.heartbeat()


@handler
async def abeat(ctx: AsyncContext, args: dict[str, Any]) -> None:
    ctx.progress(message="running")
    while True:
        ctx.heartbeat()
        await asyncio.to_thread(os.getpid)
