"""Where files are when nobody said so: the system's places for root and services, else the user's.

Not here: the settings that name other places (sections.py).
"""

import os
from collections.abc import Mapping
from pathlib import Path

from jobd.config.sections import Config

MAX_SOCKET_PATH_BYTES = 107
"""sun_path holds 108 bytes with its NUL (unix(7))."""


def is_system(environ: Mapping[str, str]) -> bool:
    """Whether the system's paths apply: to root's daemon, and to a service of systemd.

    A service runs as any user, but systemd gives it its state folder; a user's unit sets
    none (systemd before 254 would put it beside the settings).
    """
    return os.getuid() == 0 or "STATE_DIRECTORY" in environ


def default_config(environ: Mapping[str, str]) -> Path:
    """Return the path of the settings file that is read when none is named."""
    if is_system(environ):
        return Path("/etc/jobd/jobd.toml")
    return _xdg(environ, "XDG_CONFIG_HOME", ".config") / "jobd" / "jobd.toml"


def default_state(environ: Mapping[str, str]) -> Path:
    """Return the folder of the database when none is named."""
    if is_system(environ):
        return Path(environ.get("STATE_DIRECTORY") or "/var/lib/jobd")
    return _xdg(environ, "XDG_STATE_HOME", ".local/state") / "jobd"


def default_socket(environ: Mapping[str, str]) -> str:
    """Return the path of the socket when none is named."""
    return "/run/jobd/jobd.sock" if is_system(environ) else _user_socket(environ)


def client_socket(environ: Mapping[str, str]) -> str:
    """Return the socket a client should try: $JOBD_SOCKET, the user's if there, the system's."""
    named = environ.get("JOBD_SOCKET")
    if named:
        return named
    own = default_socket(environ)
    return own if Path(own).exists() else "/run/jobd/jobd.sock"


def _user_socket(environ: Mapping[str, str]) -> str:
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/tmp/jobd-{os.getuid()}"  # noqa: S108 - 0700
    return str(Path(runtime) / "jobd" / "jobd.sock")


def _xdg(environ: Mapping[str, str], name: str, fallback: str) -> Path:
    value = environ.get(name)
    return Path(value) if value else Path(environ.get("HOME") or "/") / fallback


def allowed_paths(config: Config, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the folders that handlers may open: as set, else the user's home, else none.

    The home of a service may be its state folder, with the database in it.
    """
    if config.files.allow_paths is not None:
        return config.files.allow_paths
    home = environ.get("HOME")
    return () if is_system(environ) or not home else (home,)
