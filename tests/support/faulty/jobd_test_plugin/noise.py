"""Handlers that write: by Python, by C, by a descriptor, by other processes."""

# ruff: noqa: T201 - printing is what they are for
import asyncio
import ctypes
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from jobd.sdk import AsyncContext, Context, handler


@handler
def say(ctx: Context, args: dict[str, Any]) -> None:
    """Write the text in every way there is, in this order."""
    text = args["text"]
    print(f"{text} print")
    os.write(1, f"{text} descriptor\n".encode())
    libc = ctypes.CDLL(None)
    libc.puts(f"{text} c".encode())
    script = f"echo '{text} program'; echo '{text} complaint' >&2"
    subprocess.run(["/bin/sh", "-c", script], check=True)
    ctx.log.info("%s ctx", text)
    logging.getLogger("anybody").warning("%s\nsecond line", text)
    logging.getLogger("anybody").debug("unseen")
    print(f"{text} error", file=sys.stderr)
    libc.printf(f"{text} c without an end, ".encode())
    libc.fflush(None)
    print("nor python", end="")


@handler
def utter(ctx: Context, args: dict[str, Any]) -> None:
    """Write bytes as they are, again and again."""
    data = bytes.fromhex(args["hex"])
    for _ in range(args["times"]):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(1, rest) :]


@handler
def announce(ctx: Context, args: dict[str, Any]) -> None:
    """Write a line in each way that is not at once by nature, and stay."""
    print("python")
    ctypes.CDLL(None).puts(b"c")
    ctx.progress(message="running")
    while True:
        ctx.check_cancelled()


@handler
def gag(ctx: Context, args: dict[str, Any]) -> None:
    """Do what takes a process's voice away."""
    print("before")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(2)
    sys.stdout.close()
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - left to the next job
    ctx.log.info("still heard")


@handler
def die(ctx: Context, args: dict[str, Any]) -> None:
    print("last words", end="")
    sys.stdout.flush()
    ctypes.string_at(0)


@handler
def spawn(ctx: Context, args: dict[str, Any]) -> None:
    """Fork, and have the copy write."""
    pid = os.fork()
    if pid == 0:
        print("child")
        ctx.log.info("child")
        os._exit(0)
    os.waitpid(pid, 0)


@handler
async def asay(ctx: AsyncContext, args: dict[str, Any]) -> None:
    """Write in turns with others, whole lines and half ones."""
    name = args["name"]
    for turn in range(3):
        print(f"{name} {turn}")
        print(name, end="")
        await ctx.checkpoint(turn)
        print(f" half {turn}")
        await asyncio.to_thread(print, f"{name} thread {turn}", file=sys.stderr)
        ctx.log.info("%s %d", name, turn)


@handler
async def araw(ctx: AsyncContext, args: dict[str, Any]) -> None:
    """Write past Python, at its start and at its end."""
    os.write(1, b"raw begin\n")
    await ctx.checkpoint(0)
    os.write(1, b"raw end\n")


@handler
def read(ctx: Context, args: dict[str, Any]) -> str:
    """Return what is in the uploaded file."""
    return ctx.file(args.get("ref", args["source"])).read_text()


@handler
async def aread(ctx: AsyncContext, args: dict[str, Any]) -> str:
    """Return what is in the uploaded file."""
    return (await ctx.file(args["source"])).read_text()
