"""The daemon's webhooks, joined: who renders, who delivers, who tells the operator.

Not here: when they start and stop (run.py).
"""

import random
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from typing import Any

from jobd.config import Config, ConfigError
from jobd.domain.batches import COMPLETED_TYPE
from jobd.domain.clock import Clock
from jobd.domain.deliveries import Message, parse_target
from jobd.domain.errors import Invalid
from jobd.domain.jobs import Claim, Job
from jobd.store.database import Database
from jobd.store.deliveries import Deliveries
from jobd.store.readers import Readers
from jobd.store.tally import Tally
from jobd.store.waits import Waits
from jobd.store.writer import Writer
from jobd.webhooks.aftermath import Aftermath
from jobd.webhooks.deliverer import Deliverer
from jobd.webhooks.egress import Policy
from jobd.webhooks.ops import Jams, Ops, OpsOutbox
from jobd.webhooks.sender import Sender
from jobd.wire.batches import encode_batch_notice
from jobd.wire.webhooks import encode_job, encode_notice

GRACE_S = 5.0
"""How long attempts under way may go on when the daemon stops; they are made again."""


def check_ops_url(config: Config, policy: Policy) -> None:
    """Raise ConfigError if the operator may not be sent to where they want it."""
    try:
        if config.webhooks.ops_url:
            parse_target(config.webhooks.ops_url, policy)
    except Invalid as error:
        raise ConfigError(f"webhooks.ops_url: {error.detail}") from error


class Outgoing:
    """What delivers, and what there is for it to deliver."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        policy: Policy,
        *,
        database: Database,
        died: Callable[[BaseException], None],
    ) -> None:
        self._clock = clock
        self._readers = Readers(database)
        self._public_url = config.server.public_url.rstrip("/")
        self._deliveries = Deliveries(database, clock)
        self._sender = Sender(policy, clock, timeout_s=config.webhooks.timeout_s)
        self.deliverer = Deliverer(
            self._deliveries,
            self._sender,
            clock,
            render=self.render,
            policy=policy,
            schedule_s=config.webhooks.schedule_s,
            random=random.random,
            died=died,
        )
        url = config.webhooks.ops_url
        outbox = OpsOutbox(database, clock, url, told=self.deliverer.wake) if url else None
        self.ops = Ops(clock, outbox)
        self._jams = Jams(Waits(database), clock, tally=self._tally, tell=self.ops.tell)
        self._watched = outbox is not None
        self._writer: Writer

    def start(self, writer: Writer) -> None:
        """Deliver what is due; the writer has begun, so that its endpoints are known."""
        self._writer = writer
        self.deliverer.start(Aftermath(self._deliveries, writer, self._clock, tell=self.ops.tell))

    def claimed(self, claims: Collection[Claim]) -> None:
        """Note that these jobs start."""
        if self._watched:
            self._jams.claimed(claims)

    def background(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Return what runs until the daemon stops: nothing, if the operator wants no events."""
        if self._watched:
            yield self.ops.run()
            yield self._jams.run()

    def _tally(self) -> Tally:
        return self._writer.tally

    async def close(self) -> None:
        """Stop, let what is under way end, and close the connections."""
        await self.deliverer.stop(GRACE_S)
        await self._sender.close()

    async def render(self, messages: Sequence[Message]) -> list[bytes | None]:
        """Return what each message says, None where its job is gone."""
        seqs = {one.seq for one in messages if one.type != COMPLETED_TYPE}
        jobs = await self._readers.get_many(list(seqs)) if seqs else {}
        return [
            await self._of_batch(one)
            if one.type == COMPLETED_TYPE
            else self._of_job(one, jobs.get(one.seq))
            for one in messages
        ]

    async def _of_batch(self, message: Message) -> bytes | None:
        batch = await self._readers.batches.by_seq(-message.seq)
        return None if batch is None else encode_batch_notice(batch, public_url=self._public_url)

    def _of_job(self, message: Message, job: Job | None) -> bytes | None:
        if job is None:
            return None
        encode = encode_job if message.payload == "job" else encode_notice
        return encode(message, job, public_url=self._public_url)
