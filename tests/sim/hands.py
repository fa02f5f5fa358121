"""What a worker leaves traces of, in a run and in what is counted of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections import Counter
    from collections.abc import Callable

    from jobd.domain.jobs import Claim
    from tests.sim.order import Order
    from tests.sim.weather import Weather


@dataclass
class Hands:
    """Those of the workers of one daemon."""

    rng: random.Random
    weather: Weather
    counts: Counter[str]
    """What became of jobs that were at hand."""
    started: Callable[[Claim], None]
    ended: Callable[[Claim], None]
    took: Callable[[str], None]
    """Take note of an attempt that is under way before its handler is."""
    ending: Callable[[Claim], None]
    """Take note that the worker is about to say how it ended."""
    lie: Callable[[Claim], None]
    """Try to write about an attempt that is over."""
    wrong: Callable[[str], None]
    order: Order
    recalled_by: Callable[[str], str]
    """What somebody has asked for last of a queue."""
    priority: Callable[[Claim], int]
    claims: dict[str, Claim] = field(default_factory=dict)
    """All that were handed over, by token."""
