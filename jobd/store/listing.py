"""Which jobs a list shows: a page of them, newest first, whatever is asked for.

Jobs lie in groups, each in an index in the order of seq; a page merges the groups that may
have some. Where no index knows what is asked for, a page looks at so many jobs at most and
may be short, even empty: the place behind it says that there is more. So a page costs the
same among a thousand jobs and among millions.

Not here: the jobs themselves (readers.py), tokens and sizes of pages (api/).
"""

import heapq
import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from jobd.domain.jobs import JobFilter
from jobd.domain.statuses import Status
from jobd.store.queries import load

MOST_VISITED = 50_000
"""Jobs that a page may look at where no index knows what is asked for: about 20 ms."""

MOST_GROUPS = 256
"""Groups that a page merges; of more, all jobs are looked at in their order."""

SAMPLES = 500
"""Of all jobs, to find out which are about as old as is asked for."""

_SQL = load("listing.sql")

_LANES = ("cpu", "io")

_NOT_OVER = {Status.QUEUED, Status.PROCESSING}
"""What lies in indexes of its own, however many groups there are."""


class Place(NamedTuple):
    """A page as seqs, the newest first, and the seq below which the next one begins."""

    seqs: list[int]
    before_seq: int | None
    """None: it is the last page."""


class _Source(NamedTuple):
    """An index in the order of seq, downwards, and what of it is wanted."""

    name: str
    values: dict[str, Any]
    floor: str | None = None
    """The statement that says how far down a page may look."""


def page(connection: sqlite3.Connection, asked: JobFilter) -> Place:
    """Return the page that `asked` describes, of at most `asked.limit` jobs.

    Call it in a transaction, so that all groups are seen as they were at one moment.
    """
    bounds = _bounds(connection, asked)
    if bounds is None:
        return Place([], None)
    from_seq, to_seq = bounds
    values = {
        "from_seq": from_seq,
        "to_seq": to_seq,
        "principal": asked.principal,
        "kind": asked.kind,
        "queue": asked.queue,
        "created_after": asked.created_after_ms,
        "created_before": asked.created_before_ms,
        "statuses": msgspec.json.encode(asked.statuses).decode() if asked.statuses else None,
    }
    sources = _sources(connection, asked, values)
    floor = max((_floor(connection, source, len(sources)) for source in sources), default=0)
    at_once = asked.limit + 1 if len(sources) == 1 else 2 * asked.limit // max(len(sources), 1) + 8
    merged = heapq.merge(
        *(_descending(connection, source, at_once, floor) for source in sources), reverse=True
    )
    seqs = list(islice(merged, asked.limit + 1))
    if len(seqs) > asked.limit:
        return Place(seqs[:-1], seqs[-2])
    return Place(seqs, floor if floor > from_seq else None)


def _descending(
    connection: sqlite3.Connection, source: _Source, at_once: int, floor: int
) -> Iterator[int]:
    """Yield what is wanted of a source, the newest first, down to `floor`."""
    values = source.values | {"limit": at_once}
    values["from_seq"] = max(values["from_seq"], floor)
    while True:
        seqs = [row[0] for row in connection.execute(_SQL[source.name], values).fetchall()]
        yield from seqs
        if len(seqs) < at_once:
            return
        values["to_seq"] = seqs[-1] - 1


def _floor(connection: sqlite3.Connection, source: _Source, sources: int) -> int:
    """Return the seq down to which a page may look at the source; 0: to its end."""
    if source.floor is None:
        return 0
    values = source.values | {"visited": MOST_VISITED // sources}
    row = connection.execute(_SQL[source.floor], values).fetchone()
    return 0 if row is None else int(row[0])


def _sources(
    connection: sqlite3.Connection, asked: JobFilter, values: dict[str, Any]
) -> list[_Source]:
    """Return the indexes that together have all jobs that are asked for, none of them twice."""
    if asked.idempotency_key is not None:
        key = {"key": asked.idempotency_key, "batch_id": asked.batch_id}
        return [_Source("of_key", values | key)]
    if asked.batch_id is not None:
        return [_Source("of_batch", values | {"batch_id": asked.batch_id})]
    groups = _groups(connection, asked)
    by_status = asked.statuses and _NOT_OVER.issuperset(asked.statuses)
    if groups is None and not by_status:
        return [_Source("any", values, "any_floor")]
    if not asked.statuses:
        return [_Source("of_group", values | group) for group in groups or ()]
    sources: list[_Source] = []
    for status in asked.statuses:
        if status is Status.QUEUED:
            sources += _queued(connection, asked, values, groups)
        elif status is Status.PROCESSING:
            sources.append(_Source("running", values))
        else:
            of_status = values | {"status": status}
            sources += [_Source("settled_of_group", of_status | group) for group in groups or ()]
    return sources


def _groups(connection: sqlite3.Connection, asked: JobFilter) -> list[dict[str, Any]] | None:
    """Return the principals, queues and kinds of jobs that may be asked for, None if too many."""
    groups: list[dict[str, Any]] = []
    seen = 0
    at: tuple[str, str, str] = (asked.principal or "", asked.queue or "", "")
    while row := connection.execute(
        _SQL["next_group"], {"principal": at[0], "queue": at[1], "kind": at[2]}
    ).fetchone():
        at = principal, queue, kind = tuple(row)
        if asked.principal not in {None, principal}:
            break
        if asked.queue is not None and asked.principal is not None and queue != asked.queue:
            break
        if asked.queue in {None, queue} and asked.kind in {None, kind}:
            groups.append({"principal": principal, "queue": queue, "kind": kind})
        seen += 1
        if seen > MOST_GROUPS:
            return None
    return groups


def _queued(
    connection: sqlite3.Connection,
    asked: JobFilter,
    values: dict[str, Any],
    groups: list[dict[str, Any]] | None,
) -> list[_Source]:
    """Return where queued jobs are: among all that wait, or if these are many among the kind's.

    So few of a principal or a kind are found behind a backlog of others.
    """
    waiting = _waiting(connection, asked, values)
    if groups is not None and any(_floor(connection, source, len(waiting)) for source in waiting):
        listed = [_Source("queued_of_group", values | one, "of_group_floor") for one in groups]
        if not any(_floor(connection, source, len(listed)) for source in listed):
            return listed
    return waiting


def _waiting(
    connection: sqlite3.Connection, asked: JobFilter, values: dict[str, Any]
) -> list[_Source]:
    """Return where jobs wait for a slot, and where those that no plugin handles are set aside."""
    sources = [_Source("parked", values, "parked_floor")]
    for lane in _LANES:
        queue, priority = asked.queue or "", -1
        while row := connection.execute(
            _SQL["next_ready"], {"lane": lane, "queue": queue, "priority": priority}
        ).fetchone():
            found, queue, priority = row
            if found != lane or asked.queue not in {None, queue}:
                break
            group = {"lane": lane, "of_queue": queue, "priority": priority}
            sources.append(_Source("ready", values | group, "ready_floor"))
            if len(sources) > MOST_GROUPS:
                return [_Source("any", values | {"statuses": '["queued"]'}, "any_floor")]
    return sources


def _bounds(connection: sqlite3.Connection, asked: JobFilter) -> tuple[int, int] | None:
    """Return the lowest and the highest seq that a page may have; None if there are no jobs."""
    first, last = connection.execute(_SQL["bounds"]).fetchone()
    if first is None:
        return None
    if asked.created_after_ms is not None or asked.created_before_ms is not None:
        first, last = _made_about_then(connection, asked, first, last)
    if asked.before_seq is not None:
        last = min(last, asked.before_seq - 1)
    return first, last


def _made_about_then(
    connection: sqlite3.Connection, asked: JobFilter, first: int, last: int
) -> tuple[int, int]:
    """Narrow the bounds to jobs about as old as is asked for.

    The newer the job the higher its seq, but for jobs that were made at one moment or around
    a step of the clock; so the bounds lie a sample further out than need be.
    """
    step = max((last - first) // SAMPLES, 1)
    seqs = msgspec.json.encode(list(range(first, last + 1, step))).decode()
    samples = connection.execute(_SQL["samples"], {"seqs": seqs}).fetchall()
    after_ms, before_ms = asked.created_after_ms, asked.created_before_ms
    if after_ms is not None:
        later = (seq for seq, at_ms in samples if at_ms > after_ms)
        first = max(next(later, last) - 2 * step, first)
    if before_ms is not None:
        earlier = (seq for seq, at_ms in reversed(samples) if at_ms < before_ms)
        last = min(next(earlier, first) + 2 * step, last)
    return first, last
