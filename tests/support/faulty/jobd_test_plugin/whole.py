"""Handlers that behave, and use all that the SDK has, once as `def` and once as `async def`."""

import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from jobd.sdk import (
    AsyncContext,
    Backoff,
    Cancelled,
    Context,
    Discard,
    Partial,
    Retry,
    Snooze,
    handler,
)


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be done."""

    steps: list[str]
    file: dict[str, str] | None = None
    path: str | None = None
    then: str = "return"


class Colours(msgspec.Struct):
    """The plugin's settings."""

    colour: str = "blue"


def opened(config: Colours) -> Iterator[list[str]]:
    """Give what the attempts of a worker share."""
    yield [config.colour]


async def aopened(config: Colours) -> AsyncIterator[list[str]]:
    """Give what the attempts of a worker share."""
    yield [config.colour]


@handler(
    args=Whole,
    queue="default",
    timeout_s=100,
    max_attempts=4,
    backoff=Backoff(base_s=1, cap_s=10),
    heartbeat_timeout_s=50,
    memory_mb=512,
    config=Colours,
    setup=opened,
    setup_timeout_s=20,
    programs={"sh": "dash"},
)
def whole(ctx: Context, args: Whole) -> dict[str, Any] | Partial:
    """Take the steps that are left, and tell what was seen on the way."""
    done: list[str] = list(ctx.restored or [])
    for index, name in enumerate(args.steps[len(done) :], start=len(done) + 1):
        with ctx.step(name, index, len(args.steps)):
            ctx.check_cancelled()
            ctx.log.info("in %s", name)
            done.append(name)
            ctx.checkpoint(done)
            ctx.progress(pct=None, done=index, total=len(args.steps), message=name)
            ctx.heartbeat()
    seen = about(ctx, args)
    if args.file is not None:
        seen["file"] = ctx.file(args.file).read_text()
    ctx.artifact("steps.txt").write_text("\n".join(done))
    seen["status"] = ctx.subprocess([sys.executable, "-c", ""])
    if args.then == "notice" and ctx.cancelled:
        raise Cancelled
    return ended(args, seen, done)


@handler(args=Whole, config=Colours, setup=aopened)
async def awhole(ctx: AsyncContext, args: Whole) -> dict[str, Any] | Partial:
    """Take the steps that are left, and tell what was seen on the way."""
    done: list[str] = list(ctx.restored or [])
    for index, name in enumerate(args.steps[len(done) :], start=len(done) + 1):
        with ctx.step(name, index, len(args.steps)):
            ctx.check_cancelled()
            ctx.log.info("in %s", name)
            done.append(name)
            await ctx.checkpoint(done)
            ctx.progress(pct=None, done=index, total=len(args.steps), message=name)
            ctx.heartbeat()
    seen = about(ctx, args)
    if args.file is not None:
        seen["file"] = (await ctx.file(args.file)).read_text()
    ctx.artifact("steps.txt").write_text("\n".join(done))
    seen["status"] = await ctx.subprocess([sys.executable, "-c", ""])
    if args.then == "notice" and ctx.cancelled:
        raise Cancelled
    return ended(args, seen, done)


def about(ctx: Context | AsyncContext, args: Whole) -> dict[str, Any]:
    """Return what the context says of the attempt."""
    (ctx.workdir / "note").write_text(ctx.job_id)
    return {
        "kind": ctx.kind,
        "attempt": ctx.attempt,
        "last": ctx.attempt == ctx.max_attempts,
        "ahead": ctx.deadline > 0,
        "metadata": ctx.metadata,
        "traced": ctx.traceparent is not None,
        "colour": ctx.config.colour,
        "shared": list(ctx.shared),
        "path": None if args.path is None else ctx.path(args.path).name,
    }


def ended(args: Whole, seen: dict[str, Any], done: list[str]) -> dict[str, Any] | Partial:
    """End as the args say."""
    match args.then:
        case "retry":
            raise Retry(in_s=500, code="not_yet", message="later")
        case "discard":
            raise Discard(code="no_use", message="never")
        case "snooze":
            raise Snooze(300)
        case "partial":
            return Partial(seen, total=len(done) + 1, succeeded=len(done), failed=1)
    return seen | {"done": done}
