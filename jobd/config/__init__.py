"""The configuration: what can be set (sections.py), from where (load.py), the paths (paths.py)."""

from jobd.config.load import ConfigError, document, load
from jobd.config.paths import (
    MAX_SOCKET_PATH_BYTES,
    allowed_paths,
    client_socket,
    default_config,
    default_socket,
    default_state,
)
from jobd.config.sections import (
    Auth,
    Config,
    Files,
    Jobs,
    Limits,
    Log,
    PoolSection,
    Principal,
    Queue,
    Retention,
    Server,
    StoreSection,
    Webhooks,
)

__all__ = [
    "MAX_SOCKET_PATH_BYTES",
    "Auth",
    "Config",
    "ConfigError",
    "Files",
    "Jobs",
    "Limits",
    "Log",
    "PoolSection",
    "Principal",
    "Queue",
    "Retention",
    "Server",
    "StoreSection",
    "Webhooks",
    "allowed_paths",
    "client_socket",
    "default_config",
    "default_socket",
    "default_state",
    "document",
    "load",
]
