"""When a receiver of webhooks may be sent to: not while it fails, one at a time to find out.

    closed      it is sent to, as fast as its pace allows
    open        it has failed too often in a row: nobody asks it for a while
    half-open   the while is over: one probe is made, and its end decides

Beside that it may be paused, because it asked to be left alone. After an outage the pace
begins low and doubles, so that what has waited does not knock it over again.

Not here: what waits for it (webhooks/receivers.py), whether it fails for so long that its
endpoint is disabled (deliveries.py).
"""

from enum import StrEnum

import msgspec


class BreakerState(StrEnum):
    """Where a breaker is."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class BreakerRules(msgspec.Struct, frozen=True):
    """How patient a breaker is; durations in seconds, paces in attempts a second."""

    failures: int = 5
    """So many in a row open it."""
    first_wait_s: float = 30.0
    """Until the first probe; doubled after each that fails."""
    longest_wait_s: float = 15 * 60.0
    recovery_rate: float = 10.0
    """The pace right after an outage."""
    doubling_s: float = 10.0
    """After so long that pace is twice as high, unless it has failed so often in a row again.

    Single failures do not hold it up: a receiver that loses one of ten would be left behind.
    """
    full_rate: float = 10_000.0
    """A pace that is as good as none: the outage is over then."""


DEFAULT_RULES = BreakerRules()

_SLACK_S = 0.05
"""So far attempts may lag behind their pace and still be made up for: timers are coarse."""


class Breaker:
    """The state of one receiver. All times are of one clock that never goes back, in seconds."""

    def __init__(
        self, rules: BreakerRules = DEFAULT_RULES, *, rate_per_s: float | None = None
    ) -> None:
        self.rate_per_s = rate_per_s
        """The pace that is never exceeded; None for no limit."""
        self.state = BreakerState.CLOSED
        self._rules = rules
        self._failures = 0
        self._wait_s = rules.first_wait_s
        self._open_until_s = 0.0
        self._paused_until_s = 0.0
        self._probing = False
        self._turn = 0
        self._recovering_since_s: float | None = None
        self._next_s = float("-inf")

    @property
    def at_rest(self) -> bool:
        """Whether it knows nothing that would be lost with it."""
        unbroken = self.state is BreakerState.CLOSED and not self._failures
        return unbroken and not self._paused_until_s and self._recovering_since_s is None

    def opens_at_s(self, now_s: float) -> float | None:
        """Return from when on an attempt may begin, `now_s` at the earliest.

        None: only after an attempt that is under way has ended.
        """
        if self._probing:
            return None
        at_s = max(now_s, self._paused_until_s)
        if self.state is BreakerState.OPEN:
            return max(at_s, self._open_until_s)
        return max(at_s, self._next_s)

    def begins(self, now_s: float) -> int:
        """Note that an attempt begins, only when `opens_at_s` says that it may; return its turn.

        What is told later of an attempt of an older turn, from before the breaker opened, is
        not believed: it tells of another time.
        """
        if self.state is BreakerState.OPEN:
            self.state = BreakerState.HALF_OPEN
        self._probing = self.state is BreakerState.HALF_OPEN
        if rate := self._pace(now_s):
            self._next_s = max(self._next_s, now_s - _SLACK_S) + 1 / rate
        return self._turn

    def succeeded(self, turn: int, now_s: float) -> None:
        """Note that an attempt arrived; the receiver takes what has waited, at a low pace first."""
        if turn != self._turn:
            return
        self._failures = 0
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.CLOSED
            self._probing = False
            self._wait_s = self._rules.first_wait_s
            self._recovering_since_s = now_s

    def failed(self, turn: int, now_s: float) -> None:
        """Note that an attempt failed."""
        if turn != self._turn:
            return
        self._failures += 1
        if self.state is BreakerState.HALF_OPEN:
            self._wait_s = min(2 * self._wait_s, self._rules.longest_wait_s)
            self._open(now_s)
        elif self._failures >= self._rules.failures:
            self._open(now_s)

    def undecided(self, turn: int) -> None:
        """Note that an attempt ended and says nothing of the receiver: the next one may."""
        if turn == self._turn:
            self._probing = False

    def pause(self, until_s: float) -> None:
        """Let nothing begin before then: the receiver has asked for it."""
        self._paused_until_s = max(self._paused_until_s, until_s)

    def caught_up(self, now_s: float) -> None:
        """Note that nothing waits for the receiver any more: what comes now is no outage's."""
        if self.state is BreakerState.CLOSED:
            self._recovering_since_s = None
        if self._paused_until_s <= now_s:
            self._paused_until_s = 0.0

    def _open(self, now_s: float) -> None:
        self.state = BreakerState.OPEN
        self._probing = False
        self._turn += 1
        self._failures = 0
        self._recovering_since_s = None
        self._open_until_s = now_s + self._wait_s

    def _pace(self, now_s: float) -> float | None:
        since_s = self._recovering_since_s
        if since_s is None:
            return self.rate_per_s
        rules = self._rules
        # more doublings than this would only overflow
        rate = rules.recovery_rate * 2 ** min((now_s - since_s) // rules.doubling_s, 64.0)
        if rate >= rules.full_rate:
            self._recovering_since_s = None
            return self.rate_per_s
        return rate if self.rate_per_s is None else min(rate, self.rate_per_s)
