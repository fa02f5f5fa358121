"""Strict decoding of request bodies: what is refused, as what, and where it says the fault is."""

import pytest

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


def test_of_many_violations_the_first_fifty_are_listed() -> None:
    body = b'{"kind":"a",' + b",".join(b'"x%d":1' % n for n in range(80)) + b"}"

    assert len(faults(body)) == 50
