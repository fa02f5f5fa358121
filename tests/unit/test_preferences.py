"""Headers that change an answer: lenient with preferences, strict with idempotency keys."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from jobd.api.preferences import (
    Preferences,
    chosen,
    idempotency_key,
    matches,
    preferences,
    traceparent,
)
from jobd.domain.errors import JobdError, Malformed


def headers(name: str, *values: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict([(name, value) for value in values]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Preferences()),
        (["wait=5"], Preferences(wait_s=5)),
        (['Wait = "5"'], Preferences(wait_s=5)),
        (["wait=0"], Preferences(wait_s=0)),
        (["wait=31"], Preferences(wait_s=30)),
        (["wait=999999999"], Preferences(wait_s=30)),
        (["wait=" + "9" * 4000], Preferences(wait_s=30)),
        (["wait=-1"], Preferences()),
        (["wait=abc"], Preferences()),
        (["wait"], Preferences()),
        (["wait=\u0665"], Preferences()),
        (["wait=5, wait=6"], Preferences(wait_s=5)),
        (["respond-async"], Preferences(respond_async=True)),
        (["respond-async, wait=10"], Preferences(wait_s=10, respond_async=True)),
        (["respond-async", "wait=10"], Preferences(wait_s=10, respond_async=True)),
        (["wait=30; until=done"], Preferences(wait_s=30, until_done=True)),
        (['wait=30, until="done"'], Preferences(wait_s=30, until_done=True)),
        (["wait=30; until=Done"], Preferences(wait_s=30)),
        (['foo="a, wait=7", wait=5'], Preferences(wait_s=5)),
        (['foo="wait=7'], Preferences()),
        ([",,;=,"], Preferences()),
    ],
)
def test_prefer(values: list[str], expected: Preferences) -> None:
    assert expected == preferences(headers("Prefer", *values), max_wait_s=30)


@pytest.mark.parametrize(
    ("value", "applied"),
    [
        ("wait=99", "wait=30"),
        ("respond-async, wait=2", "respond-async, wait=2"),
        ("return=minimal", None),
    ],
)
def test_what_was_applied(value: str, applied: str | None) -> None:
    assert applied == preferences(headers("Prefer", value), max_wait_s=30).applied


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('W/"17"', True),
        ('"17"', True),
        ("*", True),
        ('W/"16", W/"17"', True),
        ('W/"170"', False),
        ("17", False),
        ("", False),
    ],
)
def test_if_none_match(value: str, expected: bool) -> None:
    assert expected is matches(headers("If-None-Match", value), 'W/"17"')


def test_without_if_none_match_nothing_matches() -> None:
    assert not matches(headers("Accept", "*/*"), 'W/"17"')


@pytest.mark.parametrize(
    ("value", "key"),
    [("abc", "abc"), ('"abc"', "abc"), ('"a b"', "a b"), ("!" * 255, "!" * 255)],
)
def test_an_idempotency_key_may_be_quoted(value: str, key: str) -> None:
    assert key == idempotency_key(headers("Idempotency-Key", value))


@pytest.mark.parametrize(
    "values",
    [[""], ['""'], ["a b"], ["a" * 256], ['a"b'], ["\xe9"], ['"abc'], ["a\n"], ["a", "a"]],
)
def test_an_idempotency_key_that_is_not_one_is_refused(values: list[str]) -> None:
    with pytest.raises(Malformed) as refused:
        idempotency_key(headers("Idempotency-Key", *values))

    assert refused.value.code == "invalid_idempotency_key"
    assert [error.header for error in refused.value.errors] == ["Idempotency-Key"]


VALID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (VALID, VALID),
        (VALID.upper(), None),
        ("ff" + VALID[2:], None),
        ("00-" + "0" * 32 + VALID[35:], None),
        (VALID[:36] + "0" * 16 + "-01", None),
        (VALID + "-extra", None),
        ("01" + VALID[2:] + "-extra", "01" + VALID[2:]),
        ("01" + VALID[2:] + "extra", None),
        ("", None),
    ],
)
def test_a_trace_context_that_is_not_valid_counts_as_absent(
    value: str, expected: str | None
) -> None:
    assert expected == traceparent(headers("traceparent", value))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ([], "a/x"),
        ([""], "a/x"),
        (["*/*"], "a/x"),
        (["nonsense"], "a/x"),
        (["a/y"], "a/y"),
        (["A/Y"], "a/y"),
        (["a/*"], "a/x"),
        (["a/x;q=0.1, a/y;q=0.2"], "a/y"),
        (["a/x;q=0.1", "*/*;q=0.001"], "a/x"),
        (["a/x;q=0, */*"], "a/y"),
        (["a/y;charset=utf-8; Q=0.9, a/*;q=0.5"], "a/y"),
        (['a/y;x=",a/x"'], "a/y"),
        (["a/x;q=1.001, a/y"], "a/x"),
        (["b/z", "a/y;q=0.001"], "a/y"),
        (["b/z"], None),
        (["*/*;q=0"], None),
        (["a/*;q=0.0, */*"], None),
    ],
)
def test_the_media_type_that_is_liked_best(accept: list[str], expected: str | None) -> None:
    asked = headers("Accept", *accept)
    if expected is None:
        with pytest.raises(JobdError, match="a/x or a/y"):
            chosen(asked, ("a/x", "a/y"))
    else:
        assert chosen(asked, ("a/x", "a/y")) == expected
