"""What follows from attempts beyond the delivery itself: for its endpoint, for the operator.

An endpoint that answers 410 is disabled, and one that has done nothing but fail for days.
What waits for an endpoint that is disabled or deleted is dead, and so is what is older than
any schedule. The operator is told of dead letters and of endpoints that were disabled.

Not here: the deliveries under way (deliverer.py), the rules (domain/deliveries.py).
"""

import logging
from collections.abc import Collection, Iterable
from typing import NamedTuple, Protocol

from jobd.domain.clock import Clock
from jobd.domain.deliveries import (
    Attempted,
    DeadReason,
    DeliveryStatus,
    Due,
    has_failed_too_long,
    speaks_of_receiver,
)
from jobd.domain.endpoints import DisabledReason, Disabling, Endpoint, Endpoints, Health
from jobd.domain.errors import StorageFull, Unavailable
from jobd.store.deliveries import SLICE, Deliveries, Save
from jobd.webhooks.ops import PRINCIPAL, Tell

log = logging.getLogger(__name__)

SOON_MS = 1000
"""The least wait for something to become too old: two clocks decide that."""


class EndpointWriter(Protocol):
    """The verbs that the daemon itself has for endpoints (store/writer.py)."""

    @property
    def endpoints(self) -> Endpoints:
        """All endpoints, as of the newest commit."""

    async def note_health(self, health: Health) -> Endpoint | None:
        """Note since when an endpoint fails."""

    async def disable_endpoint(self, disabling: Disabling) -> Endpoint | None:
        """Have an endpoint told no more."""


class _Dead(NamedTuple):
    """A delivery that is exhausted."""

    delivery_id: str
    receiver: str
    endpoint_id: str | None
    principal: str


class Aftermath:
    """Collects what attempts mean for endpoints, and writes it."""

    def __init__(
        self, deliveries: Deliveries, writer: EndpointWriter, clock: Clock, *, tell: Tell
    ) -> None:
        self._deliveries = deliveries
        self._writer = writer
        self._clock = clock
        self._tell = tell
        self._went_well: dict[str, bool] = {}
        """Endpoints that were asked, and whether any attempt arrived."""
        self._gone: set[str] = set()
        """Endpoints that answered 410."""

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint as it is now; None if it is gone."""
        return self._writer.endpoints.get(endpoint_id)

    def attempted(self, ended: Iterable[tuple[Due, Attempted]]) -> None:
        """Take in attempts that have been recorded."""
        exhausted = []
        for due, attempted in ended:
            delivery, verdict = due.delivery, attempted.verdict
            if verdict.status is DeliveryStatus.DEAD:
                # no URL here: it may hold a receiver's secret
                log.warning(
                    "A delivery is dead.",
                    extra={"delivery_id": delivery.delivery_id, "reason": verdict.dead_reason},
                )
            if verdict.dead_reason == "exhausted":
                whose = (delivery.receiver, delivery.endpoint_id, delivery.principal)
                exhausted.append(_Dead(delivery.delivery_id, *whose))
            if delivery.endpoint_id is not None:
                self._note(delivery.endpoint_id, attempted)
        self._tell_exhausted(exhausted)

    def _note(self, endpoint_id: str, attempted: Attempted) -> None:
        if attempted.verdict.dead_reason == "gone":
            self._gone.add(endpoint_id)
        if speaks_of_receiver(attempted.attempt):
            ok = attempted.attempt.error is None
            self._went_well[endpoint_id] = ok or self._went_well.get(endpoint_id, False)

    async def settle(self) -> None:
        """Write what has changed for endpoints; what cannot be written now waits."""
        try:
            while self._gone:
                await self._disable(next(iter(self._gone)), "gone")
                self._gone.pop()
            while self._went_well:
                endpoint_id, ok = next(iter(self._went_well.items()))
                await self._note_health(endpoint_id, ok=ok)
                del self._went_well[endpoint_id]
        except (StorageFull, Unavailable) as error:
            log.error("The health of endpoints is not noted yet.", extra={"reason": error.detail})  # noqa: TRY400 - no bug to trace

    async def _note_health(self, endpoint_id: str, *, ok: bool) -> None:
        endpoint = self.endpoint(endpoint_id)
        if endpoint is None or not endpoint.enabled:
            return
        now_ms = self._clock.trusted_ms()
        if ok == (endpoint.failing_since_ms is not None):
            await self._writer.note_health(Health(endpoint_id, ok=ok, at_ms=now_ms))
        elif not ok and has_failed_too_long(endpoint.failing_since_ms, now_ms):
            await self._disable(endpoint_id, "failing")

    async def _disable(self, endpoint_id: str, reason: DisabledReason) -> None:
        endpoint = self.endpoint(endpoint_id)
        if endpoint is None or not endpoint.enabled:
            return
        if await self._writer.disable_endpoint(Disabling(endpoint_id, reason)) is None:
            return
        log.warning("An endpoint is disabled.", extra={"endpoint_id": endpoint_id, "why": reason})
        data = {"endpoint_id": endpoint_id, "principal": endpoint.principal, "reason": reason}
        self._tell("webhook.endpoint_disabled", data)

    async def end(
        self, receiver: str, reason: DeadReason, held: Collection[str], save: Save
    ) -> None:
        """End what waits for an endpoint that is told no more, but what is `held`.

        What can be delivered once more is given to `save` if it was never sent.
        """
        kept = None if reason == "endpoint_deleted" else save
        killed = await self._deliveries.kill(receiver, reason, held, save=kept)
        if killed:
            extra = {"endpoint_id": receiver, "reason": reason, "deliveries": killed}
            log.warning("Deliveries are dead.", extra=extra)

    async def bury(self, age_ms: int, held: Collection[str], save: Save) -> int:
        """End some of what is older than `age_ms` and not `held`; return when to look again.

        In wall ms: at once if there may be more. `save` as for `end`.
        """
        died = await self._deliveries.kill_overdue(age_ms, held, save=save)
        if died:
            log.warning("Deliveries are dead: their time is over.", extra={"count": len(died)})
        self._tell_exhausted(_Dead(*one) for one in died)
        now_ms = self._clock.wall_ms()
        if len(died) == SLICE:
            return now_ms
        next_ms = await self._deliveries.next_overdue(age_ms)
        wait_ms = age_ms if next_ms is None else next_ms - self._clock.trusted_ms()
        return now_ms + max(wait_ms, SOON_MS)

    def _tell_exhausted(self, dead: Iterable[_Dead]) -> None:
        """Tell of each receiver that did not take what it was sent; not of the operator's own."""
        by_receiver: dict[str, list[_Dead]] = {}
        for one in dead:
            if one.principal != PRINCIPAL:
                by_receiver.setdefault(one.receiver, []).append(one)
        for some in by_receiver.values():
            data = {**some[0]._asdict(), "deliveries": len(some)}
            self._tell("webhook.delivery_exhausted", data)
