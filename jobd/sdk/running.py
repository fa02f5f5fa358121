"""A program from its start to its end, whatever comes between.

Invariant: when this returns or raises, the program is dead and collected, and so is all of
its group. Whoever drives `life()` drives it to its end, also when it is to stop. Not here: the
wait of an `async def` (async_running.py).
"""

import select
import signal
import time
from collections.abc import Callable, Generator

import msgspec

from jobd.sdk.endings import Cancelled
from jobd.sdk.link import Link
from jobd.sdk.program import Call, OnLine, Program

GRACE_S = 2.0
"""From SIGTERM to SIGKILL."""


class Wait(msgspec.Struct, frozen=True):
    """What `life()` waits for: one of the descriptors, or so long; or that `block` returns."""

    fds: tuple[int, ...] = ()
    timeout_s: float | None = None
    block: Callable[[], None] | None = None


def life(program: Program, on_line: OnLine | None) -> Generator[Wait, None, None]:
    """Do all that is to be done with a program; the caller does the waiting.

    An exception thrown in while it runs ends it, and comes out when it is dead.
    """
    told = on_line
    try:
        while not program.over:
            yield Wait(program.fds)
            program.hear(told)
    except BaseException:
        told = None  # what it still says goes to the log alone
        raise
    finally:
        try:
            yield from _end(program)
            program.hear_out(told)
        finally:
            program.close()


def run(link: Link, call: Call) -> Program:
    """Run a program to its end, whatever comes; Cancelled when the attempt is to end."""
    with link.held() as cancel_fd:
        if link.cancelled():
            raise Cancelled
        program = Program(call)
        steps = life(program, call.on_line)
        wait = next(steps, None)
        stopping = False
        while wait is not None:
            came = _came(wait, None if stopping else link, cancel_fd)
            if came is None or stopping:  # a second one has nothing to stop any more
                wait = next(steps, None)
            else:
                stopping = True
                wait = steps.throw(came)
    return program


def _came(wait: Wait, link: Link | None, cancel_fd: int | None) -> BaseException | None:
    """Do a wait; return what came to stop the program."""
    if link is not None and link.cancelled():
        return Cancelled()
    try:
        _wait(wait, None if link is None else cancel_fd)
    except BaseException as exc:  # noqa: BLE001 - a handler's own signal may raise anything
        return exc
    return None


def _end(program: Program) -> Generator[Wait, None, None]:
    if not program.over:
        program.signal(signal.SIGTERM)
        until_s = time.monotonic() + GRACE_S
        while not program.over and (left_s := until_s - time.monotonic()) > 0:
            yield Wait(program.fds, left_s)
            program.hear(None)
    program.signal(signal.SIGKILL)  # also if it is dead: others of its group may not be
    while not program.over:
        yield Wait((program.pidfd,))
    if program.collect():
        yield Wait(block=program.collect_others)


def _wait(wait: Wait, cancel_fd: int | None) -> None:
    if wait.block is not None:
        wait.block()
        return
    poll = select.poll()
    for fd in wait.fds if cancel_fd is None else (*wait.fds, cancel_fd):
        poll.register(fd, select.POLLIN)
    poll.poll(None if wait.timeout_s is None else wait.timeout_s * 1000)
