"""The kinds that can run now, and the check of a submission's args against their schemas.

Holds the newest catalogue. A kind whose schema cannot be compiled becomes a load error
here, so that it is refused at submit and not at run.

Not here: how the catalogue is made (pool/catalog.py).
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec

from jobd.domain.catalog import Catalog, HandlerSpec, Lane, LoadError
from jobd.domain.errors import FieldError, Invalid, Unavailable, pointer

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_WAIT_S = 2.0
"""How long a submission waits for the first catalogue: a new daemon imports its plugins."""

MAX_ERRORS = 50
MAX_DEPTH = 64
_INTEGRAL_BELOW = 2.0**53
_PLAIN = frozenset({str, int, bool, type(None)})
"""What most args are made of: passed over without a call."""


class Kinds:
    """The installed kinds; empty and `starting` until the first catalogue."""

    def __init__(self, *, first_wait_s: float = FIRST_WAIT_S) -> None:
        self.catalog: Catalog | None = None
        self.lanes: Mapping[str, Lane] | None = None
        """The lane of each kind that can run; None until the first catalogue."""
        self._validators: dict[str, jsonschema_rs.Validator] = {}
        self._first_wait_s = first_wait_s
        self._first = asyncio.Event()

    def install(self, catalog: Catalog) -> None:
        """Replace the catalogue; takes effect for the next submission."""
        handlers, errors = dict(catalog.handlers), dict(catalog.errors)
        validators: dict[str, jsonschema_rs.Validator] = {}
        for kind, spec in catalog.handlers.items():
            if spec.args_schema is None:
                continue
            try:
                validators[kind] = jsonschema_rs.validator_for(spec.args_schema)
            except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as e:
                del handlers[kind]
                message = f"the schema of its args cannot be used: {e}"
                errors[kind] = LoadError(kind, spec.distribution, spec.target, message)
        self.catalog = Catalog(handlers, errors)
        self.lanes = {kind: spec.lane for kind, spec in handlers.items()}
        self._validators = validators
        self._first.set()

    def withdraw(self, kind: str, reason: str) -> None:
        """Have a kind that could not be imported count as not loaded, until the next catalogue."""
        spec = self.catalog.handlers.get(kind) if self.catalog else None
        if self.catalog is None or spec is None:
            return
        left = {name: other for name, other in self.catalog.handlers.items() if name != kind}
        error = LoadError(kind, spec.distribution, spec.target, reason)
        self.catalog = Catalog(left, self.catalog.errors | {kind: error})
        self.lanes = {name: other.lane for name, other in left.items()}

    @property
    def queues(self) -> set[str]:
        """The queues that handlers are for when a submission names none."""
        return {spec.queue for spec in self.catalog.handlers.values()} if self.catalog else set()

    async def loaded(self) -> None:
        """Wait for the first catalogue, but not for long: it may still not be there."""
        if self._first.is_set():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._first_wait_s):
                await self._first.wait()

    def spec(self, kind: str) -> HandlerSpec:
        """Return the kind's handler.

        Raises Unavailable (`starting` before the first catalogue, `handler_unavailable`
        when its plugin did not load) or Invalid (`unknown_kind`, with the nearest names).
        """
        if self.catalog is None:
            raise Unavailable(
                "starting", "The handlers are still being loaded.", retryable=True, retry_after_s=1
            )
        spec = self.catalog.handlers.get(kind)
        if spec is not None:
            return spec
        broken = self.catalog.errors.get(kind)
        if broken is not None:
            raise Unavailable(
                "handler_unavailable",
                f"The handler of {kind} ({broken.distribution}) did not load: {broken.message}",
                retryable=True,
                retry_after_s=30,
            )
        raise Invalid("unknown_kind", self._unknown(kind), errors=(_kind_error(kind),))

    def _unknown(self, kind: str) -> str:
        near = self.catalog.nearest(kind) if self.catalog else []
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"No installed plugin handles the kind {kind!r}.{hint}"

    def checked(self, spec: HandlerSpec, args: dict[str, Any]) -> dict[str, Any]:
        """Return `args` as the handler's schema takes them: whole floats become integers.

        Raises Invalid with one error per violation (at most MAX_ERRORS), each with the
        pointer of the field it is about.
        """
        whole: dict[str, Any] = _integral(args, MAX_DEPTH)
        validator = self._validators.get(spec.kind)
        if validator is not None and not validator.is_valid(whole):
            errors: list[FieldError] = []
            for error in validator.iter_errors(whole):
                errors.append(_field_error(error))
                if len(errors) == MAX_ERRORS:
                    break
            raise Invalid(
                "validation_error",
                f"The args do not fit the schema of {spec.kind}.",
                errors=tuple(errors),
            )
        return whole


def _kind_error(kind: str) -> FieldError:
    return FieldError(f"{kind!r} is not an installed kind", pointer="#/kind")


def _integral(value: Any, depth: int) -> Any:
    """Turn 3.0 into 3: JSON Schema calls it an integer, the worker's decoder does not."""
    if depth == 0:
        raise Invalid(
            "validation_error",
            f"The args are nested deeper than {MAX_DEPTH} levels.",
            errors=(FieldError(f"nested deeper than {MAX_DEPTH} levels", pointer="#/args"),),
        )
    if isinstance(value, float) and value.is_integer() and abs(value) < _INTEGRAL_BELOW:
        return int(value)
    if isinstance(value, dict):
        if _PLAIN.issuperset(map(type, value.values())):
            return value
        return {
            key: item if type(item) in _PLAIN else _integral(item, depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [item if type(item) in _PLAIN else _integral(item, depth - 1) for item in value]
    return value


def _field_error(error: jsonschema_rs.ValidationError) -> FieldError:
    """Return what is wrong and where, from the deepest branch of an anyOf.

    A missing or an unknown field is reported at its object; its own name is the pointer
    that helps, so it is appended.
    """
    context = getattr(error.kind, "context", None)
    branches = [inner for branch in context or () for inner in branch]
    if branches:
        return _field_error(max(branches, key=lambda inner: len(inner.instance_path)))
    path = list(error.instance_path)
    name = getattr(error.kind, "property", None)
    unexpected = getattr(error.kind, "unexpected", None)
    if name is not None:
        path.append(name)
    elif unexpected:
        path.append(unexpected[0])
    return FieldError(error.message, pointer=pointer(["args", *path]))


def decode_catalog(body: bytes) -> Catalog | None:
    """Return the catalogue that an earlier start stored; None if this version cannot read it."""
    try:
        return msgspec.json.decode(body, type=Catalog)
    except msgspec.DecodeError:
        return None
