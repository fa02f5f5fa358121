"""From a command line to the args of a job."""

from typing import Any

import click
import pytest

from jobd.cli.options import pairs
from jobd.cli.submit import arg_value, collect_args


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ('{"a": "b"}', {"a": "b"}),
        ("", ""),
        ("seven", "seven"),
        ("007", "007"),
        ("/data/a.csv", "/data/a.csv"),
        ('"quoted"', '"quoted"'),
        ("[unclosed", "[unclosed"),
        ("[" * 100_000, "[" * 100_000),
    ],
    ids=lambda value: str(value)[:9],
)
def test_an_arg_is_json_unless_that_is_a_string(text: str, expected: Any) -> None:
    assert arg_value(text) == expected


def test_named_args_win_over_the_object() -> None:
    args = collect_args('{"a": 1, "b": 2}', ("b=3", "c=x=y"))

    assert args == {"a": 1, "b": 3, "c": "x=y"}


@pytest.mark.parametrize(
    "text", ["[1]", '"a"', "{a: 1}", "", "[" * 100_000], ids=lambda text: text[:9]
)
def test_args_that_are_no_object_are_a_usage_error(text: str) -> None:
    with pytest.raises(click.UsageError, match="ARGS_JSON"):
        collect_args(text, ())


@pytest.mark.parametrize("text", ["novalue", "=value"])
def test_a_pair_needs_a_name_and_a_value(text: str) -> None:
    with pytest.raises(click.UsageError, match="NAME=VALUE"):
        pairs((text,), "--arg")
