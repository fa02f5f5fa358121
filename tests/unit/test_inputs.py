"""References to uploads in args: found at any depth, refused when they are misspelt."""

from typing import Any

import msgspec
import pytest

from jobd.domain.errors import Invalid
from jobd.engine.inputs import named_files

ONE, OTHER = "file_" + "0" * 64, "file_" + "ab" * 32


def files(args: dict[str, Any]) -> tuple[str, ...]:
    return named_files(args, msgspec.json.encode(args))


def test_args_without_references_name_no_file() -> None:
    assert files({}) == ()
    assert files({"a": ONE, "file": ONE, "text": 'say "$file"'}) == ()


def test_references_are_found_wherever_they_are() -> None:
    args = {
        "source": {"$file": ONE},
        "pages": [{"image": {"$file": OTHER}}, 5, None, {"image": {"$file": ONE}}],
    }

    assert files(args) == (ONE, OTHER)


def test_the_args_themselves_may_be_a_reference() -> None:
    assert files({"$file": ONE}) == (ONE,)


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "",
        "movie.mp4",
        ONE[:-1],
        ONE + "0",
        ONE + "\n",
        ONE.replace("0", "G"),
        OTHER.upper(),
        {"$file": ONE},
        [ONE],
    ],
)
def test_a_malformed_reference_is_refused_where_it_stands(value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        files({"a b": [{"$file": value}]})

    assert refused.value.code == "validation_error"
    assert [error.pointer for error in refused.value.errors] == ["#/args/a%20b/0"]


def test_nothing_may_stand_beside_a_reference() -> None:
    with pytest.raises(Invalid):
        files({"a": {"$file": ONE, "name": "movie.mp4"}})


def test_every_malformed_reference_is_named_up_to_fifty() -> None:
    with pytest.raises(Invalid) as refused:
        files({str(n): {"$file": n} for n in range(80)})

    pointers = [error.pointer for error in refused.value.errors]
    assert pointers == [f"#/args/{n}" for n in range(50)]


def test_a_reference_too_deep_is_refused() -> None:
    args: dict[str, Any] = {"$file": ONE}
    for _ in range(64):
        args = {"a": args}

    with pytest.raises(Invalid, match="deeper than 64"):
        files(args)
    assert files(args["a"]) == (ONE,)
