"""How long the runs of each kind take, and so how many of them one worker may have at hand.

About WINDOW_S of work, at most MOST jobs. A kind counts as long until SAMPLES runs have shown
otherwise, and again after a single run of more than LONG_S.

Pure. Not here: which jobs stand alone all the same (domain/ahead.py, supervisor.py).
"""

from collections.abc import Mapping

WINDOW_S = 0.005
MOST = 32
SAMPLES = 20
LONG_S = 0.05

_P95 = SAMPLES * 95 // 100 - 1
"""Its place among SAMPLES sorted runs."""


class Paces:
    """What the runs so far have shown."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._runs: dict[str, list[float]] = {}
        self._shares: dict[str, float] = {}

    @property
    def shares(self) -> Mapping[str, float]:
        """By kind of short runs: what one takes of all that a worker may have at hand."""
        return self._shares

    def ran(self, kind: str, duration_s: float) -> None:
        """Take note of a run that has ended."""
        if duration_s > LONG_S:
            self.forget(kind)
            return
        runs = self._runs.setdefault(kind, [])
        runs.append(duration_s)
        if len(runs) == SAMPLES:
            self._judge(kind, sorted(runs)[_P95])
            runs.clear()

    def forget(self, kind: str) -> None:
        """Begin anew with a kind."""
        self._runs.pop(kind, None)
        self._shares.pop(kind, None)

    def _judge(self, kind: str, p95_s: float) -> None:
        depth = int(min(MOST, WINDOW_S / max(p95_s, WINDOW_S / MOST)))
        if depth > 1:
            self._shares[kind] = 1 / depth
        else:
            self._shares.pop(kind, None)
