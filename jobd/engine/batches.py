"""Batches as commands: take line by line, write part by part, cancel, retry what failed.

What is taken is held until its last line has come: a body that breaks off queues nothing.
Then one part at a time is written, of all batches together, so that other requests come in
between. Whoever sends a batch again with its key after a break goes on where it stood.

Not here: HTTP (api/batches.py), the lines (batch_lines.py), the rows (store/batches.py).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jobd.config import Config
from jobd.domain.batches import Batch, NewBatch, Report
from jobd.domain.clock import Clock
from jobd.domain.errors import Conflict, Invalid, JobdError, LimitReached, NotFound, Unavailable
from jobd.domain.ids import IdSource
from jobd.domain.jobs import Cancelled
from jobd.domain.statuses import TERMINAL, Status
from jobd.engine.batch_lines import JOBS_AT_ONCE, Lines, Resolve, Taking
from jobd.engine.written import reading_back
from jobd.store import batches as store
from jobd.store.finished import Retry
from jobd.store.writer import Writer

HELD_BYTES = 256 * 1024 * 1024
"""Of lines of batches that are being taken, all together; of one principal's half of it."""


class Batches:
    """The batches of jobs."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        *,
        writer: Writer,
        batches: store.Batches,
        end: Callable[[str], Awaitable[None]],
    ) -> None:
        """Use `end` to begin to end the attempt with a lease."""
        self._config = config
        self._clock = clock
        self._writer = writer
        self._batches = batches
        self._end = end
        self._new_id = IdSource().next
        self._turn = asyncio.Lock()
        self._keys: set[tuple[str, str | None]] = set()
        self._keys_written: set[tuple[str, str | None]] = set()
        """Of batches that are being written, also when their callers are gone."""
        self._writing: set[asyncio.Task[tuple[Batch, bool]]] = set()
        self._taking: set[Taking] = set()

    async def find(self, batch_id: str) -> Batch | None:
        """Return a batch in detail, None if there is none."""
        return await self._batches.get(batch_id)

    async def page(self, principal: str | None, before_seq: int | None, limit: int) -> list[Batch]:
        """Return a page of a principal's batches, or of everybody's, newest first."""
        return await self._batches.page(principal, before_seq, limit)

    @contextmanager
    def taking(self, resolve: Resolve, *, whole: bool, principal: str) -> Iterator[Taking]:
        """Take lines during the block; nothing is written before `write`."""
        max_lines = self._config.limits.batch_lines
        taking = Taking(resolve, max_lines=max_lines, whole=whole, principal=principal)
        self._taking.add(taking)
        try:
            yield taking
        finally:
            self._taking.discard(taking)

    def check_room(self, principal: str) -> None:
        """Raise if too much is held of batches being taken.

        LimitReached (`too_many_batches`) if the principal's, Unavailable (`queue_full`) if all.
        """
        own = (one.received_bytes for one in self._taking if one.principal == principal)
        if sum(own) > HELD_BYTES // 2:
            detail = "Too much of your batches is being taken."
            raise LimitReached("too_many_batches", detail, retryable=True, retry_after_s=5)
        if sum(one.received_bytes for one in self._taking) > HELD_BYTES:
            detail = "Too many batches are being taken."
            raise Unavailable("queue_full", detail, retryable=True, retry_after_s=5)

    @contextmanager
    def alone(self, principal: str, key: str | None) -> Iterator[None]:
        """Hold a principal's key; raises Conflict (`idempotency_in_progress`) if it is held."""
        mine = (principal, key)
        if key is None:
            yield
            return
        if mine in self._keys | self._keys_written:
            detail = "A batch with this idempotency key is being taken just now."
            raise Conflict("idempotency_in_progress", detail, retryable=True, retry_after_s=1)
        self._keys.add(mine)
        try:
            yield
        finally:
            self._keys.discard(mine)

    async def write(self, new: NewBatch, taking: Taking) -> tuple[Batch, bool]:
        """Write a batch; return it, and whether its key named it before and nothing was written.

        Goes on to the end when the caller is cancelled. Raises what a submission does, and
        Invalid (`batch_rejected`).
        """
        mine = (new.principal, new.idempotency_key)
        task = asyncio.create_task(self._write(new, taking))
        self._writing.add(task)
        self._keys_written.add(mine)

        def written(done: asyncio.Task[tuple[Batch, bool]]) -> None:
            self._writing.discard(done)
            self._keys_written.discard(mine)
            _look(done)

        task.add_done_callback(written)
        return await asyncio.shield(task)

    def new(self, principal: str) -> NewBatch:
        """Return a new batch without anything."""
        now_ms = self._clock.wall_ms()
        return NewBatch(self._new_id("bat_", now_ms), principal, now_ms, 0)

    async def _write(self, new: NewBatch, taking: Taking) -> tuple[Batch, bool]:
        earlier = await self._earlier(new)
        if earlier is not None and earlier.loaded:
            return earlier, True
        taking.refuse()
        written, there = 0, dict[int, str]()
        if earlier is None:
            seq, batch_id = await self._writer.begin_batch(new), new.batch_id
        else:
            seq, batch_id, written = earlier.seq, earlier.batch_id, earlier.written
            there = {one.index: one.job_id async for one in self._members(seq)}
        try:
            report = await self._add(seq, taking, written, there)
        except JobdError as error:
            if new.idempotency_key is None:  # nobody can go on with it
                self._load(seq, taking.lines.report())
            raise _broken_off(error, batch_id, taking.lines) from error
        if not report.accepted:
            raise taking.lines.refusal("Every line of the batch was rejected.")
        return await self._read(batch_id), False

    async def _add(
        self, seq: int, taking: Taking, written: int, there: Mapping[int, str]
    ) -> Report:
        for some in taking.parts(written, there):
            part = store.Part(seq, some.written, some.jobs, whole=taking.whole, plain=some.plain)
            async with self._turn:
                answers = await self._writer.add_to_batch(part)
            refused = taking.whole and any(isinstance(one, JobdError) for one in answers)
            for job, line, answer in zip(some.jobs, some.lines, answers, strict=True):
                if isinstance(answer, JobdError) or not refused:
                    taking.lines.note(job.batch_index or 0, line, answer)
        report = taking.lines.report()
        await self._writer.load_batch(store.Loaded(seq, report))
        return report

    async def _earlier(self, new: NewBatch) -> Batch | None:
        if new.idempotency_key is None:
            return None
        earlier = await self._batches.of_key(new.principal, new.idempotency_key)
        if earlier is not None and earlier.fingerprint != new.fingerprint:
            detail = f"This idempotency key was used for {earlier.batch_id}, another request."
            raise Invalid("idempotency_key_reused", detail)
        return earlier

    def _load(self, seq: int, report: Report) -> None:
        """Have what is written be all, as soon as that can be written."""
        task = asyncio.ensure_future(self._writer.load_batch(store.Loaded(seq, report)))
        task.add_done_callback(_look)

    async def cancel(self, batch: Batch) -> Batch:
        """Cancel what of a batch has not ended; return it as it is then."""
        async for page in self._pages(batch.seq):
            job_ids = [one.job_id for one in page if one.status not in TERMINAL]
            asked = [asyncio.ensure_future(self._writer.cancel(job_id)) for job_id in job_ids]
            for answer in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(answer, Cancelled):
                    if answer.token is not None:
                        await self._end(answer.token)
                elif not isinstance(answer, NotFound):  # one has been deleted meanwhile
                    raise answer
        return await self._read(batch.batch_id)

    async def retry(self, batch: Batch, statuses: Collection[Status]) -> Batch:
        """Queue a new batch of new jobs like those that ended in one of `statuses`.

        Raises Conflict (`nothing_to_retry`), or what a submission does when there is no room.
        """
        members = [one.job_id async for one in self._members(batch.seq) if one.status in statuses]
        lines = Lines()
        new = NewBatch(
            self._new_id("bat_", self._clock.wall_ms()),
            batch.principal,
            self._clock.wall_ms(),
            self._config.retention.default_s * 1000,
            retry_of=batch.batch_id,
            callback_url=batch.callback_url,
        )
        if not members:
            raise _nothing_to_retry(batch)
        seq = await self._writer.begin_batch(new)
        try:
            await self._copy(seq, members, lines)
        except JobdError:
            self._load(seq, lines.report())
            raise
        if not lines.accepted:
            refusal = lines.refusal("")
            raise _nothing_to_retry(batch) if isinstance(refusal, Invalid) else refusal
        return await self._read(new.batch_id)

    async def _copy(self, seq: int, members: list[str], lines: Lines) -> None:
        for begin in range(0, len(members), JOBS_AT_ONCE):
            now_ms = self._clock.wall_ms()
            some = members[begin : begin + JOBS_AT_ONCE]
            retries = [Retry(job_id, self._new_id("job_", now_ms)) for job_id in some]
            part = store.Part(seq, begin + len(some), retries=retries)
            async with self._turn:
                answers = await self._writer.add_to_batch(part)
            for answer in answers:
                index = lines.add()
                lines.note(index, index + 1, answer)
        await self._writer.load_batch(store.Loaded(seq, lines.report()))

    async def _read(self, batch_id: str) -> Batch:
        with reading_back():
            batch = await self._batches.get(batch_id)
        if batch is None:
            raise NotFound("batch_not_found", f"There is no batch {batch_id}.")
        return batch

    async def _members(self, batch_seq: int) -> AsyncIterator[store.Member]:
        async for page in self._pages(batch_seq):
            for one in page:
                yield one

    async def _pages(self, batch_seq: int) -> AsyncIterator[list[store.Member]]:
        after = 0
        while page := await self._batches.members(batch_seq, after=after, limit=JOBS_AT_ONCE):
            yield page
            after = page[-1].seq


def _look(done: asyncio.Future[Any]) -> None:
    """Take note of an error that nobody else may be there to see."""
    if not done.cancelled():
        done.exception()


def _broken_off(error: JobdError, batch_id: str, lines: Lines) -> JobdError:
    """Return the error, saying how much is written."""
    if lines.accepted:
        error.detail += (
            f" Of batch {batch_id} {lines.accepted} jobs are queued; the same request with the"
            " same Idempotency-Key goes on with the others."
        )
    return error


def _nothing_to_retry(batch: Batch) -> Conflict:
    detail = f"No job of {batch.batch_id} has ended so and was not retried before."
    return Conflict("nothing_to_retry", detail)
