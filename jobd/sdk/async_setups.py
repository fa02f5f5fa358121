"""As setups.py, for the worker of `async def` handlers.

Invariants: of many jobs that arrive together one runs the setup and all wait for it; that one
of them is cancelled stops nothing. A setup begins and ends in the same task, as what is
bound to a task needs. A `def` setup runs in a thread: it may take its time.
"""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from jobd.sdk.setups import Key, Setup, failure, key_of, log_cleanup, opened


class _Made(msgspec.Struct, frozen=True):
    """What came of a setup: the value, or the exception."""

    value: Any = None
    failed: BaseException | None = None


class AsyncSetups:
    """What was set up in this worker."""

    def __init__(self) -> None:
        self._made: dict[Key, asyncio.Future[_Made]] = {}
        self._lives: dict[Key, asyncio.Task[None]] = {}
        self._leaving = asyncio.Event()

    def has(self, setup: Setup, config: object) -> bool:
        """Whether `get` would return at once."""
        made = self._made.get(key_of(setup, config))
        return made is not None and made.done()

    async def get(self, setup: Setup, config: object) -> Any:
        """Return what the setup gives for this config (that very object), run if need be.

        Raises Retry with code `setup_failed` when it fails. May be cancelled: the setup goes on.
        """
        key = key_of(setup, config)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = asyncio.get_running_loop().create_future()
            self._lives[key] = asyncio.create_task(self._live(key, made, config))
        came = await asyncio.shield(made)
        if came.failed is not None:
            raise failure(setup, came.failed) from came.failed
        return came.value

    async def close(self) -> None:
        """Clean up; what fails in it is logged. A setup that still runs is cancelled."""
        self._leaving.set()
        for key, life in self._lives.items():
            if not self._made[key].done():
                life.cancel()
        await asyncio.gather(*self._lives.values(), return_exceptions=True)

    async def _live(self, key: Key, made: asyncio.Future[_Made], config: object) -> None:
        """See one setup from its begin to its end, in the context of the job that asked first."""
        try:
            async with _opened(key[0], config) as value:
                made.set_result(_Made(value))
                await self._leaving.wait()
        except BaseException as exc:  # noqa: BLE001 - SystemExit must not end the other jobs
            if made.done():
                log_cleanup()
            else:
                del self._made[key], self._lives[key]
                made.set_result(_Made(failed=exc))


@contextlib.asynccontextmanager
async def _opened(setup: Setup, config: object) -> AsyncIterator[Any]:
    if inspect.isasyncgenfunction(setup):
        async with contextlib.asynccontextmanager(setup)(config) as value:
            yield value
    elif inspect.iscoroutinefunction(setup):
        yield await setup(config)
    else:
        context = opened(setup, config)
        value = await asyncio.to_thread(context.__enter__)
        try:
            yield value
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)
