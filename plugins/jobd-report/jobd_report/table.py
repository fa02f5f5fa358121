"""The rows of a report: bounded while they come, numbers told from words, totals exact."""

from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from jobd.sdk import Context, Discard

MAX_CHARS = 50_000_000
"""Of all cells together."""
_ROWS_A_REPORT = 500

Row = dict[str, Any]


class Table(msgspec.Struct, frozen=True):
    """What a template gets."""

    columns: tuple[str, ...]
    rows: list[Row]
    """By column name; cells are text, numbers or None."""
    numeric: frozenset[str]
    """Columns that have numbers and nothing else."""
    totals: dict[str, Decimal]


def collected(
    ctx: Context,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    max_rows: int,
    totals: Sequence[str],
) -> Table:
    """Take the rows in; Discard when they are too many, or a total cannot be."""
    names = tuple(columns)
    if len(set(names)) != len(names) or not all(names):
        message = f"Each column needs a name of its own: {', '.join(names)}."
        raise Discard(code="columns_not_unique", message=message[:500])
    missing = [name for name in totals if name not in names]
    if missing:
        message = f"There is no column {missing[0]!r}, only {', '.join(names)}."
        raise Discard(code="column_missing", message=message[:500])
    kept: list[Row] = []
    chars = 0
    for row in rows:
        cells = [_cell(value) for value in row]
        chars += sum(len(cell) for cell in cells if isinstance(cell, str))
        if len(kept) >= max_rows or chars > MAX_CHARS:
            message = f"The report has more than {max_rows} rows, or {MAX_CHARS} characters."
            raise Discard(code="too_many_rows", message=message)
        kept.append(dict(zip(names, cells, strict=True)))
        if len(kept) % _ROWS_A_REPORT == 0:
            ctx.check_cancelled()
            ctx.progress(message=f"{len(kept)} rows")
    numeric = frozenset(name for name in names if _has_numbers(kept, name))
    return Table(names, kept, numeric, {name: _total(kept, name) for name in totals})


def shown(number: Decimal) -> str:
    """Return a number without an exponent."""
    return f"{number:f}"


def _cell(value: Any) -> Any:
    return f"({len(value)} bytes)" if isinstance(value, bytes) else value


def _number(cell: Any) -> Decimal | None:
    """Return what a cell stands for; None if that is no number."""
    try:
        number = Decimal(str(cell).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _has_numbers(rows: list[Row], column: str) -> bool:
    cells = [cell for row in rows if (cell := row[column]) not in (None, "")]
    return bool(cells) and all(_number(cell) is not None for cell in cells)


def _total(rows: list[Row], column: str) -> Decimal:
    total = Decimal()
    for index, row in enumerate(rows, 1):
        cell = row[column]
        if cell in (None, ""):
            continue
        number = _number(cell)
        if number is None:
            message = f"{column!r} cannot be summed up: {str(cell)[:50]!r} in row {index}."
            raise Discard(code="not_a_number", message=message)
        total += number
    return total
