"""The settings: each defined once, as a field of a Struct, with its default and its help.

A field gives the TOML key, the environment name (`JOBD_<SECTION>_<KEY>`), the type check,
the default, and the text in `config/jobd.toml`. Precedence: flags, environment, file,
defaults. Nothing else in jobd reads the environment.

Not here: what a setting does; each is documented where it is used.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

MAX_SOCKET_PATH_BYTES = 107
"""sun_path holds 108 bytes with its NUL (unix(7))."""

_Bytes = Annotated[int, Meta(ge=1)]


class ConfigError(Exception):
    """The configuration cannot be used; the message says which setting and why."""


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[server]: where the daemon lives."""

    state_dir: Annotated[
        str, Meta(description="Folder of the database, artifacts and locks. Empty: by user.")
    ] = ""
    socket: Annotated[
        str, Meta(description="Path of the unix socket, at most 107 bytes. Empty: by user.")
    ] = ""
    socket_mode: Annotated[
        str,
        Meta(
            pattern="^0[0-7]{3}$",
            description="Permissions of the socket, octal: 0600, or 0660 for a group.",
        ),
    ] = "0600"


class StoreSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[store]: the database."""

    synchronous: Annotated[
        str,
        Meta(
            pattern="^(full|normal)$",
            description="`full`: a 2xx is on disk. `normal`: a power cut loses the last seconds.",
        ),
    ] = "full"


class Jobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[jobs]: what a job gets that says nothing else."""

    timeout_s: Annotated[float, Meta(gt=0, description="Time limit of an attempt.")] = 3600.0
    max_timeout_s: Annotated[
        float, Meta(gt=0, description="The longest time limit a handler may declare.")
    ] = 86400.0
    max_attempts: Annotated[
        int, Meta(ge=1, le=100, description="Failures and crashes until a job is failed.")
    ] = 3
    backoff_base_s: Annotated[
        float, Meta(gt=0, description="First wait between attempts; doubles each time.")
    ] = 1.0
    backoff_cap_s: Annotated[float, Meta(gt=0, description="The longest such wait.")] = 3600.0


class PoolSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[pool]: the worker processes."""

    cpu_workers: Annotated[
        int, Meta(ge=0, le=1024, description="Workers for `def` handlers. 0: one per core.")
    ] = 0
    io_workers: Annotated[
        int, Meta(ge=0, le=64, description="Workers for `async def` handlers.")
    ] = 1
    io_concurrency: Annotated[
        int, Meta(ge=1, le=10000, description="Jobs at a time in one io worker.")
    ] = 100
    drain_s: Annotated[float, Meta(ge=0, description="How long a stop waits for running jobs.")] = (
        60.0
    )
    kill_grace_s: Annotated[
        float, Meta(gt=0, description="From the request to end an attempt to SIGKILL.")
    ] = 5.0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[limits]: what one request or job may cost."""

    body_bytes: Annotated[_Bytes, Meta(description="A request body; more is 413.")] = 1048576
    args_bytes: Annotated[_Bytes, Meta(description="A job's args; more is 413.")] = 262144
    inline_result_bytes: Annotated[
        _Bytes, Meta(description="A longer result is a file, not part of the job document.")
    ] = 65536
    result_bytes: Annotated[
        _Bytes, Meta(description="A longer JSON result fails the job: result_too_large.")
    ] = 67108864
    artifact_bytes: Annotated[
        _Bytes, Meta(description="One artifact; more fails the job: result_too_large.")
    ] = 10737418240
    log_bytes: Annotated[
        _Bytes, Meta(description="The start of an attempt's log; of the rest its last part.")
    ] = 1048576
    upload_bytes: Annotated[_Bytes, Meta(description="One upload; more is 413.")] = 10737418240
    streams_per_principal: Annotated[
        int, Meta(ge=1, description="Event and log streams open at a time; more is 429.")
    ] = 20
    sync_wait_ms: Annotated[
        int, Meta(ge=0, le=1000, description="A submit waits this long when a slot is idle.")
    ] = 50
    max_wait_s: Annotated[int, Meta(ge=1, le=300, description="The longest `Prefer: wait`.")] = 30


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[retention]: how long a finished job can be read."""

    default_s: Annotated[int, Meta(ge=60, description="Unless the job says otherwise: 7 days.")] = (
        604800
    )
    max_s: Annotated[int, Meta(ge=60, description="The longest a job may ask for.")] = 604800


class Files(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[files]: the host's files."""

    allow_paths: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="Folders that handlers may open by path. Unset: the home folder for a "
            "user's daemon, none for the system's."
        ),
    ] = None


class Webhooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[webhooks]: where callbacks may go, and how often they are tried."""

    allow_http: Annotated[bool, Meta(description="Whether `http:` is taken besides `https:`.")] = (
        False
    )
    allow_private: Annotated[
        tuple[str, ...], Meta(description="Networks (CIDR) that are not global and may be called.")
    ] = ()
    allow_unix: Annotated[
        tuple[str, ...], Meta(description="Paths of sockets that `unix:` callbacks may name.")
    ] = ()
    timeout_s: Annotated[float, Meta(gt=0, description="Limit of one attempt.")] = 20.0
    schedule_s: Annotated[
        tuple[Annotated[float, Meta(gt=0)], ...],
        Meta(description="The waits between attempts; after the last one it is a dead letter."),
    ] = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[log]: the daemon's own log, on stderr."""

    level: Annotated[
        str, Meta(pattern="^(debug|info|warning|error)$", description="The least that is logged.")
    ] = "info"
    format: Annotated[
        str, Meta(pattern="^(auto|text|json)$", description="auto: text on a terminal, else json.")
    ] = "auto"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings."""

    server: Server = Server()
    store: StoreSection = StoreSection()
    jobs: Jobs = Jobs()
    pool: PoolSection = PoolSection()
    limits: Limits = Limits()
    retention: Retention = Retention()
    files: Files = Files()
    webhooks: Webhooks = Webhooks()
    log: Log = Log()


_SECTIONS: dict[str, type[msgspec.Struct]] = {
    field.encode_name: field.type for field in msgspec.structs.fields(Config)
}

_SHORT_NAMES = {"server.state_dir": "JOBD_STATE_DIR", "server.socket": "JOBD_SOCKET"}


def load(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, str]) -> Config:
    """Return the settings of `path` (None: the default file, if there is one) and above it.

    `environ` is looked up for `JOBD_<SECTION>_<KEY>`, `overrides` has `section.key` from
    flags; both are strings that are read as the setting's type. ConfigError names the
    setting and, for an unknown one, the nearest that exists.
    """
    tables = _read(path, environ)
    for section, struct in _SECTIONS.items():
        for field in msgspec.structs.fields(struct):
            key = field.encode_name
            setting = f"{section}.{key}"
            text = environ.get(f"JOBD_{section}_{key}".upper())
            text = environ.get(_SHORT_NAMES.get(setting, ""), text)
            text = overrides.get(setting, text)
            if text is not None:
                tables.setdefault(section, {})[key] = _from_text(text, field.type)
    config = _convert(tables)
    return msgspec.structs.replace(config, server=_located(config.server, environ))


def _read(path: Path | None, environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    if path is None and "JOBD_CONFIG" in environ:
        path = Path(environ["JOBD_CONFIG"])
    required = path is not None
    path = path or default_config(environ)
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path}: there is no such file") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for name, table in tables.items():
        if name not in _SECTIONS:
            raise ConfigError(f"{path}: unknown section [{name}]{_suggest(name, _SECTIONS)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name} must be a section, [{name}]")
        known = [field.encode_name for field in msgspec.structs.fields(_SECTIONS[name])]
        for key in table:
            if key not in known:
                raise ConfigError(f"{path}: unknown setting {name}.{key}{_suggest(key, known)}")
    return tables


def _suggest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _from_text(text: str, type_: Any) -> Any:
    """Read a flag or an environment variable: JSON if the setting is no string, else as it is.

    A list may be given as in PATH, separated by colons.
    """
    schema = msgspec.json.schema(type_)
    kinds = {schema.get("type"), *(option.get("type") for option in schema.get("anyOf", ()))}
    if "array" in kinds and not text.startswith("["):
        return [part for part in text.split(":") if part]
    if "string" in kinds:
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _convert(tables: dict[str, dict[str, Any]]) -> Config:
    try:
        config = msgspec.convert(tables, Config)
    except msgspec.ValidationError as error:
        detail, _, where = str(error).partition(" - at `$.")
        raise ConfigError(f"{where.rstrip('`') or 'configuration'}: {detail}") from error
    if config.jobs.timeout_s > config.jobs.max_timeout_s:
        raise ConfigError("jobs.timeout_s is greater than jobs.max_timeout_s")
    if config.retention.default_s > config.retention.max_s:
        raise ConfigError("retention.default_s is greater than retention.max_s")
    return config


def _located(server: Server, environ: Mapping[str, str]) -> Server:
    """Fill in where state and socket are when nobody said so, as absolute paths."""
    state_dir = str(Path(server.state_dir or default_state(environ)).absolute())
    socket = str(Path(server.socket or default_socket(environ)).absolute())
    if len(os.fsencode(socket)) > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            f"server.socket: {socket} has {len(os.fsencode(socket))} bytes, "
            f"a unix socket's path may have {MAX_SOCKET_PATH_BYTES}"
        )
    return msgspec.structs.replace(server, state_dir=state_dir, socket=socket)


def document() -> str:
    """Return a settings file that says every setting, its help and its default."""
    lines = [
        "# jobd settings. Every line is a default; uncomment what you change.",
        "# Each has an environment name too: [jobs] timeout_s is JOBD_JOBS_TIMEOUT_S.",
    ]
    for section, struct in _SECTIONS.items():
        lines += ["", f"[{section}]"]
        for field in msgspec.structs.fields(struct):
            help_ = msgspec.json.schema(field.type)["description"]
            default = "[]" if field.default is None else _toml(field.default)
            lines += [f"# {help_}", f"# {field.encode_name} = {default}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    return msgspec.json.encode(value).decode()


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
