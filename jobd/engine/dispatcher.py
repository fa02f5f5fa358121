"""One attempt from claim to settlement, for each claim the writer hands over.

The writer asks `free_slots` and `ahead` for every batch and claims for them in the same
commit; each claim is handed to the pool at once, what its outcome means is decided, and it is
settled. A lost lease drops the outcome: somebody else owns the attempt. A claim that is
unwanted before its worker has begun it (cancelled, its queue paused, an upload gone) charges
nobody.

An attempt is a chain of callbacks and no task.

Not here: what an outcome means (domain/outcomes.py), processes (pool/).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from jobd.domain.ahead import NOTHING, Ahead
from jobd.domain.backoff import BackoffPolicy
from jobd.domain.catalog import Lane
from jobd.domain.errors import JobdError, LeaseLost
from jobd.domain.jobs import Checkpoint, Claim, JobError, Progress
from jobd.domain.outcomes import NotStarted, Outcome, Refused, decide
from jobd.engine.endings import Endings
from jobd.engine.inputs import missing_file, names_files
from jobd.engine.kinds import Kinds
from jobd.engine.logs import AttemptLogs
from jobd.engine.progress import ProgressReports
from jobd.files.layout import Layout
from jobd.files.logs import Logs
from jobd.store.writer import Writer

log = logging.getLogger(__name__)


class Pool(Protocol):
    """The worker processes, as the dispatcher needs them (pool/supervisor.py)."""

    def free(self) -> dict[Lane, int]:
        """Jobs that could be handed over now, by lane."""

    def ahead(self) -> Ahead:
        """Return what the cpu lane takes beyond that."""

    def begin(self, claim: Claim) -> asyncio.Future[Outcome]:
        """Run one attempt; the future ends when it is over and nothing of it is left running."""

    def cancel(self, token: str) -> bool:
        """Begin to end an attempt; False if it has ended, as one that no worker has begun."""

    def recall(self, token: str) -> bool:
        """Take a claim back that no worker has begun; False if one has."""


class Dispatcher:
    """Runs what is claimed; the pool's listener and the writer's source of free slots."""

    def __init__(
        self,
        kinds: Kinds,
        logs: Logs,
        *,
        layout: Layout,
        default_backoff: BackoffPolicy,
        random: Callable[[], float],
        endings: Endings | None = None,
    ) -> None:
        self._kinds = kinds
        self._endings = endings or Endings()
        self._logs = AttemptLogs(logs)
        self._layout = layout
        self._default_backoff = default_backoff
        self._random = random
        self._claims: dict[str, Claim] = {}
        self._none_left = asyncio.Event()
        self._none_left.set()
        self._looks: set[asyncio.Task[None]] = set()
        self._not_begun: dict[Lane, set[str]] = {"cpu": set(), "io": set()}
        """Tokens of claims that the pool has not been given, while their uploads are looked at."""
        self._cancelled: set[str] = set()
        self._recalled: set[str] = set()
        self._awaited: dict[str, list[asyncio.Future[None]]] = {}
        self._accepting = False
        self._pool: Pool
        self._writer: Writer
        self._progress: ProgressReports

    def start(self, pool: Pool, writer: Writer) -> None:
        """Begin to take claims."""
        self._pool = pool
        self._writer = writer
        self._progress = ProgressReports(writer)
        self._accepting = True
        writer.wake()

    def pause(self) -> None:
        """Take no more claims; what runs goes on."""
        self._accepting = False

    def paused(self, queue: str) -> None:
        """Give back what is claimed of the queue and not begun; nobody is charged.

        Call it after the commit that paused the queue. What runs goes on.
        """
        for token, claim in list(self._claims.items()):
            if claim.queue != queue:
                continue
            if token in self._not_begun[claim.lane]:
                self._recalled.add(token)
            else:
                self._pool.recall(token)

    async def settled(self, within_s: float | None = None) -> bool:
        """Wait until every attempt that was begun has been settled; False if that took too long.

        While the disk is full or its lock is somebody else's, settlements wait in the
        writer. What they could not say within `within_s` the next start finds as an orphan.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._none_left.wait()
        except TimeoutError:
            log.error("Attempts are over and not stored.", extra={"count": len(self._claims)})  # noqa: TRY400 - the writer has logged the cause
            return False
        return True

    def free_slots(self) -> Mapping[Lane, int]:
        """Jobs that could start now, by lane: the pool's, less what is on its way there."""
        if not self._accepting:
            return {}
        # a worker that dies takes its slots at once, while what was on its way stays counted
        return {
            lane: max(0, n - len(self._not_begun[lane])) for lane, n in self._pool.free().items()
        }

    def ahead(self) -> Ahead:
        """Return what the cpu lane takes beyond its free slots; nothing if one is spoken for."""
        if not self._accepting or self._not_begun["cpu"]:
            return NOTHING
        return self._pool.ahead()

    def claimed(self, claims: list[Claim]) -> None:
        """Run these; called by the writer after the commit that made them."""
        self._none_left.clear()
        for claim in claims:
            self._claims[claim.token] = claim
            if names_files(claim.args):  # most name none: no task and no thread for them
                self._not_begun[claim.lane].add(claim.token)
                look = asyncio.create_task(self._look_and_begin(claim))
                self._looks.add(look)
                look.add_done_callback(self._looks.discard)
            else:
                self._begin(claim)

    def cancel(self, token: str) -> Awaitable[None]:
        """Begin to end the attempt that holds this lease, also one that is not begun yet.

        What is returned waits until it is settled if no worker has begun it or it has ended.
        """
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if token in self._claims:
            self._cancelled.add(token)
            if not self._pool.cancel(token):
                self._awaited.setdefault(token, []).append(over)
                return over
        over.set_result(None)
        return over

    async def _look_and_begin(self, claim: Claim) -> None:
        gone = await asyncio.to_thread(missing_file, self._layout, claim.args)
        self._not_begun[claim.lane].discard(claim.token)
        if claim.token in self._cancelled or claim.token in self._recalled:
            self._ended(claim, NotStarted())
        elif gone is not None:
            self._ended(claim, Refused(_input_missing(gone)))
        else:
            self._begin(claim)

    def _begin(self, claim: Claim) -> None:
        outcome = self._pool.begin(claim)
        outcome.add_done_callback(lambda ended: self._ended(claim, ended.result()))

    def _ended(self, claim: Claim, outcome: Outcome) -> None:
        self._progress.forget(claim.token)
        self._logs.close(claim)
        settlement = decide(
            claim,
            outcome,
            backoff=self._backoff(claim.kind),
            random=self._random,
            cancel_requested=claim.token in self._cancelled,
        )
        self._endings.settles(claim, settlement)
        try:
            answer = self._writer.settling(settlement)
        except JobdError as error:
            self._settled(claim, error)
        else:
            answer.add_done_callback(lambda settled: self._settled(claim, settled.exception()))

    def _settled(self, claim: Claim, error: BaseException | None) -> None:
        del self._claims[claim.token]
        self._recalled.discard(claim.token)
        self._cancelled.discard(claim.token)
        for over in self._awaited.pop(claim.token, ()):
            if not over.done():  # who waited was cancelled
                over.set_result(None)
        if not self._claims:
            self._none_left.set()
        if isinstance(error, LeaseLost):
            log.warning("The lease was lost; the outcome is dropped.", extra=_about(claim))
        elif isinstance(error, JobdError):
            # the row stays `processing`: the next start finds and releases it
            log.error("An outcome was not stored.", extra=_about(claim) | {"code": error.code})
        elif error is not None:
            raise error

    def _backoff(self, kind: str) -> BackoffPolicy:
        catalog = self._kinds.catalog
        spec = catalog.handlers.get(kind) if catalog else None
        return spec.backoff if spec and spec.backoff else self._default_backoff

    def slots_free(self) -> None:
        """Claim more: a worker has room."""
        if self._accepting:
            self._writer.wake()

    def unavailable(self, kind: str, message: str) -> None:
        """Claim no more of a kind that a worker could not import; its jobs wait parked."""
        log.error("A handler cannot be imported.", extra={"kind": kind, "reason": message})
        self._kinds.withdraw(kind, message)

    def progressed(self, claim: Claim, progress: Progress) -> None:
        """Store how far an attempt is, at most twice a second."""
        self._progress.report(claim, progress)

    def logged(self, claim: Claim, stream: str, at_ms: int, /, *lines: str) -> None:
        """Keep lines that an attempt wrote."""
        self._logs.write(claim, stream, at_ms, lines)

    async def checkpointed(self, claim: Claim, data: bytes) -> bool:
        """Make a checkpoint durable; False if that cannot be, which ends the attempt uncharged."""
        try:
            await self._writer.checkpoint(Checkpoint(claim.seq, claim.token, data))
        except LeaseLost:
            return False
        except JobdError as error:
            log.warning("A checkpoint was not stored.", extra=_about(claim) | {"code": error.code})
            return False
        return True


def _input_missing(file_id: str) -> JobError:
    return JobError(
        "input_missing",
        f"The upload {file_id}, which the args name, is not on disk any more.",
        retryable=False,
        details={"file_id": file_id},
    )


def _about(claim: Claim) -> dict[str, object]:
    return {"job_id": claim.job_id, "kind": claim.kind, "attempt": claim.attempt}
