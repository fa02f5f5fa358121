"""Before anything is re-queued: one daemon per state folder, and no worker of an older one.

The kernel gives back a dead daemon's flock before its workers are dead, and what they
have started may outlive them. So, in this order: take the daemon's lock, kill what carries
an older start's mark, take the lock that every worker has inherited. Only then are the old
leases void (Writer.recover).

Not here: the mark itself and the killing (pool/tree.py).
"""

import asyncio
import fcntl
import logging
import os
import threading
from pathlib import Path

from jobd.pool import tree

WORKERS_LOCK_TIMEOUT_S = 10.0

log = logging.getLogger(__name__)


class AlreadyRunning(Exception):  # noqa: N818 - the word the operator reads
    """Another daemon holds this state folder."""


class WorkersRemain(Exception):  # noqa: N818
    """Processes of an older daemon could not be ended."""


def take_lock(path: Path) -> int:
    """Return a descriptor that holds the daemon's lock; raises AlreadyRunning."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise AlreadyRunning(f"another daemon holds {path}") from None
    return fd


async def collect_old_workers(path: Path, database_id: str, start_number: int) -> int:
    """End every process of an older start; return the descriptor that workers inherit.

    The lock at `path` is then held by this daemon and by nobody else: no worker of an
    older one is alive. Raises WorkersRemain after WORKERS_LOCK_TIMEOUT_S.
    """
    ended = await tree.end_predecessors(database_id, start_number)
    if ended:
        log.warning("Processes of an older daemon were ended.", extra={"count": ended})
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    taken = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def wait_for_lock() -> None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        loop.call_soon_threadsafe(taken.set_result, None)

    # a daemon thread: one that waits for ever must not keep the process from exiting
    threading.Thread(target=wait_for_lock, name="workers.lock", daemon=True).start()
    try:
        async with asyncio.timeout(WORKERS_LOCK_TIMEOUT_S):
            await taken
    except TimeoutError:
        raise WorkersRemain(
            f"a worker of an older daemon still holds {path} after {WORKERS_LOCK_TIMEOUT_S:g} s"
        ) from None
    return fd
