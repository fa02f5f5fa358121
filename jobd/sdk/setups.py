"""What the jobs of one worker share: made by a handler's `setup`, cleaned up when it leaves.

Invariant: a setup runs once per worker and config, whichever kinds name it; one that failed
left nothing, and runs again for the next job. Not here: its time limit (pool/worker.py), and
the worker of `async def` handlers (async_setups.py).
"""

import contextlib
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from jobd.sdk.endings import Cancelled, Retry
from jobd.sdk.text import shown

SETUP_FAILED = "setup_failed"

_LOG = logging.getLogger("jobd.job")

Setup = Callable[[Any], Any]
Key = tuple[Setup, int]


class Setups:
    """What was set up in this worker."""

    def __init__(self) -> None:
        self._made: dict[Key, Any] = {}
        self._open: list[AbstractContextManager[Any]] = []

    def has(self, setup: Setup, config: object) -> bool:
        """Whether `get` would return at once."""
        return key_of(setup, config) in self._made

    def get(self, setup: Setup, config: object) -> Any:
        """Return what the setup gives for this config (that very object), run if need be.

        Raises Retry with code `setup_failed` when it fails; lets Cancelled pass.
        """
        key = key_of(setup, config)
        if key not in self._made:
            context = opened(setup, config)
            try:
                self._made[key] = context.__enter__()
                self._open.append(context)
            except Cancelled:
                raise
            except BaseException as exc:
                raise failure(setup, exc) from exc
        return self._made[key]

    def close(self) -> None:
        """Clean up, the newest first; what fails in it is logged."""
        self._made.clear()
        while self._open:  # one by one: what fails in one is not the next one's
            try:
                self._open.pop().__exit__(None, None, None)
            except Exception:  # noqa: BLE001 - logged: no job is there to fail of it
                log_cleanup()


def key_of(setup: Setup, config: object) -> Key:
    """Return what tells setups apart; good for as long as `config` is kept."""
    return setup, id(config)


def failure(setup: Setup, exc: BaseException) -> Retry:
    """Return what to raise from an exception of a setup."""
    text = f"{type(exc).__name__}: {shown(exc)}".removesuffix(": ")
    return Retry(code=SETUP_FAILED, message=f"The setup {setup.__qualname__} failed. {text}")


def log_cleanup() -> None:
    """Log the exception that a setup's cleanup raised."""
    _LOG.exception("What a setup has to clean up was not.")


def opened(setup: Setup, config: object) -> AbstractContextManager[Any]:
    """Return a `def` setup as a context: a generator's second half is its end."""
    if inspect.isgeneratorfunction(setup):
        return contextlib.contextmanager(setup)(config)
    return _called(setup, config)


@contextlib.contextmanager
def _called(setup: Setup, config: object) -> Iterator[Any]:
    yield setup(config)
