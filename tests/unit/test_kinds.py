"""Kinds and their args: what is refused at submit, and how the refusal helps."""

import asyncio
from typing import Annotated, Any

import msgspec
import pytest

from jobd.domain.catalog import Catalog, HandlerSpec, LoadError
from jobd.domain.errors import Invalid, Unavailable
from jobd.engine.kinds import Kinds


class Nested(msgspec.Struct, forbid_unknown_fields=True):
    depth: int


class Args(msgspec.Struct, forbid_unknown_fields=True):
    source: Annotated[str, msgspec.Meta(pattern="^/")]
    count: int = 1
    nested: Nested | None = None
    columns: dict[str, int] = {}


def spec(schema: dict[str, Any] | None) -> HandlerSpec:
    return HandlerSpec("import.csv", "cpu", "jobd-import", "1", "m:f", args_schema=schema)


@pytest.fixture
def kinds() -> Kinds:
    kinds = Kinds()
    error = LoadError("broken.kind", "jobd-broken", "m:f", "ImportError: no")
    handlers = {"import.csv": spec(msgspec.json.schema(Args))}
    kinds.install(Catalog(handlers, {"broken.kind": error}))
    return kinds


@pytest.mark.parametrize(
    ("args", "pointers"),
    [
        ({}, ["#/args/source"]),
        ({"source": "x"}, ["#/args/source"]),
        ({"source": "/x", "sauce": 1}, ["#/args/sauce"]),
        ({"source": 1, "count": "x"}, ["#/args/count", "#/args/source"]),
        ({"source": "/x", "nested": {"depth": "x"}}, ["#/args/nested/depth"]),
        ({"source": "/x", "nested": {}}, ["#/args/nested/depth"]),
        ({"source": "/x", "columns": {"a/b": "x"}}, ["#/args/columns/a~1b"]),
        ({"source": "/x", "columns": {"é 5%": "x"}}, ["#/args/columns/%C3%A9%205%25"]),
    ],
)
def test_every_violation_has_its_pointer(
    kinds: Kinds, args: dict[str, Any], pointers: list[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        kinds.checked(kinds.spec("import.csv"), args)

    assert caught.value.code == "validation_error"
    assert sorted(error.pointer or "" for error in caught.value.errors) == pointers


def test_a_whole_float_is_an_integer(kinds: Kinds) -> None:
    checked = kinds.checked(kinds.spec("import.csv"), {"source": "/x", "count": 3.0})

    assert msgspec.json.encode(checked) == b'{"source":"/x","count":3}'


def test_args_nested_too_deep_are_refused(kinds: Kinds) -> None:
    args: dict[str, Any] = {}
    for _ in range(100):
        args = {"a": args}

    with pytest.raises(Invalid, match="deeper than 64"):
        kinds.checked(kinds.spec("import.csv"), args)


def test_an_unknown_kind_is_told_the_nearest(kinds: Kinds) -> None:
    with pytest.raises(Invalid, match=r"Did you mean import\.csv\?") as caught:
        kinds.spec("import.cvs")

    assert caught.value.code == "unknown_kind"
    assert caught.value.errors[0].pointer == "#/kind"


def test_a_kind_that_did_not_load_says_why(kinds: Kinds) -> None:
    with pytest.raises(Unavailable, match="ImportError: no") as caught:
        kinds.spec("broken.kind")

    assert caught.value.code == "handler_unavailable"


def test_before_the_first_catalogue_nothing_is_unknown() -> None:
    with pytest.raises(Unavailable) as caught:
        Kinds().spec("import.csv")

    assert caught.value.code == "starting"


async def test_the_first_catalogue_is_waited_for() -> None:
    kinds = Kinds()
    waiting = asyncio.create_task(kinds.loaded())
    await asyncio.wait([waiting], timeout=0)

    kinds.install(Catalog({"import.csv": spec(None)}))
    await waiting

    assert kinds.spec("import.csv").kind == "import.csv"


async def test_the_first_catalogue_is_not_waited_for_for_ever() -> None:
    kinds = Kinds(first_wait_s=0.001)

    await kinds.loaded()

    assert kinds.catalog is None


def test_a_schema_that_cannot_be_compiled_makes_a_load_error() -> None:
    kinds = Kinds()

    kinds.install(Catalog({"import.csv": spec({"type": "string", "pattern": "(?P<x"})}))

    with pytest.raises(Unavailable, match="schema of its args"):
        kinds.spec("import.csv")
