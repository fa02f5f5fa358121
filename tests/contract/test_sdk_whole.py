"""A plugin that uses all of the SDK: it runs (tests/testing), and mypy --strict passes on it."""

import ast
from pathlib import Path

import pytest

from jobd import sdk
from jobd.sdk import AsyncContext, Context
from jobd.sdk.handlers import handler

ROOT = Path(__file__).parents[2]
WHOLE = ROOT / "tests" / "support" / "faulty" / "jobd_test_plugin" / "whole.py"


def used() -> set[str]:
    tree = ast.walk(ast.parse(WHOLE.read_text()))
    names: set[str] = set()
    for node in tree:
        match node:
            case ast.Attribute():
                names.add(node.attr)
            case ast.Name():
                names.add(node.id)
            case ast.keyword() if node.arg:
                names.add(node.arg)
    return names


@pytest.mark.parametrize("context", [Context, AsyncContext])
def test_every_name_of_the_context_is_used(context: type) -> None:
    public = {name for name in dir(context) if not name.startswith("_")}

    assert public - used() == set()


def test_every_export_and_every_option_is_used() -> None:
    options = set(handler.__kwdefaults__ or ())

    assert (set(sdk.__all__) | options) - used() == set()


def test_the_whole_of_it_is_typed() -> None:
    assert "tests" in (ROOT / "pyproject.toml").read_text().partition("[tool.mypy]")[2]
    assert "type: ignore" not in WHOLE.read_text()
