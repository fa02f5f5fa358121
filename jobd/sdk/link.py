"""What a context needs of the process that its attempt runs in: its way to the daemon.

Not here: the ways themselves (pool/child_cpu.py and pool/child_io.py; that of a test is in
testing.py).
"""

from contextlib import AbstractContextManager
from typing import Protocol


class Telling(Protocol):
    """What both kinds of handlers need."""

    def progress(
        self,
        *,
        pct: float | None,
        done: int | None,
        total: int | None,
        step: str | None,
        step_index: int | None,
        step_count: int | None,
        message: str | None,
    ) -> None:
        """Pass progress on; each call carries all that is known, None what is not."""

    def heartbeat(self) -> None:
        """Pass on that the handler is alive."""

    def cancelled(self) -> bool:
        """Whether this attempt was asked to end."""


class Link(Telling, Protocol):
    """What a Context needs of the process it runs in."""

    def checkpoint(self, data: bytes) -> None:
        """Return once `data` is durable; raise Cancelled when the lease is lost."""

    def held(self) -> AbstractContextManager[int | None]:
        """Have no signal raise Cancelled in the block, which looks for a cancel itself.

        Gives a descriptor that becomes readable when `cancelled()` is worth asking; None if
        it never will be. The block's end raises what was held back.
        """


class AsyncLink(Telling, Protocol):
    """What an AsyncContext needs of the process it runs in."""

    async def checkpoint(self, data: bytes) -> None:
        """Return once `data` is durable; raise asyncio.CancelledError when the lease is lost."""
