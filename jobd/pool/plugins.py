"""Handlers as installed distributions offer them: entry points of the group `jobd.handlers`.

The entry's name is the kind, its value `module:function`. A kind that two distributions
claim runs in neither. What the settings say for a distribution is fitted to what its
handlers declare. This module imports plugins, so only workers and the catalogue child may
call it; the daemon never does.

Not here: what a handler declares (sdk/handlers.py), calling it (sdk/execution.py).
"""

import functools
import importlib.metadata
import inspect
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from jobd.domain.backoff import BackoffPolicy
from jobd.domain.catalog import HandlerSpec, Lane, plain_name
from jobd.sdk.handlers import is_async, options_of
from jobd.sdk.text import shown

GROUP = "jobd.handlers"


class Unavailable(Exception):  # noqa: N818 - named for what is so
    """A kind cannot run here; the message says why."""


class Claimant(msgspec.Struct, frozen=True):
    """A distribution that offers a kind."""

    kind: str
    target: str
    distribution: str
    version: str


class Handler(msgspec.Struct, frozen=True):
    """A kind's function, imported."""

    function: Callable[..., Any]
    lane: Lane
    claimant: Claimant

    @property
    def origin(self) -> str:
        """Distribution and version, such as `jobd-import 1.0`."""
        return f"{self.claimant.distribution} {self.claimant.version}".rstrip()


class Configs:
    """The tables of `[plugins]` as the handlers of this process get them."""

    def __init__(self, tables: Mapping[str, dict[str, Any]]) -> None:
        self._tables = {plain_name(name): table for name, table in tables.items()}
        self._fitted: dict[tuple[str, type[msgspec.Struct] | None], Any] = {}

    def of(self, handler: Handler) -> Any:
        """Return a handler's config, each time the same object.

        Raises Unavailable, naming the key, when its table does not fit.
        """
        distribution, wanted = handler.claimant.distribution, options_of(handler.function).config
        key = distribution, wanted
        if key not in self._fitted:
            table = self._tables.get(plain_name(distribution), {})
            self._fitted[key] = table if wanted is None else _fit(distribution, table, wanted)
        return self._fitted[key]


def installed() -> dict[str, tuple[Claimant, ...]]:
    """Return who offers which kind, sorted by kind, then by distribution. Imports nothing."""
    claimants = sorted(
        (_claimant(entry) for entry in importlib.metadata.entry_points(group=GROUP)),
        key=lambda claimant: (claimant.kind, claimant.distribution, claimant.target),
    )
    kinds: dict[str, list[Claimant]] = {}
    for claimant in claimants:
        kinds.setdefault(claimant.kind, []).append(claimant)
    return {kind: tuple(offers) for kind, offers in kinds.items()}


def sole(claimants: tuple[Claimant, ...]) -> Claimant:
    """Return the one that offers a kind; Unavailable, naming all, if there are more."""
    if len(claimants) > 1:
        names = " and ".join(f"{one.distribution} ({one.target})" for one in claimants)
        raise Unavailable(f"Claimed by {names}: neither runs. Uninstall all but one.")
    return claimants[0]


@functools.cache
def load(kind: str) -> Handler:
    """Import a kind's handler; the next call returns the same. Unavailable if it cannot run."""
    claimants = installed().get(kind)
    if claimants is None:
        raise Unavailable("No installed distribution offers this kind any more.")
    return imported(sole(claimants))


def imported(claimant: Claimant) -> Handler:
    """Import a handler; Unavailable if that fails or what it names is no handler."""
    entry = importlib.metadata.EntryPoint(claimant.kind, claimant.target, GROUP)
    try:
        function = entry.load()
        options = options_of(function)
    except BaseException as exc:  # an import can raise anything, SystemExit too
        raise Unavailable(f"{type(exc).__name__}: {shown(exc)}") from exc
    if missing := [name for name in options.programs if shutil.which(name) is None]:
        packages = " ".join(dict.fromkeys(options.programs[name] for name in missing))
        raise Unavailable(
            f"It needs {' and '.join(missing)}, not installed here: apt-get install {packages}"
        )
    return Handler(function, "io" if is_async(function) else "cpu", claimant)


def spec(handler: Handler) -> HandlerSpec:
    """Return what the daemon has to know of a handler; Unavailable if it cannot be said."""
    options, claimant = options_of(handler.function), handler.claimant
    backoff = options.backoff
    try:
        schema = None if options.args is None else msgspec.json.schema(options.args)
    except Exception as exc:  # types can be wrong in many ways
        raise Unavailable(f"Its args have no JSON Schema: {shown(exc)}") from exc
    return HandlerSpec(
        kind=claimant.kind,
        lane=handler.lane,
        distribution=claimant.distribution,
        version=claimant.version,
        target=claimant.target,
        queue=options.queue,
        timeout_s=options.timeout_s,
        max_attempts=options.max_attempts,
        backoff=None if backoff is None else BackoffPolicy(backoff.base_s, backoff.cap_s),
        description=_first_line(handler.function),
        args_schema=schema,
        heartbeat_timeout_s=options.heartbeat_timeout_s,
        memory_mb=options.memory_mb,
        setup_timeout_s=None if options.setup is None else options.setup_timeout_s,
    )


def _fit(distribution: str, table: dict[str, Any], wanted: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        return msgspec.convert(table, wanted)
    except Exception as exc:  # types can be wrong in many ways, and a Struct may check itself
        raise Unavailable(
            f"The settings in [plugins.{distribution}] do not fit {wanted.__name__}: {shown(exc)}"
        ) from exc


def _claimant(entry: importlib.metadata.EntryPoint) -> Claimant:
    name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "")
    return Claimant(entry.name, entry.value, name, version)


def _first_line(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) or ""
    return shown(text.partition("\n")[0])
