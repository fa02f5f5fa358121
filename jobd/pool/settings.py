"""What the pool is told when it is built, and what it tells while it runs."""

from typing import Protocol

import msgspec

from jobd.domain.jobs import Claim, Progress


class Settings(msgspec.Struct, frozen=True):
    """The pool's size and limits."""

    cpu_workers: int
    io_workers: int
    io_concurrency: int
    """Jobs at a time in one io worker."""
    kill_grace_s: float
    """From the request to end an attempt to SIGKILL."""
    allow_paths: tuple[str, ...]
    inline_result_bytes: int
    result_bytes: int
    artifact_bytes: int
    log_level: str
    mark: str
    """`<database id>:<start number>`: in the environment of all that this start runs."""


class Listener(Protocol):
    """Who is told what happens between a claim's start and its outcome."""

    def slots_free(self) -> None:
        """Claims can be handed over that could not before."""

    def progressed(self, claim: Claim, progress: Progress) -> None:
        """Take the attempt's newest state, with all that was said before."""

    def logged(self, claim: Claim, stream: str, at_ms: int, /, *lines: str) -> None:
        """Take lines that the attempt wrote to stdout or stderr, or recorded (stream `log`).

        All of an attempt's lines come before its outcome. Must neither raise nor wait.
        """

    async def checkpointed(self, claim: Claim, data: bytes) -> bool:
        """Store a checkpoint; True once it is durable, False when the lease is lost."""
