"""What JSON may not be, though it can be decoded: the one place where that is looked at.

A key that comes twice in an object (who reads it next may take the other one), more than
MAX_DEPTH levels, an integer that is none in a database or in most languages, a NUL where
names are. `is_plain` proves of nearly every body in well under a microsecond that it has
nothing of it; only else is it looked at closely.

Lone surrogates, a byte order mark, UTF-16, NaN and numbers without an end are no JSON to
msgspec. Not here: schemas (wire/), the body's size and type (codec.py).
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from jobd.domain.errors import FieldError, Invalid, Malformed, pointer

MAX_DEPTH = 64
MAX_INTEGER = 2**63 - 1
"""Up to this, and down to its negative."""

_DIGITS = bytes(ord("0") if chr(code) in "0123456789" else code for code in range(256))
_BACKSLASH = ord("\\")
_LONG = b"0" * len(str(MAX_INTEGER))
_TOO_SHORT = 2 * MAX_DEPTH
"""A body of so many bytes cannot be nested more deeply."""
_SHOWN_CHARS = 100
_CONTAINERS = frozenset({dict, list})

_encode = msgspec.json.Encoder().encode


def is_plain(body: bytes, asked: msgspec.Struct) -> bool:
    """Whether it is proved that `body`, which was decoded as `asked`, breaks no rule.

    Only for a Struct that leaves its defaults out and says all else as it came. Each colon
    between a key and its value comes out again, or the key had come twice or was a default;
    only an escape makes more of them.

    Looked for as a number and with `find`: bytes `in` bytes first raises an error within.
    """
    return (
        (_BACKSLASH not in body or body.find(b"\\u") < 0)
        and (len(body) <= _TOO_SHORT or body.count(b"{") + body.count(b"[") <= MAX_DEPTH)
        and body.translate(_DIGITS).find(_LONG) < 0
        and body.count(b":") == _encode(asked).count(b":")
    )


def check_keys(body: bytes) -> None:
    """Raise Malformed if a key comes twice in an object of `body`, which is valid JSON."""
    _KEYS.decode(body.decode())


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            detail = f"The key {name[:_SHOWN_CHARS]!r} comes twice in an object."
            raise Malformed("malformed_json", detail)
        seen.add(name)


_KEYS = json.JSONDecoder(object_pairs_hook=_once)


def check_depth(value: Any, levels: int = MAX_DEPTH) -> None:
    """Raise Malformed if there are more than so many objects and arrays in one another."""
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _CONTAINERS
        ]
        if not level:
            return
    detail = f"The body is nested more than {MAX_DEPTH} levels deep."
    raise Malformed("malformed_json", detail)


def check_integers(body: bytes, value: Any, field: str) -> None:
    """Raise Invalid if there is an integer in the field's value that has more than 64 bits."""
    if _LONG not in body.translate(_DIGITS):
        return
    for path, found in _leaves(value, [field]):
        if type(found) is int and not -MAX_INTEGER <= found <= MAX_INTEGER:
            raise _invalid("Expected an integer of 64 bits", path)


def check_names(body: bytes, fields: dict[str, Any]) -> None:
    """Raise Invalid if there is a NUL in a string of these: they are ids, names and the like."""
    if b"\\u0000" not in body:
        return
    for path, found in _leaves(fields, []):
        if isinstance(found, str) and "\0" in found:
            raise _invalid("A NUL cannot stand here", path)


def _leaves(value: Any, path: list[str | int]) -> Iterator[tuple[list[str | int], Any]]:
    """Yield keys and values that hold no others, with the way to them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield [*path, name], name
            yield from _leaves(inner, [*path, name])
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, [*path, index])
    else:
        yield path, value


def _invalid(detail: str, path: list[str | int]) -> Invalid:
    return Invalid(
        "validation_error",
        "The body does not fit the schema of this request.",
        errors=(FieldError(detail, pointer=pointer(path)),),
    )
