"""What a test's process and the one with its worker tell each other: a line of JSON each."""

from typing import Any

import msgspec


class Shown(msgspec.Struct, frozen=True):
    """One progress report; None means not known."""

    pct: float | None = None
    done: int | None = None
    total: int | None = None
    step: str | None = None
    step_index: int | None = None
    step_count: int | None = None
    message: str | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to be run."""

    kind: str
    args: msgspec.Raw
    attempt: int
    max_attempts: int
    restored: bytes | None
    timeout_s: float | None
    memory_mb: int | None
    metadata: dict[str, str]
    crash_at: tuple[str, int | None] | None
    cancel_at: tuple[str, int | None] | None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended, and what it did on the way."""

    status: str
    """completed, failed, snoozed, cancelled or crashed."""
    result: Any = None
    """What was returned, after a trip through JSON; None when a file is the result."""
    result_file: str | None = None
    """Its path, when a file is the result."""
    code: str | None = None
    """With failed or crashed: the error's code, such as timeout, memory_limit, worker_crashed."""
    message: str | None = None
    retryable: bool | None = None
    failed_step: str | None = None
    partial: bool = False
    summary: tuple[int, int, int] | None = None
    """With partial: total, succeeded, failed."""
    retry_in_s: float | None = None
    """What `Retry(in_s=…)` asked for."""
    snooze_in_s: float | None = None
    progress: list[Shown] = []
    """What reached the daemon's side; a worker leaves some out."""
    checkpoints: list[Any] = []
    lines: list[str] = []
    """What it logged and printed."""
    artifacts: dict[str, str] = {}
    """Names and paths."""
    evidence: dict[str, Any] = {}
    """duration_s, cpu_s, peak_rss_bytes, signal …, what is known of them."""

    @property
    def restored(self) -> Any:
        """The last checkpoint, which the next attempt is given as `restored`; None without one."""
        return self.checkpoints[-1] if self.checkpoints else None


class Answer(msgspec.Struct, frozen=True):
    """A run, or why there was none."""

    run: Run | None = None
    impossible: str = ""


class Folders(msgspec.Struct, frozen=True):
    """What the process with the worker is told first."""

    folder: str
    allow_paths: tuple[str, ...]
    plugins: dict[str, dict[str, Any]]


class Plan(msgspec.Struct, frozen=True):
    """What a worker does at the begin of a step, once."""

    step: str
    index: int | None
    crash: bool
    """Else it waits until it has been cancelled."""
