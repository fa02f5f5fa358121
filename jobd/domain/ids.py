"""Time-ordered identifiers: a prefix and the 32 hex digits of a UUIDv7 (RFC 9562, section 5.7).

Ordered ids keep the unique index append-only: inserts cost half of what random ids cost.
"""

import os
import re
import threading

JOB_ID = re.compile(r"job_[0-9a-f]{32}(?!\n)")

BATCH_ID = re.compile(r"bat_[0-9a-f]{32}(?!\n)")

FILE_ID = re.compile(r"file_(?P<sha256>[0-9a-f]{64})(?!\n)")
"""An upload is named after its content."""

_RANDOM_BYTES = 4096
"""Drawn from the kernel at a time: a call for each id would be a good part of its cost."""

_COUNTER_BITS = 42
_LOW_BITS = 16
_LOW_MAX = (1 << _LOW_BITS) - 1
"""The part of the counter that is told anew for each id; the digits before it seldom change."""
_HEX = [f"{byte:02x}" for byte in range(256)]
_HIGH_MAX = (1 << _COUNTER_BITS - _LOW_BITS) - 1
_BEHIND_VARIANT = 14
"""Bits of the counter's higher part that follow the variant, of which there are two."""


class IdSource:
    """Hands out ids that only ever grow, also when the wall clock goes back.

    The 42 bits behind the millisecond are a counter that starts at a random value (half
    of its range) each millisecond and counts up within it; 32 random bits follow.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._high = 0
        self._low = -1
        self._head = _head(0, 0)
        self._random = ""
        self._drawn = 0

    def next(self, prefix: str, wall_ms: int) -> str:
        """Return `prefix` + 32 lower-case hex digits, greater than every id given before."""
        with self._lock:
            low = self._low + 1
            if wall_ms > self._last_ms:
                self._last_ms = wall_ms
                start = int(self._draw(12), 16) >> 7
                self._high, low = start >> _LOW_BITS, start & _LOW_MAX
                self._head = _head(wall_ms, self._high)
            elif low > _LOW_MAX:
                low = 0
                self._carry()
            self._low = low
            begin = self._drawn
            if begin + 8 <= len(self._random):
                self._drawn = begin + 8
                tail = self._random[begin : begin + 8]
            else:
                tail = self._draw(8)
            return f"{prefix}{self._head}{_HEX[low >> 8]}{_HEX[low & 0xFF]}{tail}"

    def _carry(self) -> None:
        self._high += 1
        if self._high > _HIGH_MAX:
            self._last_ms += 1
            self._high = 0
        self._head = _head(self._last_ms, self._high)

    def _draw(self, count: int) -> str:
        """Return random digits that nobody was given before; a forked child must not use them."""
        begin = self._drawn
        if begin + count > len(self._random):
            self._random, begin = os.urandom(_RANDOM_BYTES).hex(), 0
        self._drawn = begin + count
        return self._random[begin : begin + count]


def _head(wall_ms: int, high: int) -> str:
    """Return the digits before those of the counter's low part, the version and variant too."""
    behind = 0x2 << _BEHIND_VARIANT | high & (1 << _BEHIND_VARIANT) - 1
    return f"{wall_ms:012x}7{high >> _BEHIND_VARIANT:03x}{behind:04x}"


def new_tokens(count: int) -> list[str]:
    """Return fresh lease tokens: 16 random bytes in hex each, never handed out twice."""
    drawn = os.urandom(16 * count).hex()
    return [drawn[begin : begin + 32] for begin in range(0, 32 * count, 32)]


def new_token() -> str:
    """Return one fresh lease token."""
    return new_tokens(1)[0]
