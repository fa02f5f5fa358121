"""What must be true of the rows, looked at behind every single commit.

It believes no code of jobd's store: it reads the tables, and remembers what they said.

Not here: what clients and handlers saw (tests/checker/history.py judges that).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from jobd.domain.events import CALLBACK_TYPES, TERMINAL_TYPES
from jobd.domain.statuses import INITIAL, MOVES, TERMINAL, Status

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

_JOBS = """
SELECT
  seq, jobs.job_id, status, attempt, lease_token, queue, retry_of, cancel_requested, run_at,
  expires_at, error, body, jobs.lane, kind, priority, parked_at, start_before,
  failures, crashes, interrupted, released, snoozes, created_at,
  (SELECT count(*) FROM deliveries WHERE deliveries.seq = jobs.seq AND next_attempt_at IS NOT NULL),
  jobs.principal, callback_mask
FROM jobs LEFT JOIN job_results USING (seq)
"""
_EVENTS = "SELECT id, seq, type, attempt FROM events WHERE id > ? ORDER BY id"
_ENDPOINTS = "SELECT endpoint_id, principal, kinds FROM webhook_endpoints WHERE enabled"
_QUEUES = "SELECT name, concurrency, concurrency_set, paused FROM queues"
_ARGS = "SELECT args FROM job_inputs WHERE seq = ?"
_KEYS = "SELECT principal, key, count(*) FROM idempotency GROUP BY 1, 2 HAVING count(*) > 1"

CALLBACK = "https://receiver.example"

YOUNG_MS = 100_000
"""A job of that age is not expired by any clock."""
DELETED_MEANWHILE = 3
"""So many jobs may clients delete between a look at how many there are and its end."""


class Row(NamedTuple):
    """A job as its rows say."""

    seq: int
    job_id: str
    status: str
    attempt: int
    token: str | None
    queue: str
    retry_of: str | None
    cancel_requested: int
    run_at: int | None
    expires_at: int | None
    error: str | None
    body: bytes | None
    lane: str
    kind: str
    priority: int
    parked_at: int | None
    start_before: int | None
    failures: int
    crashes: int
    interrupted: int
    released: int
    snoozes: int
    created_at: int
    unsettled: int
    principal: str
    callback_mask: int

    @property
    def end(self) -> tuple[Any, ...]:
        """What never changes once the job is over."""
        return self.status, self.attempt, self.expires_at, self.error, self.body

    @property
    def order(self) -> tuple[int, int]:
        """Who is first in a queue."""
        return self.priority, self.seq

    def may_begin(self, now_ms: int) -> bool:
        """Whether it is queued, and no deadline is near."""
        waits = self.status == "queued" and self.parked_at is None
        return waits and self.start_before is None and now_ms - self.created_at < YOUNG_MS

    @property
    def charges(self) -> tuple[int, ...]:
        """What its attempts have cost it."""
        return self.failures, self.crashes, self.interrupted, self.released, self.snoozes


class Oracle:
    """The rows as they were after the newest commit, and what was wrong with any commit."""

    def __init__(
        self,
        limits: Mapping[str, int],
        *,
        max_jobs: int,
        wall_ms: Callable[[], int],
        note: Callable[..., None],
    ) -> None:
        """Hold what expires against `wall_ms`, the latest time that anybody may go by."""
        self._limits = limits
        self._max_jobs = max_jobs
        self._wall_ms = wall_ms
        self._note = note
        self.jobs: dict[int, Row] = {}
        self.seqs: dict[str, int] = {}
        """Of every job there ever was, by its id."""
        self.labels: dict[str, str | None] = {}
        """The key of every job there ever was, by its id."""
        self.told: dict[int, str] = {}
        """The status of every job there ever was, as its events told."""
        self.deletable: Counter[str] = Counter()
        """By job: deletes that clients have asked for and that were not refused."""
        self.retired: Callable[[str], None] = lambda _: None
        self.begun: set[str] = set()
        """Tokens of the attempts that a worker has begun."""
        self.recovering: Callable[[], bool] = lambda: False
        """Whether a daemon takes over what another has left."""
        self.transitions: Counter[str] = Counter()
        self.violations: list[str] = []
        self.newest_event = 0
        self.owed: dict[int, tuple[int, list[str]]] = {}
        """By event, its job and who has to be told of it."""
        self._too_many = 0
        self._tokens: set[str] = set()

    def wrong(self, said: str) -> None:
        self.violations.append(said)

    def look(self, connection: sqlite3.Connection) -> None:
        """Judge the commit that was just made."""
        jobs = {row[0]: Row(*row) for row in connection.execute(_JOBS).fetchall()}
        for seq in jobs.keys() - self.jobs.keys():
            self._appeared(connection, jobs[seq])
        self._too_many = sum(row.status in TERMINAL for row in self.jobs.values()) - self._max_jobs
        for seq in self.jobs.keys() - jobs.keys():
            self._vanished(self.jobs[seq])
        for seq, row in jobs.items():
            old = self.jobs.get(seq)
            if old is not None and old.status in TERMINAL and old.end != row.end:
                self.wrong(f"job {seq} was over as {old.end} and became {row.end}")
            if old is not None:
                self._charges(old, row)
        self._events(connection, jobs)
        self._leases(connection, jobs)
        for principal, key, n in connection.execute(_KEYS).fetchall():
            self.wrong(f"the key {key} of {principal} has {n} rows")
        self.jobs = jobs

    def _charges(self, old: Row, row: Row) -> None:
        """Hold what an attempt has cost against whether it began."""
        ended = old.token is not None and row.token != old.token
        if old.charges != row.charges and not ended:
            self.wrong(f"job {row.seq} was charged without an attempt")
        if not ended or old.token in self.begun or self.recovering():
            return
        if old.charges != row.charges:
            self.wrong(f"job {row.seq} was charged for an attempt that never began")
        attempt = row.attempt - (row.status == "processing")
        if row.status in {"queued", "processing"} and attempt != old.attempt - 1:
            self.wrong(f"job {row.seq} lost attempt {old.attempt}, which never began")

    def _appeared(self, connection: sqlite3.Connection, row: Row) -> None:
        if row.seq in self.seqs.values() or row.job_id in self.seqs:
            self.wrong(f"job {row.seq} was there before")
        self.seqs[row.job_id] = row.seq
        ((args,),) = connection.execute(_ARGS, [row.seq]).fetchall()
        label = msgspec.json.decode(args)["key"]
        self.labels[row.job_id] = f"retry of {row.retry_of}" if row.retry_of else label

    def _vanished(self, row: Row) -> None:
        if row.status not in TERMINAL:
            self.wrong(f"job {row.seq} was {row.status} and is gone")
        due = row.expires_at is not None and row.expires_at <= self._wall_ms()
        if self.deletable[row.job_id] and not due:
            self.transitions["deleted"] += 1
            return
        self.transitions["expired and gone" if due else "too many and gone"] += 1
        self._too_many -= not due
        if self._too_many < -DELETED_MEANWHILE and not due:
            self.wrong(f"job {row.seq} was retired before its time")
        if row.unsettled and not self.deletable[row.job_id]:
            self.wrong(f"job {row.seq} was retired with {row.unsettled} callbacks to make")
        self.retired(row.job_id)

    def _events(self, connection: sqlite3.Connection, jobs: Mapping[int, Row]) -> None:
        events = connection.execute(_EVENTS, [self.newest_event]).fetchall()
        for id_, seq, type_, attempt in events:
            self.newest_event = id_
            word = type_.removeprefix("job.")
            self._note("event", seq, word, attempt)
            if seq in jobs:
                self.owed[id_] = seq, self._receivers(connection, jobs[seq], type_)
            if word == "cancel_requested":
                continue
            old = self.told.get(seq)
            self.told[seq] = word
            self.transitions[f"{old or 'new'} → {word}"] += 1
            fits = word in (INITIAL if old is None else MOVES[Status(old)])
            if not fits:
                self.wrong(f"job {seq} was told to be {old} and then {word}")
            row = self.jobs.get(seq)
            if row is not None and word in {"queued", "retrying"}:
                self._comes_back(row)
        for seq, row in jobs.items():
            if self.told.get(seq) != row.status:
                self.wrong(f"job {seq} is {row.status} and its events say {self.told.get(seq)}")

    def _receivers(self, connection: sqlite3.Connection, row: Row, type_: str) -> list[str]:
        """Return who is to be told of an event, as the commit has it."""
        to = [CALLBACK] if row.callback_mask >> CALLBACK_TYPES.index(type_) & 1 else []
        for endpoint_id, principal, kinds in connection.execute(_ENDPOINTS).fetchall():
            wanted = row.kind in msgspec.json.decode(kinds) and type_ in TERMINAL_TYPES
            to += [endpoint_id] if wanted and principal == row.principal else []
        return to

    def _comes_back(self, row: Row) -> None:
        if row.cancel_requested:
            self.wrong(f"job {row.seq} was cancelled and is to run again")
        due_ms = row.run_at if row.status in {"scheduled", "retrying"} else None
        if due_ms is not None and due_ms > self._wall_ms():
            self.wrong(f"job {row.seq} was queued {due_ms - self._wall_ms()} ms too early")

    def _leases(self, connection: sqlite3.Connection, jobs: Mapping[int, Row]) -> None:
        """Hold new claims against pauses and limits as they stand in the same commit."""
        claimed = Counter[str]()
        latest: dict[tuple[str, str, str], tuple[int, int]] = {}
        running = Counter(row.queue for row in jobs.values() if row.status == "processing")
        for seq, row in jobs.items():
            if row.token is None:
                continue
            old = self.jobs.get(seq)
            if old is not None and old.token == row.token:
                continue
            if row.token in self._tokens:
                self.wrong(f"job {seq} has a token that was used before")
            if old is not None and old.attempt >= row.attempt and old.status != "processing":
                self.wrong(f"job {seq} began attempt {row.attempt} after attempt {old.attempt}")
            self._tokens.add(row.token)
            claimed[row.queue] += 1
            last = latest.setdefault((row.lane, row.queue, row.kind), row.order)
            latest[row.lane, row.queue, row.kind] = max(last, row.order)
        self._limits_kept(connection, claimed, running)
        for row in jobs.values():
            claimed_last = latest.get((row.lane, row.queue, row.kind), row.order)
            if row.may_begin(self._wall_ms()) and row.order < claimed_last:
                self.wrong(f"job {row.seq} is queued behind one that was claimed before it")

    def _limits_kept(
        self, connection: sqlite3.Connection, claimed: Mapping[str, int], running: Counter[str]
    ) -> None:
        rules = {name: rest for name, *rest in connection.execute(_QUEUES).fetchall()}
        for queue in claimed:
            limit, is_set, paused = rules.get(queue, (None, 0, 0))
            if not is_set:
                limit = self._limits.get(queue)
            if paused:
                self.wrong(f"the queue {queue} is paused and was claimed from")
            if limit is not None and running[queue] > limit:
                self.wrong(f"the queue {queue} runs {running[queue]} jobs of {limit}")
