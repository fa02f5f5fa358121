"""Receivers of webhooks that answer, fail, hang, or take a message and lose the answer.

Not here: what is sent and when (webhooks/deliverer.py), what an attempt means (domain/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.domain.deliveries import DeliveryAttempt
from jobd.webhooks.sender import Sender
from tests.sim.weather import pause

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from jobd.domain.clock import Clock
    from jobd.webhooks.sender import Post
    from tests.sim.weather import Weather

    Received = Callable[[Post], None]

TIMEOUT_S = 20.0
ANSWERS = {"takes it": 5, "fails": 3, "hangs": 1, "loses its answer": 2, "is down": 2, "is gone": 1}


class SimSender(Sender):
    """Attempts that reach nobody."""

    def __init__(
        self, clock: Clock, rng: random.Random, weather: Weather, received: Received
    ) -> None:
        # of the base nothing is used: it is the type that the deliverer asks for
        self.timeout_s = TIMEOUT_S
        self._clock = clock
        self._rng = rng
        self._weather = weather
        self._received = received
        self.under_way = 0

    async def send(self, post: Post) -> DeliveryAttempt:
        began_ms = self._clock.wall_ms()
        answer = "takes it"
        if not self._weather.calm:
            answer = self._rng.choices([*ANSWERS], [*ANSWERS.values()])[0]
        self._weather.counts[f"receiver {answer}"] += 1
        self.under_way += 1
        try:
            await pause(self._rng.uniform(0.001, 0.5))
            if answer in {"takes it", "loses its answer"}:
                self._received(post)
            if answer in {"hangs", "loses its answer"}:
                await pause(TIMEOUT_S)
        finally:
            self.under_way -= 1
        return self._attempt(post, began_ms, answer)

    def _attempt(self, post: Post, began_ms: int, answer: str) -> DeliveryAttempt:
        took_ms = max(0, self._clock.wall_ms() - began_ms)
        match answer:
            case "takes it":
                return DeliveryAttempt(post.attempt, began_ms, took_ms, status_code=200)
            case "fails":
                return DeliveryAttempt(post.attempt, began_ms, took_ms, 500, "http_status")
            case "is gone":
                return DeliveryAttempt(post.attempt, began_ms, took_ms, 410, "http_status")
            case "is down":
                return DeliveryAttempt(post.attempt, began_ms, took_ms, error="connect")
        return DeliveryAttempt(post.attempt, began_ms, took_ms, error="timeout")

    async def close(self) -> None:
        """Nothing is open."""
