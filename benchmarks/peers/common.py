"""What every peer's file shares: the job, and what its producers do.

Runs in the peer's own environment, so it imports the standard library alone. A peer's file
is a program: `FILE fill COUNT CALLERS` enqueues (each caller a thread or task with what its
library wants per thread), `FILE latency COUNT` enqueues one job at a time and waits for its
byte. Not here: which peers there are (catalog.py), who measures (contest.py).
"""

import asyncio
import json
import os
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable

Submit = Callable[[], object]
AsyncSubmit = Callable[[], Awaitable[object]]

WARM_UP = 20
_PAUSES = random.Random(7)  # noqa: S311 - so that no peer's polling is in step with us
_MARK = os.open(os.environ["BENCH_FILE"], os.O_WRONLY | os.O_APPEND)


def mark() -> None:
    """Be the job: write one byte, so that jobs can be counted from outside."""
    os.write(_MARK, b".")


def _pause_s() -> float:
    return _PAUSES.uniform(0.002, 0.015)


def _begin() -> None:
    """Say that all is connected, and wait for the word."""
    print("ready", flush=True)
    sys.stdin.readline()


def _shares(count: int, callers: int) -> list[int]:
    return [count // callers + (n < count % callers) for n in range(callers)]


def main(make: Callable[[], Submit]) -> None:
    """Be a producer whose library blocks: a thread for each caller."""
    if sys.argv[1] == "fill":
        _fill(make, int(sys.argv[2]), int(sys.argv[3]))
    else:
        submit = make()
        _latency(submit, int(sys.argv[2]))


def _fill(make: Callable[[], Submit], count: int, callers: int) -> None:
    go = threading.Barrier(callers + 1)
    failed: list[BaseException] = []

    def caller(share: int) -> None:
        try:
            submit = make()
            go.wait()
            for _ in range(share):
                submit()
        except BaseException as error:
            failed.append(error)
            go.abort()
            raise

    threads = [threading.Thread(target=caller, args=(n,)) for n in _shares(count, callers)]
    for thread in threads:
        thread.start()
    _begin()
    go.wait()
    for thread in threads:
        thread.join()
    assert not failed
    print("done", flush=True)


def _latency(submit: Submit, count: int) -> None:
    marks = os.open(os.environ["BENCH_FILE"], os.O_RDONLY)
    took_ms = []
    for _ in range(WARM_UP + count):
        threading.Event().wait(_pause_s())
        began_s = time.perf_counter()
        submit()
        os.read(marks, 1)
        took_ms.append((time.perf_counter() - began_s) * 1000)
    print(json.dumps(took_ms[WARM_UP:]), flush=True)


def amain(make: Callable[[], Awaitable[AsyncSubmit]]) -> None:
    """Be a producer whose library is asynchronous: a task for each caller."""
    if sys.argv[1] == "fill":
        asyncio.run(_afill(make, int(sys.argv[2]), int(sys.argv[3])))
    else:
        asyncio.run(_alatency(make, int(sys.argv[2])))


async def _afill(make: Callable[[], Awaitable[AsyncSubmit]], count: int, callers: int) -> None:
    submit = await make()

    async def caller(share: int) -> None:
        for _ in range(share):
            await submit()

    _begin()
    await asyncio.gather(*(caller(share) for share in _shares(count, callers)))
    print("done", flush=True)


async def _alatency(make: Callable[[], Awaitable[AsyncSubmit]], count: int) -> None:
    submit = await make()
    marks = os.open(os.environ["BENCH_FILE"], os.O_RDONLY)
    took_ms = []
    for _ in range(WARM_UP + count):
        threading.Event().wait(_pause_s())
        began_s = time.perf_counter()
        await submit()
        os.read(marks, 1)
        took_ms.append((time.perf_counter() - began_s) * 1000)
    print(json.dumps(took_ms[WARM_UP:]), flush=True)
