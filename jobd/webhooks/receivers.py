"""What waits for each receiver, as far as it is known here: a line, and its breaker.

A receiver is who is dialled: a registered endpoint, or the origin of a callback URL. Each has
a line of deliveries that are claimed, so that one which hangs holds nobody else up. A line
claims little at first and more while its receiver takes what it is sent. What a breaker keeps
back is not claimed at all: nothing is done and nothing written until it is asked again.

Not here: claiming and sending (deliverer.py), when a breaker opens (domain/breaker.py).
"""

import heapq
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from jobd.domain.breaker import DEFAULT_RULES, Breaker, BreakerRules, BreakerState
from jobd.domain.deliveries import Due
from jobd.domain.endpoints import Endpoint

log = logging.getLogger(__name__)

AT_ONCE = 100
"""Attempts under way, to all receivers."""

AT_ONCE_PER_RECEIVER = 4
"""Attempts under way to one, while there are few to others."""

MAX_CLAIMED = 64
"""Deliveries of one receiver that are claimed and not begun."""

MAX_HELD = 2 * MAX_CLAIMED
"""The same, with what is under way and what has ended and is not written yet."""


def allowance(under_way: int) -> int:
    """Return how many attempts one receiver may have when so many are under way to all.

    The more there are the fewer: many receivers that hang must leave room for those that do not.
    """
    if under_way >= AT_ONCE:
        return 0
    if under_way >= AT_ONCE // 2:
        return 1
    return AT_ONCE_PER_RECEIVER // 2 if under_way >= AT_ONCE // 4 else AT_ONCE_PER_RECEIVER


class Now(NamedTuple):
    """The time by both clocks."""

    wall_ms: int
    monotonic_s: float

    def wall_of(self, monotonic_s: float) -> int:
        """Return when the wall clock will show that time, not before."""
        return self.wall_ms + math.ceil((monotonic_s - self.monotonic_s) * 1000)


class Ready(NamedTuple):
    """A claimed delivery with all that its attempt needs."""

    due: Due
    body: bytes
    secrets: tuple[str, ...]


Moved = Callable[[str, BreakerState, BreakerState], None]
"""Is told of a receiver whose breaker was in one state and is in another."""


def log_move(receiver: str, old: BreakerState, new: BreakerState) -> None:
    """Log that a receiver is not asked any more, or is again; not every probe."""
    about = {"receiver": receiver}  # an id or an origin: no path, which may hold a secret
    if old is BreakerState.CLOSED:
        log.warning("A receiver fails again and again: it is left alone.", extra=about)
    elif new is BreakerState.CLOSED:
        log.info("A receiver takes what it is sent again.", extra=about)


class Line:
    """The deliveries of one receiver."""

    def __init__(self, receiver: str, rules: BreakerRules, moved: Moved) -> None:
        self.receiver = receiver
        self.breaker = Breaker(rules)
        self._rules = rules
        self._moved = moved
        self._state = self.breaker.state
        self.next_due_ms: int | None = None
        """When to look into the store; never later than what is not held is due."""
        self.shut = False
        """Its endpoint is paused or disabled: nothing begins until that changes."""
        self.kept_back = False
        """It could be sent to, if not so much were under way to others."""
        self.claimed = deque[Ready]()
        self.under_way = 0
        self.held = dict[str, None]()
        """Deliveries that must not be claimed again: claimed, under way, or not recorded yet."""
        self.timer_ms: int | None = None
        self._share = AT_ONCE_PER_RECEIVER
        self._dialled: tuple[str, str] | None = None
        """The endpoint's URL and secret, as they were when last looked at."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits for the receiver, as far as is known."""
        return self.next_due_ms is None and not self.held

    @property
    def low(self) -> bool:
        """Whether so little is claimed that more could be."""
        return len(self.claimed) <= self._share // 2

    def due_at(self, wall_ms: int) -> None:
        """Note that something will be due then."""
        if self.next_due_ms is None or wall_ms < self.next_due_ms:
            self.next_due_ms = wall_ms

    def wants(self, now: Now) -> int:
        """Return how many deliveries to claim now."""
        if self.next_due_ms is None or self.next_due_ms > now.wall_ms:
            return 0
        if not self._open(now) or not self.low:
            return 0
        return max(0, min(self._share - len(self.claimed), MAX_HELD - len(self.held)))

    def claim(self, ready: Iterable[Ready]) -> None:
        """Have these wait for their attempts."""
        for one in ready:
            self.claimed.append(one)
            self.held[one.due.delivery.delivery_id] = None

    def may_begin(self, now: Now) -> bool:
        """Whether an attempt may begin."""
        return bool(self.claimed) and self.under_way < AT_ONCE_PER_RECEIVER and self._open(now)

    def begin(self, now: Now) -> tuple[int, Ready]:
        """Take the next delivery; return it with the turn that its end is to be told with."""
        self.under_way += 1
        turn = self.breaker.begins(now.monotonic_s)
        self._tell_move()
        return turn, self.claimed.popleft()

    def arrived(self, turn: int, now: Now) -> None:
        """Note that the attempt of this turn arrived."""
        self.breaker.succeeded(turn, now.monotonic_s)
        self._tell_move()
        self._share = min(2 * self._share, MAX_CLAIMED)

    def failed(self, turn: int, now: Now, pause_s: float) -> None:
        """Note that it failed, and that the receiver wants to be left alone for so long."""
        self.breaker.failed(turn, now.monotonic_s)
        self._tell_move()
        if pause_s:
            self.breaker.pause(now.monotonic_s + pause_s)
        self._share = AT_ONCE_PER_RECEIVER
        if not self._open(now):
            self.let_go(now)

    def let_go(self, now: Now) -> None:
        """Claim nothing any more of what has not begun; it is due as it was."""
        if self.claimed:
            self.due_at(now.wall_ms)
        for one in self.claimed:
            del self.held[one.due.delivery.delivery_id]
        self.claimed.clear()

    def goes_by(self, endpoint: Endpoint | None, now: Now) -> None:
        """Be as the endpoint is now. What was claimed for it as it was is claimed again."""
        if endpoint is None or endpoint.paused or not endpoint.enabled:
            self.let_go(now)
        shut = endpoint is not None and endpoint.enabled and endpoint.paused
        if self.shut and not shut:
            self.due_at(now.wall_ms)
        self.shut = shut
        if endpoint is None:
            return
        self.breaker.rate_per_s = endpoint.rate_per_s
        dialled = (endpoint.url, endpoint.secret)
        if self._dialled not in (None, dialled):
            self.let_go(now)
            if self._dialled is not None and self._dialled[0] != endpoint.url:
                self.breaker = Breaker(self._rules, rate_per_s=endpoint.rate_per_s)
                self._state = self.breaker.state
        self._dialled = dialled

    def look_at_ms(self, now: Now) -> int | None:
        """Return when there is something to do for it; None: when an attempt ends or it is told."""
        opens_at_s = self.breaker.opens_at_s(now.monotonic_s)
        if self.shut or opens_at_s is None:
            return None
        opens_ms = now.wall_of(opens_at_s)
        if self.idle:
            return opens_ms  # to forget it
        if self.claimed and self.under_way < AT_ONCE_PER_RECEIVER:
            return None if self.kept_back else opens_ms
        full = not self.low or len(self.held) >= MAX_HELD
        if self.next_due_ms is None or full:
            return None
        return max(opens_ms, self.next_due_ms)

    def forgettable(self, now: Now) -> bool:
        """Whether nothing is lost when it is forgotten."""
        return self.idle and not self.shut and self._open(now)

    def _tell_move(self) -> None:
        old, self._state = self._state, self.breaker.state
        if old is not self._state:
            self._moved(self.receiver, old, self._state)

    def _open(self, now: Now) -> bool:
        if self.shut:
            return False
        at_s = self.breaker.opens_at_s(now.monotonic_s)
        return at_s is not None and at_s <= now.monotonic_s


class Lines:
    """The lines of all receivers for whom something waits, and when to look at which."""

    def __init__(self, rules: BreakerRules = DEFAULT_RULES, moved: Moved = log_move) -> None:
        self._rules = rules
        self._moved = moved
        self._lines: dict[str, Line] = {}
        self._touched: dict[str, None] = {}
        self._timers: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def get(self, receiver: str) -> Line | None:
        """Return the line of a receiver, if there is one."""
        return self._lines.get(receiver)

    def of(self, receiver: str) -> Line:
        """Return the line of a receiver, a new one if need be."""
        line = self._lines.get(receiver)
        if line is None:
            line = self._lines[receiver] = Line(receiver, self._rules, self._moved)
        return line

    def touch(self, receiver: str) -> None:
        """Have a line looked at in the next turn."""
        self._touched[receiver] = None

    def to_look_at(self, wall_ms: int) -> Iterator[Line]:
        """Give each line that was touched or whose time has come, once."""
        while self._timers and self._timers[0][0] <= wall_ms:
            at_ms, receiver = heapq.heappop(self._timers)
            line = self._lines.get(receiver)
            if line is not None and line.timer_ms == at_ms:
                line.timer_ms = None
                self._touched[receiver] = None
        touched, self._touched = self._touched, {}
        for receiver in touched:
            if receiver in self._lines:
                yield self._lines[receiver]

    def looked_at(self, line: Line, now: Now) -> None:
        """Set the line's timer anew, or forget the line if nothing waits for it."""
        if not line.held and (line.next_due_ms is None or line.next_due_ms > now.wall_ms):
            line.breaker.caught_up(now.monotonic_s)
        if line.forgettable(now):
            self._lines.pop(line.receiver, None)
            return
        at_ms = line.look_at_ms(now)
        if at_ms is not None and (line.timer_ms is None or at_ms < line.timer_ms):
            line.timer_ms = at_ms
            heapq.heappush(self._timers, (at_ms, line.receiver))

    def next_look_ms(self) -> int | None:
        """Return when the next line's time comes."""
        while self._timers:
            at_ms, receiver = self._timers[0]
            line = self._lines.get(receiver)
            if line is not None and line.timer_ms == at_ms:
                return at_ms
            heapq.heappop(self._timers)
        return None
