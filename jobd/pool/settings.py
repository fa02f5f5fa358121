"""What the pool is told when it is built, and what it tells while it runs."""

from typing import Any, Protocol

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
    spare: bool = True
    """Whether one more cpu worker than there are slots stands by, for about 27 MB."""
    max_jobs_per_worker: int = 0
    """A worker is replaced after about so many jobs, give or take a tenth; 0: never."""
    max_worker_rss_bytes: int = 0
    """A worker that has more memory after a job is replaced; 0: never."""
    loop_stall_s: float = 10.0
    """How long the loop of an io worker may stand still while jobs run in it."""
    plugin_config: dict[str, dict[str, Any]] = {}
    """The free tables of the configuration, by distribution."""
    program: str = "jobd.pool.child"
    """The module that a worker runs; another only where handlers are tested."""


class AttemptLimits(msgspec.Struct, frozen=True):
    """What a kind's attempts may use besides their time, and who handles it."""

    memory_bytes: int | None = None
    """Resident memory of all that the attempt runs, its helpers included (cpu lane only).

    What is mapped and not touched counts for nothing, what processes share for each of them.
    """
    heartbeat_timeout_s: float | None = None
    """How long it may say nothing: no heartbeat, progress, step or checkpoint."""
    setup_timeout_s: float = 60.0
    """How long the handler's import and its setup may each take in a new worker.

    The time limit begins behind them.
    """
    handler: str = ""
    """Distribution and version, for the evidence of an attempt that cannot say it itself."""


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

    def unavailable(self, kind: str, message: str) -> None:
        """Take note that a worker could not import the handler: until the next catalogue, at least.

        Comes before the attempt's outcome, so that its job is not claimed again at once.
        """
