"""Column types: strict conversions from text, for a whole column at once or cell by cell.

Invariant: the quick way (a column at a time, no Python function per cell) accepts nothing
that the slow way rejects, and gives the same values. It may refuse; then the slow way
finds out which cells are wrong.
"""

import math
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import msgspec

from jobd_import.args import ColumnType

MAX_INTEGER = 2**63 - 1
MIN_INTEGER = -(2**63)

_SURE_DIGITS = 18  # any number of so many digits fits into 64 bits, sign or not
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INTEGER_CHARS = re.compile(r"[-+0-9]*")
_REAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_REAL_CHARS = re.compile(r"[-+0-9.eE]*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BOOLEANS = {"true": 1, "false": 0, "True": 1, "False": 0, "TRUE": 1, "FALSE": 0, "1": 1, "0": 0}
_SHOWN_CHARS = 60

Cells = Sequence[str]
Values = Sequence[Any]


class Conversion(msgspec.Struct, frozen=True):
    """How one type is read from text. Both functions raise ValueError."""

    sqlite_type: str
    article: str
    all: Callable[[Cells], Values]
    one: Callable[[str], Any]


class Column(msgspec.Struct, frozen=True):
    """One column of the import."""

    name: str
    type: str
    nullable: bool

    @classmethod
    def parse(cls, name: str, declared: ColumnType) -> "Column":
        """Return the column that the args declare; a `?` behind the type makes it nullable."""
        return cls(name, declared.removesuffix("?"), declared.endswith("?"))

    @property
    def sqlite_type(self) -> str:
        """The type to declare in CREATE TABLE."""
        return CONVERSIONS[self.type].sqlite_type

    def convert_all(self, cells: Cells) -> Values:
        """Convert a column; ValueError if a cell is wrong, or may be."""
        convert = CONVERSIONS[self.type].all
        if not self.nullable or "" not in cells:
            return convert(cells)
        filled = [cell for cell in cells if cell]
        if not filled:
            return [None] * len(cells)
        values = iter(convert(filled))
        return [next(values) if cell else None for cell in cells]

    def convert(self, cell: str) -> Any:
        """Convert a cell; ValueError with a reason for people."""
        if self.nullable and not cell:
            return None
        conversion = CONVERSIONS[self.type]
        try:
            return conversion.one(cell)
        except ValueError:
            if not cell:
                raise ValueError(f"{self.name}: is empty") from None
            shown = repr(cell if len(cell) <= _SHOWN_CHARS else cell[:_SHOWN_CHARS] + "…")
            raise ValueError(f"{self.name}: {shown} is not {conversion.article}") from None


def _text(cell: str) -> str:
    return cell


def _texts(cells: Cells) -> Values:
    return cells


def _integer(cell: str) -> int:
    if not _INTEGER.fullmatch(cell) or not MIN_INTEGER <= (value := int(cell)) <= MAX_INTEGER:
        raise ValueError
    return value


def _integers(cells: Cells) -> Values:
    # of these characters alone int() takes exactly what _INTEGER does
    if not _INTEGER_CHARS.fullmatch("".join(cells)) or max(map(len, cells)) > _SURE_DIGITS:
        raise ValueError
    return list(map(int, cells))


def _real(cell: str) -> float:
    if not _REAL.fullmatch(cell) or not math.isfinite(value := float(cell)):
        raise ValueError
    return value


def _reals(cells: Cells) -> Values:
    # of these characters alone float() takes exactly what _REAL does
    if not _REAL_CHARS.fullmatch("".join(cells)):
        raise ValueError
    values = list(map(float, cells))
    if not all(map(math.isfinite, values)):
        raise ValueError
    return values


def _boolean(cell: str) -> int:
    value = _BOOLEANS.get(cell)
    if value is None:
        raise ValueError
    return value


def _booleans(cells: Cells) -> Values:
    try:
        return list(map(_BOOLEANS.__getitem__, cells))
    except KeyError:
        raise ValueError from None


def _date(cell: str) -> str:
    # fromisoformat alone takes weeks and digits of other scripts too
    if not _DATE.fullmatch(cell):
        raise ValueError
    date.fromisoformat(cell)
    return cell


def _dates(cells: Cells) -> Values:
    for cell in set(cells):
        _date(cell)
    return cells


CONVERSIONS = {
    "text": Conversion("TEXT", "text", _texts, _text),
    "integer": Conversion("INTEGER", "an integer of 64 bits", _integers, _integer),
    "real": Conversion("REAL", "a finite decimal number", _reals, _real),
    "boolean": Conversion("INTEGER", "true, false, 1 or 0", _booleans, _boolean),
    "date": Conversion("TEXT", "a date like 2024-12-31", _dates, _date),
}
