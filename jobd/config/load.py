"""Where a setting's value comes from: flags, environment, file, defaults, in this order.

Nothing else in jobd reads the environment. Not here: the settings (sections.py).
"""

import difflib
import grp
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from jobd.config.paths import MAX_SOCKET_PATH_BYTES, default_config, default_socket, default_state
from jobd.config.sections import Auth, Config, Queue, Server


class ConfigError(Exception):
    """The configuration cannot be used; the message says which setting and why."""


_NAMED: dict[str, type[msgspec.Struct]] = {"queues": Queue}
"""Sections of which there are several: [queues.NAME]."""

_FREE = "plugins"
"""Its tables are the plugins' own: they say what may stand in them."""

_SECTIONS: dict[str, type[msgspec.Struct]] = {
    field.encode_name: _NAMED.get(field.encode_name, field.type)
    for field in msgspec.structs.fields(Config)
    if field.encode_name != _FREE
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
            if section in _NAMED:
                _take_named(tables, environ, section, field)
                continue
            setting = f"{section}.{key}"
            text = environ.get(f"JOBD_{section}_{key}".upper())
            text = environ.get(_SHORT_NAMES.get(setting, ""), text)
            text = overrides.get(setting, text)
            if text is not None:
                tables.setdefault(section, {})[key] = _from_text(text, field.type)
    config = _convert(tables)
    server, auth = _located(config.server, environ), _with_gids(config.auth)
    return msgspec.structs.replace(config, server=server, auth=auth)


def _take_named(
    tables: dict[str, dict[str, Any]],
    environ: Mapping[str, str],
    section: str,
    field: msgspec.structs.FieldInfo,
) -> None:
    """Take `JOBD_QUEUES_<NAME>_CONCURRENCY`; a name in capitals is one without dots and dashes."""
    wanted = re.compile(f"JOBD_{section}_([A-Z0-9_]+)_{field.encode_name}".upper())
    for variable, text in environ.items():
        if match := wanted.fullmatch(variable):
            table = tables.setdefault(section, {}).setdefault(match[1].lower(), {})
            table[field.encode_name] = _from_text(text, field.type)


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
        if name == _FREE:
            continue
        if name not in _SECTIONS:
            raise ConfigError(f"{path}: unknown section [{name}]{_suggest(name, _SECTIONS)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name} must be a section, [{name}]")
        named = table.items() if name in _NAMED else [("", table)]
        for sub, settings in named:
            _refuse_unknown(path, ".".join(filter(None, (name, sub))), _SECTIONS[name], settings)
    return tables


def _refuse_unknown(path: Path, section: str, struct: type[msgspec.Struct], table: Any) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {section} must be a section, [{section}]")
    known = [field.encode_name for field in msgspec.structs.fields(struct)]
    for key in table:
        if key not in known:
            raise ConfigError(f"{path}: unknown setting {section}.{key}{_suggest(key, known)}")


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
        parts = [part for part in text.split(":") if part]
        return parts if schema.get("items", {}).get("type") != "integer" else _numbers(parts)
    if "string" in kinds:
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _numbers(parts: list[str]) -> list[int | str]:
    return [int(part) if part.isdecimal() else part for part in parts]


def _convert(tables: dict[str, dict[str, Any]]) -> Config:
    try:
        config = msgspec.convert(tables, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_complaint(str(error))) from error
    if config.jobs.timeout_s > config.jobs.max_timeout_s:
        raise ConfigError("jobs.timeout_s is greater than jobs.max_timeout_s")
    if config.retention.default_s > config.retention.max_s:
        raise ConfigError("retention.default_s is greater than retention.max_s")
    try:
        msgspec.msgpack.encode(config.plugins)  # as workers get it
    except OverflowError as error:
        raise ConfigError(f"plugins: {error}") from error
    return config


def _complaint(error: str) -> str:
    """Return what msgspec says in the words of the settings: for a pattern, its help."""
    detail, _, at = error.partition(" - at ")
    path = at.partition("$.")[2].rstrip("`")
    if "regex" in detail:
        section, _, key = path.partition(".")
        name = key.partition("[")[0]
        said = [
            _help(f) for f in msgspec.structs.fields(_SECTIONS[section]) if f.encode_name == name
        ]
        what = "a name" if at.startswith("`key`") else "the value"
        detail = " ".join([f"{what} is not of the form that is taken.", *said])
    return f"{path or 'configuration'}: {detail}"


def _help(field: msgspec.structs.FieldInfo) -> str:
    text: str = msgspec.json.schema(field.type)["description"]
    return text


def _with_gids(auth: Auth) -> Auth:
    """Turn names of groups into gids, as the kernel knows the groups of a peer."""
    seen: set[int] = set(auth.proxy_uids)
    for name, principal in auth.principals.items():
        if twice := seen.intersection(principal.uids):
            raise ConfigError(f"auth.principals.{name}.uids: {min(twice)} is somebody else's too")
        seen.update(principal.uids)
    principals = {
        name: msgspec.structs.replace(
            principal, groups=tuple(_gid(name, group) for group in principal.groups)
        )
        for name, principal in auth.principals.items()
    }
    return msgspec.structs.replace(auth, principals=principals)


def _gid(principal: str, group: int | str) -> int:
    if isinstance(group, int):
        return group
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(
            f"auth.principals.{principal}.groups: there is no group {group}"
        ) from None


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
        lines += ["", f"[{section}.default]" if section in _NAMED else f"[{section}]"]
        for field in msgspec.structs.fields(struct):
            lines += [f"# {_help(field)}", f"# {field.encode_name} = {_default(field)}"]
    lines += [
        "",
        "# What the handlers of a plugin get as `ctx.config`: its README says what it knows.",
        "# [plugins.NAME-OF-THE-DISTRIBUTION]",
    ]
    return "\n".join(lines) + "\n"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return _toml(field.default_factory())
    return "[]" if field.default is None else _toml(field.default)


def _toml(value: Any) -> str:
    return msgspec.json.encode(value).decode()
