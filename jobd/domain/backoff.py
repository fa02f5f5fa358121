"""How long to wait before the next attempt: exponential, capped, full jitter."""

from collections.abc import Callable

import msgspec


class BackoffPolicy(msgspec.Struct, frozen=True):
    """Wait up to base_s * 2**failures, never more than cap_s."""

    base_s: float = 1.0
    cap_s: float = 3600.0


def delay_s(policy: BackoffPolicy, failures: int, random: Callable[[], float]) -> float:
    """Return a wait in [0, min(cap, base * 2**(failures - 1))]; `random` gives [0, 1).

    Full jitter: waits are spread over the whole range, so that jobs that failed together
    do not come back together.
    """
    exponent = min(max(failures - 1, 0), 60)
    return random() * min(policy.cap_s, policy.base_s * 2.0**exponent)
