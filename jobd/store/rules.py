"""The settings that the store's verbs go by, in the units of its columns.

Not here: the settings themselves (config/), rules of a single job (its row).
"""

from collections.abc import Mapping

import msgspec

from jobd.config import Config


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds jobs and queues."""

    max_age_ms: int
    """From its submission to its end; older jobs are failed (`expired`)."""
    handler_missing_ms: int
    """How long a queued job waits for a kind that cannot run."""
    queued_jobs: int
    queued_jobs_per_principal: int
    concurrency: Mapping[str, int] = {}
    """Of queues with a limit, unless the queue's row says otherwise."""


def rules_of(config: Config) -> Rules:
    """Return what the settings say, for the store."""
    return Rules(
        max_age_ms=round(config.jobs.max_age_s * 1000),
        handler_missing_ms=round(config.jobs.handler_missing_s * 1000),
        queued_jobs=config.limits.queued_jobs,
        queued_jobs_per_principal=config.limits.queued_jobs_per_principal,
        concurrency={
            name: queue.concurrency for name, queue in config.queues.items() if queue.concurrency
        },
    )
