"""What one attempt leaves behind besides its result: step times, the failed step, artifacts."""

from jobd.sdk.artifacts import Artifacts

MAX_STEPS = 1000
"""Steps whose times are kept; a handler may enter more."""


class Record:
    """The trace of one attempt, written by its context and read by execution.py."""

    __slots__ = ("_failed", "artifacts", "steps")

    def __init__(self, artifacts: Artifacts) -> None:
        self.artifacts = artifacts
        self.steps: list[tuple[str, float, float]] = []
        self._failed: tuple[BaseException, str] | None = None

    def step_ended(self, name: str, started_at: float, duration_s: float) -> None:
        """Keep when a step began and how long it took."""
        if len(self.steps) < MAX_STEPS:
            self.steps.append((name, started_at, duration_s))

    def step_failed(self, name: str, exc: BaseException) -> None:
        """Remember the innermost step that `exc` left."""
        if self._failed is None or self._failed[0] is not exc:
            self._failed = (exc, name)

    def take_failed_step(self, exc: BaseException) -> str | None:
        """Return, once, the step that `exc` or an exception behind it came out of.

        A failure that the handler caught and got over is not behind the one that ended it.
        """
        if self._failed is None:
            return None
        origin, name = self._failed
        self._failed = None  # it holds the handler's frames, and they hold this
        behind: BaseException | None = exc
        seen: set[int] = set()
        while behind is not None and id(behind) not in seen:
            if behind is origin:
                return name
            seen.add(id(behind))
            behind = behind.__cause__ or behind.__context__
        return None
