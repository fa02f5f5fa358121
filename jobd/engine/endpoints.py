"""Webhook endpoints as commands: register, change, remove, rotate, test, deliver once more.

A change is in force from the transaction that stores it; then whoever delivers is told.

Not here: HTTP (api/endpoints.py, api/deliveries.py), who is told of what
(domain/endpoints.py), the sending (webhooks/).
"""

from collections.abc import Awaitable, Callable

from jobd.domain.clock import Clock
from jobd.domain.deliveries import DeliveryView, Policy, RotatedSecret
from jobd.domain.endpoints import (
    ID_PREFIX,
    Endpoint,
    EndpointChange,
    EndpointRemoval,
    EndpointRotation,
    NewEndpoint,
    Outright,
    check,
)
from jobd.domain.errors import Conflict, NotFound
from jobd.domain.ids import IdSource
from jobd.domain.signing import new_secret
from jobd.engine.written import reading_back
from jobd.store.delivery_log import DeliveryLog
from jobd.store.writer import Writer
from jobd.wire.webhooks import TEST, encode_test


class Webhooks:
    """The endpoints there are, and what was sent to them."""

    def __init__(
        self,
        writer: Writer,
        log: DeliveryLog,
        clock: Clock,
        *,
        policy: Policy,
        rotate: Callable[[str, float], Awaitable[RotatedSecret]],
        changed: Callable[[str], None],
    ) -> None:
        """Use `rotate` for the secrets of callbacks; call `changed` with an endpoint's id."""
        self.log = log
        self._writer = writer
        self._clock = clock
        self._policy = policy
        self._rotate = rotate
        self._changed = changed
        self._ids = IdSource()

    def of(self, principal: str | None) -> list[Endpoint]:
        """Return a principal's endpoints, or everybody's, the oldest first."""
        return self._writer.endpoints.of(principal)

    def get(self, endpoint_id: str, seen: Callable[[str], bool] = lambda _: True) -> Endpoint:
        """Return the endpoint if those of its principal are `seen`; raises NotFound."""
        endpoint = self._writer.endpoints.get(endpoint_id)
        if endpoint is None or not seen(endpoint.principal):
            raise NotFound("endpoint_not_found", f"There is no endpoint {endpoint_id}.")
        return endpoint

    def new_id(self) -> str:
        """Return an id for an endpoint."""
        return self._ids.next(ID_PREFIX, self._clock.wall_ms())

    def check(self, given: NewEndpoint | EndpointChange) -> None:
        """Raise Invalid for what an endpoint may not be."""
        check(given, self._policy)

    async def add(self, new: NewEndpoint) -> Endpoint:
        """Register an endpoint: what commits later is told to it.

        Raises Invalid, LimitReached (`endpoint_limit`), StorageFull, Unavailable or
        OutcomeUnknown.
        """
        self.check(new)
        return await self._writer.add_endpoint(new)

    async def change(self, change: EndpointChange) -> Endpoint:
        """Change an endpoint and return it as it is then.

        Raises as `add`, NotFound, or JobdError (`precondition_failed`).
        """
        self.check(change)
        endpoint = await self._writer.change_endpoint(change)
        self._changed(endpoint.endpoint_id)
        return endpoint

    async def remove(self, removal: EndpointRemoval) -> None:
        """Delete an endpoint; what waits for it ends dead. Raises as `change`."""
        await self._writer.remove_endpoint(removal)
        self._changed(removal.endpoint_id)

    async def rotate(self, principal: str, endpoint_id: str, overlap_s: float) -> RotatedSecret:
        """Give an endpoint a new secret; the one before signs beside it for `overlap_s`.

        Raises NotFound.
        """
        rotation = EndpointRotation(endpoint_id, principal, new_secret(), round(overlap_s * 1000))
        endpoint = await self._writer.rotate_endpoint(rotation)
        self._changed(endpoint_id)
        return RotatedSecret(endpoint.secret, endpoint.previous_until_ms)

    async def rotate_default(self, principal: str, overlap_s: float) -> RotatedSecret:
        """Give a principal's callbacks a new secret, as `rotate`."""
        return await self._rotate(principal, overlap_s)

    async def test(self, endpoint_id: str) -> DeliveryView:
        """Send an endpoint a message that tells of nothing; return its delivery, which is due.

        Raises NotFound, or Conflict (`endpoint_disabled`).
        """
        endpoint = self.get(endpoint_id)
        if not endpoint.enabled:
            raise Conflict("endpoint_disabled", "The endpoint is disabled; enable it first.")
        message = Outright(
            type=TEST,
            body=encode_test(endpoint_id, self._clock.wall_ms()),
            principal=endpoint.principal,
            url=endpoint.url,
            endpoint_id=endpoint_id,
        )
        delivery_id = await self._writer.tell(message)
        with reading_back():
            return await self.log.one(endpoint.principal, delivery_id)

    async def redeliver(self, principal: str, delivery_id: str) -> DeliveryView:
        """Send what is over once more, by a new schedule; return its delivery as it is then.

        Raises NotFound (`delivery_not_found`, `endpoint_not_found`), or Conflict
        (`delivery_active`, `endpoint_disabled`).
        """
        await self.log.redeliver_one(principal, delivery_id)
        with reading_back():
            return await self.log.one(principal, delivery_id)
