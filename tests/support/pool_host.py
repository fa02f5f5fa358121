"""A process with a pool, as the daemon is one: runs `test.grandchild`, says the pids, stays.

Started with the state folder and a database id as its arguments; prints the worker's pid
and those of the two processes that the handler started. Made to be killed.
"""

import asyncio
import fcntl
import os
import sys
from pathlib import Path

from jobd.domain.jobs import Claim, Progress
from jobd.pool.supervisor import Settings, Supervisor

SETTINGS = Settings(
    1, 0, 1, 0.5, (), 65536, 65536, 65536, "info", mark=f"{sys.argv[2]}:7", spare=False
)

CLAIM = Claim(
    seq=1,
    job_id="job_1",
    token="1",  # noqa: S106 - a lease, and no secret
    kind="test.grandchild",
    queue="default",
    lane="cpu",
    attempt=1,
    max_attempts=1,
    timeout_ms=60_000,
    failures=0,
    crashes=0,
    interrupted=0,
    released=0,
    snoozes=0,
    args=b"{}",
    metadata={},
    traceparent=None,
    checkpoint=None,
    claimed_at_ms=0,
)


class Host:
    """The pool's listener."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    def slots_free(self) -> None:
        """Let the job begin."""
        self.free.set()

    def progressed(self, claim: Claim, progress: Progress) -> None:
        """Say the pids: the job runs."""
        (worker,) = self.supervisor.workers()
        print(worker.pid, progress.message, flush=True)  # noqa: T201 - that is what it is for

    def logged(self, claim: Claim, stream: str, at_ms: int, /, *lines: str) -> None:
        """Keep no log."""

    def unavailable(self, kind: str, message: str) -> None:
        """Look for no other."""

    async def checkpointed(self, claim: Claim, data: bytes) -> bool:
        """Store nothing."""
        return True

    async def run(self, folder: Path) -> None:
        """Run the one job."""
        lock_fd = os.open(folder / "workers.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        self.supervisor = Supervisor(
            SETTINGS,
            scratch=folder,
            artifacts=folder,
            uploads=folder,
            listener=self,
            workers_lock_fd=lock_fd,
        )
        await self.supervisor.start()
        await self.free.wait()
        await self.supervisor.run(CLAIM)


async def main() -> None:
    """Run until killed."""
    await Host().run(Path(sys.argv[1]))


asyncio.run(main())
