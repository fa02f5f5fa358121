"""Sends what the mutator makes to a daemon, and judges the daemon: no 500, no hang, no growth."""

import random
import time
from collections import Counter

from tests.hostile import mutator
from tests.hostile.cases import load
from tests.hostile.house import LISTENERS, House
from tests.hostile.wire import PATIENCE_S, exchange, statuses

WARM = 300
"""Requests until caches, pools and SQLite's pages are what they come to be."""
MAY_GROW_BYTES = 16 * 1024 * 1024
LEAVES_AFTER_S = 0.005
EXPECTED = frozenset({503, 507})
"""Statuses over 499 that say: not now."""


class Fuzz:
    """One run. `step` sends one request; `grown` says by how much the daemon has grown since."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.seen: Counter[int] = Counter()
        self._dice = random.Random(seed)  # noqa: S311 - it only has to be repeatable
        cases = load()
        self._bases = {
            listener: mutator.bases(cases, house.auth(listener)) for listener in LISTENERS
        }
        self.run(WARM)
        self._rss_bytes, self._descriptors = house.rss_bytes, house.descriptors

    def run(self, requests: int) -> None:
        """Send so many."""
        for _ in range(requests):
            self.step()

    def run_for(self, minutes: float) -> None:
        """Send as many as there is time for."""
        until_s = time.monotonic() + minutes * 60
        while time.monotonic() < until_s:
            self.step()

    def step(self) -> None:
        """Send one; TimeoutError or AssertionError with what was sent."""
        listener = self._dice.choice(LISTENERS)
        pieces = mutator.broken(self._dice, self._bases[listener])
        try:
            after_s = self._dice.choice((0, LEAVES_AFTER_S))
            address = self.house.addresses[listener]
            answer = exchange(address, pieces, leave=True, after_s=after_s)
        except TimeoutError:
            raise AssertionError(f"it hangs: {pieces!r}") from None
        for status in _statuses(answer):
            self.seen[status] += 1
            assert status < 500 or status in EXPECTED, (pieces, answer)
        assert b"Traceback" not in answer, (pieces, answer)
        complaints = self.house.complaints()
        assert not complaints, (pieces, complaints)

    def grown(self) -> tuple[int, int]:
        """Return bytes and descriptors more than when it was warm.

        A connection that we have left may be there a moment longer, those of this look too.
        """
        until_s = time.monotonic() + PATIENCE_S
        assert self.house.alive()
        while (
            more_descriptors := self.house.descriptors - self._descriptors
        ) > 0 and time.monotonic() < until_s:
            assert self.house.alive()
        return self.house.rss_bytes - self._rss_bytes, more_descriptors


def _statuses(answer: bytes) -> list[int]:
    """Return those that can be told; 0 for none."""
    try:
        return statuses(answer) or [0]
    except ValueError:  # it was closed within an answer, or that was a stream
        return [int(answer[9:12])]
