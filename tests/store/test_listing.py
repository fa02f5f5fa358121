"""Pages of jobs: every filter and mix of filters, page by page, and what a page may cost."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobd.domain.jobs import Job, JobFilter
from jobd.domain.statuses import Status
from jobd.store import listing

if TYPE_CHECKING:
    from tests.store.conftest import Store
    from tests.support.clock import FakeClock

PRINCIPALS = ("uid:1", "uid:2")
QUEUES = ("fast", "slow")
KINDS = ("a.b", "c.d")
ENDS = (Status.COMPLETED, Status.FAILED, Status.RETRYING, Status.PROCESSING)


async def every_sort_of_job(store: Store, clock: FakeClock) -> list[Job]:
    """Fill the store with jobs of all statuses, some parked; return them, newest first."""
    made = []
    for principal, queue, kind in 3 * list(itertools.product(PRINCIPALS, QUEUES, KINDS)):
        clock.advance(1)
        fields = {"principal": principal, "queue": queue, "kind": kind}
        made += [
            await store.submit(**fields, **more)
            for more in ({"run_at_ms": clock.ms + 10**9}, {"priority": 1}, {"lane": "io"}, {})
        ]
    for claim, end in zip(await store.claim(20), itertools.cycle(ENDS), strict=False):
        if end is not Status.PROCESSING:
            await store.settle(claim, end, delay_ms=10**9 if end is Status.RETRYING else None)
    for one in made[::9]:
        await store.writer.cancel(one.job_id)
    store.seen.kinds = {"a.b": "cpu"}
    await store.claim(2)
    store.seen.kinds = None
    return [await store.job(one.job_id) for one in reversed(made)]


def fits(job: Job, asked: JobFilter) -> bool:
    return (
        (not asked.statuses or job.status in asked.statuses)
        and asked.kind in {None, job.kind}
        and asked.queue in {None, job.queue}
        and asked.principal in {None, job.principal}
        and (asked.created_after_ms is None or job.created_at_ms > asked.created_after_ms)
        and (asked.created_before_ms is None or job.created_at_ms < asked.created_before_ms)
    )


async def pages(store: Store, asked: JobFilter) -> list[list[int]]:
    """Return the seqs of all pages, from the one that is asked for to the last."""
    found = []
    while True:
        page = await store.readers.page(asked)
        found.append([job.seq for job in page.jobs])
        if page.before_seq is None:
            return found
        asked = msgspec.structs.replace(asked, before_seq=page.before_seq)


def some_filter(rng: random.Random, jobs: list[Job]) -> JobFilter:
    def maybe(*values: Any) -> Any:
        return rng.choice((None, *values))

    times = [job.created_at_ms for job in jobs]
    return JobFilter(
        statuses=tuple(rng.sample(list(Status), rng.choice((0, 0, 1, 2, 7)))),
        kind=maybe(*KINDS, "none"),
        queue=maybe(*QUEUES),
        principal=maybe(*PRINCIPALS),
        created_after_ms=maybe(rng.choice(times)),
        created_before_ms=maybe(rng.choice(times)),
        limit=rng.choice((1, 3, 50)),
    )


@pytest.mark.parametrize("most", ["as much as it likes", "little", "no groups"])
async def test_pages_have_what_is_asked_for_once_and_in_order(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, most: str
) -> None:
    if most == "little":
        monkeypatch.setattr(listing, "MOST_VISITED", 4)
    if most == "no groups":
        monkeypatch.setattr(listing, "MOST_GROUPS", 1)
    monkeypatch.setattr(listing, "SAMPLES", 5)
    jobs = await every_sort_of_job(store, clock)
    assert {job.status for job in jobs} == set(Status)
    rng = random.Random(9)  # noqa: S311 - not to keep a secret

    for _ in range(150):
        asked = some_filter(rng, jobs)
        found = await pages(store, asked)
        fitting = [job.seq for job in jobs if fits(job, asked)]
        assert list(itertools.chain(*found)) == fitting, asked
        assert max(map(len, found)) <= asked.limit


async def test_jobs_of_one_moment_before_and_after_a_step_of_the_clock(
    store: Store, clock: FakeClock
) -> None:
    seqs = []
    for ms in (5, 9, 9, 3, 3, 9, 12):
        clock.ms = ms * 1000
        seqs.append((await store.submit()).seq)

    later = await pages(store, JobFilter(created_after_ms=5000))
    earlier = await pages(store, JobFilter(created_before_ms=9000))

    assert later == [[seqs[i] for i in (6, 5, 2, 1)]]
    assert earlier == [[seqs[i] for i in (4, 3, 0)]]


async def test_a_page_is_short_where_no_index_helps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_VISITED", 4)
    old = await store.submit(kind="c.d")
    for _ in range(9):
        await store.settled(Status.FAILED, new={"kind": "c.d", "priority": 1})
    for _ in range(9):
        await store.submit(kind="a.b")
    asked = JobFilter(statuses=(Status.QUEUED,), kind="c.d")

    first, *others, last = await pages(store, asked)

    assert (first, last) == ([], [old.seq])
    assert not any(others)


async def test_few_are_found_behind_a_backlog_of_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_VISITED", 4)
    ours = await store.submit(principal="uid:1")
    rare = await store.submit(kind="c.d")
    for _ in range(9):
        await store.submit(kind="a.b")
    queued = (Status.QUEUED,)

    assert await pages(store, JobFilter(statuses=queued, kind="c.d")) == [[rare.seq]]
    assert await pages(store, JobFilter(statuses=queued, principal="uid:1")) == [[ours.seq]]


async def test_what_waits_or_runs_is_found_at_once_among_many_groups(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_GROUPS", 2)
    monkeypatch.setattr(listing, "MOST_VISITED", 4)
    running = await store.submit(principal="uid:1", priority=0)
    await store.claim(1)
    waiting = await store.submit(principal="uid:2")
    for number in range(9):
        await store.settled(Status.FAILED, new={"principal": f"uid:{number}", "priority": 1})

    both = JobFilter(statuses=(Status.QUEUED, Status.PROCESSING))
    assert await pages(store, both) == [[waiting.seq, running.seq]]
    assert await pages(store, JobFilter(statuses=(Status.PROCESSING,))) == [[running.seq]]


async def test_what_an_index_knows_is_found_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_VISITED", 1)
    failed = await store.settled(Status.FAILED, new={"kind": "c.d", "queue": "q"})
    done = await store.settled(Status.COMPLETED)
    for _ in range(9):
        await store.submit(kind="a.b")

    for asked in (
        JobFilter(statuses=(Status.FAILED,)),
        JobFilter(statuses=(Status.FAILED,), kind="c.d", principal="uid:1000"),
        JobFilter(kind="c.d"),
        JobFilter(queue="q"),
        JobFilter(queue="q", kind="c.d", principal="uid:1000"),
    ):
        assert await pages(store, asked) == [[failed.seq]], asked
    assert await pages(store, JobFilter(statuses=(Status.COMPLETED,))) == [[done.seq]]


async def test_a_page_is_of_one_moment(store: Store) -> None:
    assert await pages(store, JobFilter()) == [[]]
    seq = (await store.submit()).seq

    statements: list[str] = []
    await store.database.read(lambda connection: connection.set_trace_callback(statements.append))
    for _ in range(2):  # there are two readers
        assert await pages(store, JobFilter()) == [[seq]]

    assert (statements[0], statements[-1]) == ("BEGIN", "ROLLBACK")
