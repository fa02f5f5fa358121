"""What the system lets the daemon's process do: enough descriptors, and no core.

Not here: limits of workers (pool/child_setup.py).
"""

import logging
import os
import resource

from jobd.config import Config
from jobd.pool import descriptors

log = logging.getLogger(__name__)

_EACH_CONNECTION = 2
"""Its socket, and a file that is read or written for it."""

_EACH_WORKER = 16
_EACH_ATTEMPT = 2
_OWN = 256
"""The database's, the logs', what plugins are looked up with, deliveries under way."""


def confine(config: Config) -> None:
    """Raise the limit of open files to what the settings need, and write no core.

    A core would have tokens and secrets in it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    needed = open_files(config)
    allowed = descriptors.allow(needed)
    if allowed < needed:
        log.warning(
            "The system allows fewer open files than the settings need.",
            extra={"needed": needed, "allowed": allowed},
        )


def open_files(config: Config) -> int:
    """Return how many files the daemon may come to have open."""
    pool, limits = config.pool, config.limits
    listeners = 2 if config.server.listen else 1
    cpu_workers = pool.cpu_workers or len(os.sched_getaffinity(0))
    attempts = cpu_workers + pool.io_workers * pool.io_concurrency
    return (
        listeners * limits.connections * _EACH_CONNECTION
        + (cpu_workers + pool.io_workers) * _EACH_WORKER
        + attempts * _EACH_ATTEMPT
        + _OWN
    )
