"""Strict conversions: what each type takes, and that the quick way agrees with the slow one."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobd_import.columns import CONVERSIONS, Column

CELLS = st.text(alphabet="0123456789+-.eE_ truefalsTRUEFALS\u0663\u00a0x/W", max_size=20)


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("text", "", ""),
        ("text", " a ", " a "),
        ("text?", "", None),
        ("integer", "007", 7),
        ("integer", "-9223372036854775808", -(2**63)),
        ("integer", "+9223372036854775807", 2**63 - 1),
        ("integer?", "", None),
        ("real", "1", 1.0),
        ("real", "-.5e-3", -0.0005),
        ("real", "1.", 1.0),
        ("boolean", "True", 1),
        ("boolean", "0", 0),
        ("boolean?", "", None),
        ("date", "2024-02-29", "2024-02-29"),
    ],
)
def test_taken(kind: Any, cell: str, value: Any) -> None:
    column = Column.parse("c", kind)

    assert column.convert(cell) == value
    assert type(column.convert(cell)) is type(value)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("integer", ""),
        ("integer", "1.0"),
        ("integer", "1_000"),
        ("integer", " 1"),
        ("integer", "\u0661"),
        ("integer", "9223372036854775808"),
        ("integer", "9" * 5000),
        ("real", "nan"),
        ("real", "inf"),
        ("real", "1e999"),
        ("real", "1,5"),
        ("real", "."),
        ("boolean", "yes"),
        ("date", "2023-02-29"),
        ("date", "2024-W01-1"),
        ("date", "20240101"),
        ("date", "2024-1-1"),
    ],
)
def test_rejected(kind: Any, cell: str) -> None:
    with pytest.raises(ValueError, match=r"^c: ") as refused:
        Column.parse("c", kind).convert(cell)

    assert len(str(refused.value)) < 150


@pytest.mark.parametrize("kind", sorted(CONVERSIONS))
@settings(derandomize=True, deadline=None)
@given(cells=st.lists(CELLS, min_size=1, max_size=4), nullable=st.booleans())
def test_a_column_at_once_takes_nothing_that_its_cells_do_not(
    kind: str, cells: list[str], nullable: bool
) -> None:
    column = Column("c", kind, nullable)
    try:
        at_once = list(column.convert_all(cells))
    except ValueError:
        return

    assert at_once == [column.convert(cell) for cell in cells]


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("integer", ["1", "-20", "+3"]),
        ("real", ["1", ".5", "1e3"]),
        ("boolean", ["1", "false"]),
        ("date", ["2024-01-01"]),
        ("integer?", ["1", ""]),
        ("real?", ["", ""]),
    ],
)
def test_the_quick_way_is_really_taken(kind: Any, cells: list[str]) -> None:
    column = Column.parse("c", kind)

    assert list(column.convert_all(cells)) == [column.convert(cell) for cell in cells]
