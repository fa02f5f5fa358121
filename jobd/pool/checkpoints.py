"""A worker's checkpoints on their way to whoever stores them, and the answers on their way back.

Not here: storing them (the listener), the handler that waits (child_cpu.py, child_io.py).
"""

import asyncio
import logging
from collections.abc import Callable

from jobd.pool.attempt import Attempt
from jobd.pool.protocol import Checkpoint, Checkpointed
from jobd.pool.settings import Listener

_LOG = logging.getLogger(__name__)


class Checkpoints:
    """Those of one worker that are not answered yet."""

    def __init__(self, listener: Listener, answer: Callable[[Checkpointed], None]) -> None:
        self._listener = listener
        self._answer = answer
        self._storing: set[asyncio.Task[None]] = set()

    def store(self, attempt: Attempt, frame: Checkpoint) -> None:
        """Have a checkpoint stored; the worker is answered in any case."""
        task = asyncio.get_running_loop().create_task(self._store(attempt, frame))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def settled(self) -> None:
        """Wait until each is answered."""
        await asyncio.gather(*self._storing)

    async def _store(self, attempt: Attempt, frame: Checkpoint) -> None:
        durable = False
        try:
            durable = await self._listener.checkpointed(attempt.claim, frame.data)
        except Exception:  # noqa: BLE001 - the worker waits for an answer, whatever happened
            _LOG.exception("A checkpoint was not stored. job_id=%s", attempt.claim.job_id)
        finally:
            attempt.lost = attempt.lost or not durable
            self._answer(Checkpointed(frame.token, frame.number, lost=not durable))
