"""Whether there is room for more jobs: the limits on those that wait.

Held against the tally inside the transaction that inserts, so that of many who come at
once exactly as many get in as fit.

Not here: the counts (tally.py), what waits to be written (waiting.py).
"""

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import TypeVar

from jobd.domain.errors import JobdError, LimitReached, Unavailable
from jobd.store.transaction import Transaction

K = TypeVar("K", bound=Hashable)


def has_plenty(tx: Transaction, jobs: int) -> bool:
    """Whether so many more fit whoever they are of; if not, `refused` says which do."""
    rules = tx.rules
    in_all = tx.standing.all_waiting + tx.tally.all_waiting + jobs
    return in_all <= min(rules.queued_jobs, rules.queued_jobs_per_principal)


def refused(tx: Transaction, asked: Mapping[K, str]) -> dict[K, JobdError]:
    """Return those of the new jobs, given with their principals, for which there is no room.

    In the order given: the first that fit are not in it. LimitReached (`quota_exceeded`)
    when its principal has too many, Unavailable (`queue_full`) when all have together.
    Only jobs that are inserted are counted by the next call.
    """
    if not asked or has_plenty(tx, len(asked)):
        return {}
    rules, standing, moved = tx.rules, tx.standing, tx.tally
    in_all = standing.all_waiting + moved.all_waiting
    by_principal: Counter[str] = Counter()
    refusals: dict[K, JobdError] = {}
    for key, principal in asked.items():
        own = standing.waiting[principal] + moved.waiting[principal] + by_principal[principal]
        if own >= rules.queued_jobs_per_principal:
            refusals[key] = _quota_exceeded(rules.queued_jobs_per_principal)
        elif in_all >= rules.queued_jobs:
            refusals[key] = _queue_full()
        else:
            in_all += 1
            by_principal[principal] += 1
    return refusals


def _quota_exceeded(limit: int) -> LimitReached:
    detail = f"{limit} of your jobs wait already, which is as many as may."
    return LimitReached("quota_exceeded", detail, retryable=True)


def _queue_full() -> Unavailable:
    return Unavailable("queue_full", "As many jobs wait as jobd may hold.", retryable=True)
