"""As `running.run`, for `async def` handlers: the loop does the waiting."""

import asyncio

from jobd.sdk.program import Call, Program
from jobd.sdk.running import Wait, life


async def run(call: Call) -> Program:
    """Run a program to its end, whatever comes; a cancel passes once the program is dead."""
    program = Program(call)
    steps = life(program, call.on_line)
    wait = next(steps, None)
    stopping = False
    while wait is not None:
        try:
            await _over(wait)
        except asyncio.CancelledError as exc:
            came: asyncio.CancelledError | None = exc
        else:
            came = None
        if came is None or stopping:  # a second one has nothing to stop any more
            wait = next(steps, None)
        else:
            stopping = True
            wait = steps.throw(came)
    return program


async def _over(wait: Wait) -> None:
    if wait.block is not None:
        await asyncio.to_thread(wait.block)
        return
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    for fd in wait.fds:
        loop.add_reader(fd, woken.set)
    timer = None if wait.timeout_s is None else loop.call_later(wait.timeout_s, woken.set)
    try:
        await woken.wait()
    finally:
        for fd in wait.fds:
            loop.remove_reader(fd)
        if timer is not None:
            timer.cancel()
