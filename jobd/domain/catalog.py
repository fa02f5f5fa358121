"""The catalogue: which kinds can run, with the options their handlers declared.

A catalogue child imports the plugins and sends this; the daemon never imports one.
"""

import difflib
import re
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from jobd.domain.backoff import BackoffPolicy

Lane = Literal["cpu", "io"]

_SEPARATORS = re.compile(r"[-_.]+")


class HandlerSpec(msgspec.Struct, frozen=True):
    """One kind's handler as its plugin declared it."""

    kind: str
    lane: Lane
    distribution: str
    version: str
    target: str
    """`module:function`, the entry point's value."""
    queue: str = "default"
    timeout_s: float | None = None
    max_attempts: int | None = None
    backoff: BackoffPolicy | None = None
    """None: as configured."""
    description: str = ""
    args_schema: dict[str, Any] | None = None
    """JSON Schema 2020-12 of the args; None takes any object."""
    heartbeat_timeout_s: float | None = None
    """None: it may be silent for as long as it runs."""
    memory_mb: int | None = None
    """None: no limit of its own. Only with the lane `cpu`."""
    setup_timeout_s: float | None = None
    """None: it has nothing to set up."""


class LoadError(msgspec.Struct, frozen=True):
    """A kind that is installed and cannot run, and why."""

    kind: str
    distribution: str
    target: str
    message: str


class Catalog(msgspec.Struct, frozen=True):
    """All kinds that are installed, loaded or not."""

    handlers: dict[str, HandlerSpec] = {}
    errors: dict[str, LoadError] = {}

    def nearest(self, kind: str) -> list[str]:
        """Return up to three installed kinds that look like `kind`, best first."""
        return difflib.get_close_matches(kind, [*self.handlers, *self.errors], n=3, cutoff=0.4)

    def unclaimed(self, tables: Iterable[str]) -> list[str]:
        """Return the tables of `[plugins]` that are of no installed distribution."""
        named = [spec.distribution for spec in self.handlers.values()]
        for error in self.errors.values():  # two that claim one kind are named together
            named += error.distribution.split(", ")
        installed = {plain_name(distribution) for distribution in named}
        return [table for table in tables if plain_name(table) not in installed]


def plain_name(distribution: str) -> str:
    """Return a distribution's name in the spelling that all its spellings have in common."""
    return _SEPARATORS.sub("-", distribution).lower()
