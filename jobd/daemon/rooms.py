"""How single rooms are built from the settings.

Not here: when they are built, and in which order they end (run.py).
"""

import os
from collections.abc import Callable, Mapping

from jobd.config import Config, ConfigError, Webhooks, allowed_paths
from jobd.engine.kinds import Kinds
from jobd.pool.settings import AttemptLimits, Settings
from jobd.webhooks import egress

_MIB = 1024 * 1024


def egress_policy(webhooks: Webhooks, own_socket: str) -> egress.Policy:
    """Return where webhooks may go; ConfigError when the settings cannot be read as that."""
    try:
        return egress.policy(
            allow_http=webhooks.allow_http,
            allow_private=webhooks.allow_private,
            allow_unix=webhooks.allow_unix,
            own_socket=own_socket,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def pool_settings(config: Config, environ: Mapping[str, str], mark: str) -> Settings:
    """Return what the pool is to be; `mark` is in the environment of all that it starts."""
    pool, limits = config.pool, config.limits
    return Settings(
        cpu_workers=pool.cpu_workers or len(os.sched_getaffinity(0)),
        io_workers=pool.io_workers,
        io_concurrency=pool.io_concurrency,
        kill_grace_s=pool.kill_grace_s,
        allow_paths=allowed_paths(config, environ),
        inline_result_bytes=limits.inline_result_bytes,
        result_bytes=limits.result_bytes,
        artifact_bytes=limits.artifact_bytes,
        log_level=config.log.level,
        mark=mark,
        max_jobs_per_worker=pool.max_jobs_per_worker,
        max_worker_rss_bytes=pool.max_worker_rss_mb * _MIB,
        plugin_config=config.plugins,
    )


def limits_of(kinds: Kinds) -> Callable[[str], AttemptLimits]:
    """Return what finds out what a kind's handler has declared of its attempts.

    It is asked for every claim, so the answers are kept, for as long as the catalogue is.
    """
    catalog, known = kinds.catalog, dict[str, AttemptLimits]()

    def find(kind: str) -> AttemptLimits:
        nonlocal catalog
        if kinds.catalog is not catalog:
            catalog = kinds.catalog
            known.clear()
        limits = known.get(kind)
        if limits is None:
            limits = known[kind] = attempt_limits(kinds, kind)
        return limits

    return find


def attempt_limits(kinds: Kinds, kind: str) -> AttemptLimits:
    """Return what the kind's handler has declared of its attempts."""
    spec = kinds.catalog.handlers.get(kind) if kinds.catalog else None
    if spec is None:
        return AttemptLimits()
    return AttemptLimits(
        memory_bytes=None if spec.memory_mb is None else spec.memory_mb * _MIB,
        heartbeat_timeout_s=spec.heartbeat_timeout_s,
        setup_timeout_s=spec.setup_timeout_s or AttemptLimits().setup_timeout_s,
        handler=f"{spec.distribution} {spec.version}".rstrip(),
    )
