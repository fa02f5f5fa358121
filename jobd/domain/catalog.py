"""The catalogue: which kinds can run, with the options their handlers declared.

A catalogue child imports the plugins and sends this; the daemon never imports one.
"""

import difflib
from typing import Any, Literal

import msgspec

from jobd.domain.backoff import BackoffPolicy

Lane = Literal["cpu", "io"]


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
