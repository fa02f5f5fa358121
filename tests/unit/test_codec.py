"""Strict decoding of request bodies: what is refused, as what, and where it says the fault is."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobd.api.codec import Decoder
from jobd.domain.errors import Invalid, Malformed
from jobd.wire.submission import SubmitRequest

decoder = Decoder(SubmitRequest)


def faults(body: bytes) -> dict[str | None, str]:
    with pytest.raises(Invalid) as refused:
        decoder.decode(body)
    assert refused.value.code == "validation_error"
    return {error.pointer: error.detail for error in refused.value.errors}


def test_a_body_that_fits() -> None:
    asked = decoder.decode(b'{"kind":"import.csv","args":{"n":1},"priority":0}')

    assert asked == SubmitRequest(kind="import.csv", args={"n": 1}, priority=0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"kind":"a"} x',
        b"\xff",
        b'{"kind":"\xff"}',
        b'\xef\xbb\xbf{"kind":"a"}',
        b'{"kind":"a","args":{"a":"\\ud800"}}',
        b'{"kind":"a","args":{"a":NaN}}',
        b'{"kind":"a","args":{"a":' + b"[" * 100_000,
        b'{"kind":"a","args":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"kind":5,"args":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"kind":5,',
        b'{"kind":"a","args":' + b'{"a":' * 63 + b"[]" + b"}" * 64,
        b'{"kind":"a","priority":3.0,"args":' + b'{"a":' * 63 + b"[]" + b"}" * 64,
        b'{"kind":"a","kind":"a"}',
        b'{"kind":"a","kind":5}',
        b'{"kind":"a","priority":1.0,"priority":2.0}',
        b'{"kind":"a","args":{"\\u003a":1,"a":1,"a":2}}',
        b'{"kind":"a","args":{"a":1,"\\u0061":2}}',
        b'{"kind":"a","run_at":"2026-01-01T00:00:00+0530","args":{"a":1,"a":2}}',
        '{"kind":"a"}'.encode("utf-16"),
        '{"kind":"a"}'.encode("utf-16-le"),
        '{"kind":"a"}'.encode("utf-32"),
    ],
    ids=lambda body: repr(body[:32]),
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        decoder.decode(body)

    assert refused.value.code == "malformed_json"


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b'"a"'])
def test_only_an_object_is_taken(body: bytes) -> None:
    assert faults(body) == {"#": "Expected an object"}


def test_every_violation_has_its_entry() -> None:
    found = faults(b'{"kind":"A","priority":12,"max_attempts":"3","callback":"http://x"}')

    assert found == {
        "#/kind": r"Expected `str` matching regex '^[a-z0-9][a-z0-9._-]*(?!\\n)$'",
        "#/priority": "Expected `int` <= 9",
        "#/max_attempts": "Expected `int | null`, got `str`",
        "#/callback": "There is no such field",
    }


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"{}", "#/kind"),
        (b'{"kind":"a\\n"}', "#/kind"),
        (b'{"kind":"' + b"a" * 101 + b'"}', "#/kind"),
        (b'{"kind":"a","args":[]}', "#/args"),
        (b'{"kind":"a","args":{"a":1e400}}', "#/args"),
        (b'{"kind":"a","args":{"a":' + b"9" * 5000 + b"}}", "#/args"),
        (b'{"kind":"a","metadata":{"a":1}}', "#/metadata"),
        (b'{"kind":"a","metadata":{"' + b"a" * 65 + b'":"b"}}', "#/metadata"),
        (b'{"kind":"a","run_at":"2026-01-01T00:00:00"}', "#/run_at"),
        (b'{"kind":"a","run_at":1}', "#/run_at"),
        (b'{"kind":"a","timeout_seconds":0}', "#/timeout_seconds"),
        (b'{"kind":"a","retention_seconds":59}', "#/retention_seconds"),
        (b'{"kind":"a","a/~ \\u00e9`":1}', "#/a~1~0%20%C3%A9%60"),
        (b'{"kind":"a","priority":5.5}', "#/priority"),
        (b'{"kind":"a","args":{"a":[0,9223372036854775808]}}', "#/args/a/1"),
        (b'{"kind":"a","args":{"a":-9223372036854775808}}', "#/args/a"),
        (b'{"kind":"a","args":{"a":' + b"9" * 400 + b"}}", "#/args/a"),
        (b'{"kind":"a","metadata":{"a":"\\u0000"}}', "#/metadata/a"),
        (b'{"kind":"a","metadata":{"\\u0000":"a"}}', "#/metadata/%00"),
        (b'{"kind":"a","callback_url":"https://a/\\u0000"}', "#/callback_url"),
        (b'{"kind":"a","priority":true}', "#/priority"),
        (b'{"kind":"a","max_attempts":1e300}', "#/max_attempts"),
    ],
)
def test_the_pointer_names_the_field(body: bytes, pointer: str) -> None:
    assert list(faults(body)) == [pointer]


def test_a_whole_float_is_an_integer() -> None:
    asked = decoder.decode(b'{"kind":"a","priority":3.0,"max_attempts":2.0,"args":{"a":1.0}}')

    assert (asked.priority, asked.max_attempts) == (3, 2)
    assert isinstance(asked.priority, int)


@pytest.mark.parametrize(
    "args",
    [
        b'{"a":' * 62 + b"[]" + b"}" * 62,
        b'{"a":"[[[[{{{{' + b"[{" * 64 + b'"}',
        b'{"a":[' + b",".join([b"{}"] * 100) + b"]}",
        b'{"a":9223372036854775807,"b":-9223372036854775807,"c":"99999999999999999999"}',
        b'{"a":99999999999999999999.0}',
        b'{"a":"\\u0000","\\u0000":1}',
        b'{"a":{"a":"a:a"},"b":[{"a":1},{"a":1}]}',
        b'{"a":"\\u003a"}',
        b"{}",
    ],
    ids=lambda args: repr(args[:32]),
)
def test_what_is_strange_and_no_more_is_taken(args: bytes) -> None:
    asked = decoder.decode(b'{"kind":"a","priority":5,"queue":null,"args":' + args + b"}")

    assert asked.args == msgspec.json.decode(args)


KEYS = st.sampled_from(["a", "b", ":", '"', "\u00e9"])
DOCUMENTS = st.recursive(
    st.none() | st.integers(-9, 9) | KEYS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(KEYS, inner), max_size=3).map(tuple)
    ),
    max_leaves=8,
)
"""JSON whose objects are tuples of pairs, so that a key can come twice."""


def written(value: Any) -> str:
    if isinstance(value, tuple):
        return "{" + ",".join(f"{json.dumps(k)}:{written(v)}" for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def comes_twice(value: Any) -> bool:
    if isinstance(value, tuple):
        keys = [key for key, _ in value]
        return len(set(keys)) < len(keys) or any(comes_twice(inner) for _, inner in value)
    return isinstance(value, list) and any(map(comes_twice, value))


@given(
    st.lists(st.tuples(KEYS, DOCUMENTS), max_size=3).map(tuple),
    st.sampled_from(["", ',"queue":null', ',"queue":"q","queue":"q"']),
)
def test_no_key_that_comes_twice_is_overlooked(args: Any, more: str) -> None:
    body = f'{{"kind":"a","args":{written(args)}{more}}}'.encode()

    try:
        decoder.decode(body)
        refused = False
    except Malformed:
        refused = True

    assert refused == (comes_twice(args) or more.count("queue") > 1)


def test_of_many_violations_the_first_fifty_are_listed() -> None:
    body = b'{"kind":"a",' + b",".join(b'"x%d":1' % n for n in range(80)) + b"}"

    assert len(faults(body)) == 50
