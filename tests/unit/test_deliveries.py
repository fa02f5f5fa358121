"""What follows from an attempt, and which URLs a delivery may have."""

import pytest

from jobd.domain.deliveries import (
    AttemptError,
    DeliveryAttempt,
    DeliveryStatus,
    Target,
    Verdict,
    age_limit_s,
    has_failed_too_long,
    next_attempt,
    parse_target,
    pause_s,
    speaks_of_receiver,
)
from jobd.domain.errors import Invalid
from jobd.webhooks.egress import Policy

SCHEDULE_S = (5.0, 300.0, 7200.0)
NOON_MS = 1_767_268_800_000  # 2026-01-01T12:00:00Z
DAY_S = 86400.0


def attempt(
    ordinal: int = 1,
    *,
    status: int | None = None,
    error: AttemptError | None = "http_status",
    retry_after: str | None = None,
) -> DeliveryAttempt:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return DeliveryAttempt(
        ordinal, NOON_MS - 500, 500, status_code=status, error=error, response_headers=headers
    )


def middle() -> float:
    """The jitter that changes nothing."""
    return 0.5


def test_an_attempt_without_an_error_is_the_end() -> None:
    assert next_attempt(SCHEDULE_S, attempt(status=204, error=None), middle) == Verdict(
        DeliveryStatus.SUCCEEDED
    )


@pytest.mark.parametrize(("ordinal", "wait_s"), [(1, 5.0), (2, 300.0), (3, 7200.0)])
def test_each_failure_waits_as_scheduled(ordinal: int, wait_s: float) -> None:
    verdict = next_attempt(SCHEDULE_S, attempt(ordinal, error="timeout"), middle)

    assert (verdict.status, verdict.dead_reason) == ("retrying", None)
    assert verdict.delay_s == pytest.approx(wait_s)


@pytest.mark.parametrize(("drawn", "wait_s"), [(0.0, 270.0), (0.999, 330.0)])
def test_waits_are_spread_by_a_tenth(drawn: float, wait_s: float) -> None:
    verdict = next_attempt(SCHEDULE_S, attempt(2), lambda: drawn)

    assert verdict.delay_s == pytest.approx(wait_s, rel=1e-3)


def test_a_new_schedule_begins_at_its_beginning() -> None:
    again = next_attempt(SCHEDULE_S, attempt(5), middle, earlier=4)
    last = next_attempt(SCHEDULE_S, attempt(8), middle, earlier=4)

    assert again.delay_s == pytest.approx(5.0)
    assert last.dead_reason == "exhausted"


@pytest.mark.parametrize(
    ("ended", "wait_s"),
    [
        (attempt(status=429, retry_after="60"), 60.0),
        (attempt(status=503, retry_after="60"), 60.0),
        (attempt(status=500, retry_after="60"), 0.0),
        (attempt(status=429), 0.0),
        (attempt(error="timeout"), 0.0),
    ],
)
def test_who_is_busy_may_ask_to_be_left_alone(ended: DeliveryAttempt, wait_s: float) -> None:
    assert pause_s(ended) == wait_s


@pytest.mark.parametrize(
    ("ended", "speaks"),
    [
        (attempt(status=500), True),
        (attempt(error="timeout"), True),
        (attempt(status=200, error=None), True),
        (attempt(status=410), False),
        (attempt(error="blocked_address"), False),
    ],
)
def test_what_says_how_a_receiver_is(ended: DeliveryAttempt, *, speaks: bool) -> None:
    assert speaks_of_receiver(ended) == speaks


def test_an_endpoint_has_five_days() -> None:
    day_ms = 86_400_000

    assert not has_failed_too_long(None, 5 * day_ms)
    assert not has_failed_too_long(0, 5 * day_ms - 1)
    assert has_failed_too_long(0, 5 * day_ms)


def test_a_schedule_may_take_its_waits_with_jitter_and_its_attempts() -> None:
    longest_s = sum(1.1 * wait_s for wait_s in SCHEDULE_S) + 4 * 20

    assert longest_s < age_limit_s(SCHEDULE_S, 20) < longest_s + 120


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (attempt(4), "exhausted"),
        (attempt(4, error="dns"), "exhausted"),
        (attempt(1, status=410), "gone"),
        (attempt(4, status=410), "gone"),
        (attempt(1, error="blocked_address"), "blocked_address"),
    ],
)
def test_a_dead_letter_has_its_reason(ended: DeliveryAttempt, reason: str) -> None:
    verdict = next_attempt(SCHEDULE_S, ended, middle)

    assert (verdict.status, verdict.dead_reason, verdict.delay_s) == ("dead", reason, None)


def test_without_a_schedule_there_is_one_attempt() -> None:
    assert next_attempt((), attempt(1), middle).dead_reason == "exhausted"


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1", 5.0),
        ("999999", DAY_S),
        ("9" * 5000, DAY_S),
        ("Thu, 01 Jan 2026 12:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 5.0),
        ("Fri, 01 Jan 2027 12:00:00 GMT", DAY_S),
        ("Thu, 01 Jan 2026 12:01:00 -0000", 60.0),
        ("Thu, 99 Jan 99999 12:00:00 GMT", 5.0),
        ("-5", 5.0),
        ("1.5", 5.0),
        ("soon", 5.0),
        ("٣٦٠٠", 5.0),
        ("", 5.0),
    ],
)
def test_a_receiver_can_only_make_the_wait_longer(value: str, wait_s: float) -> None:
    verdict = next_attempt(SCHEDULE_S, attempt(1, status=503, retry_after=value), middle)

    assert (verdict.status, verdict.dead_reason) == ("retrying", None)
    assert verdict.delay_s == pytest.approx(wait_s)


STRICT = Policy()
OPEN = Policy(allow_http=True, allow_unix=("/run/app/hook.sock",))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com/hook?a=1", Target("https://example.com/hook?a=1")),
        ("https://example.com", Target("https://example.com/")),
        ("https://example.com?a", Target("https://example.com/?a")),
        ("HTTPS://Example.COM:8443/X", Target("https://example.com:8443/X")),
        ("https://a-b_c.example.com./", Target("https://a-b_c.example.com./")),
        ("https://xn--r8jz45g.jp/", Target("https://xn--r8jz45g.jp/")),
        ("https://1.2.3.example/", Target("https://1.2.3.example/")),
        ("https://8.8.8.8/", Target("https://8.8.8.8/")),
        ("https://[2606:4700::1]:443/", Target("https://[2606:4700::1]:443/")),
        ("http://example.com:80/", Target("http://example.com:80/")),
        (
            "unix:/run/app/hook.sock:/hook?a=b:/c",
            Target("http://localhost/hook?a=b:/c", "/run/app/hook.sock"),
        ),
    ],
)
def test_a_url_that_may_be_sent_to_has_a_target(url: str, target: Target) -> None:
    assert parse_target(url, OPEN) == target


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://example.com:8443/a/b", "https://example.com:8443"),
        ("unix:/run/app/hook.sock:/hook", "/run/app/hook.sock"),
    ],
)
def test_the_origin_is_who_answers(url: str, origin: str) -> None:
    assert parse_target(url, OPEN).origin == origin


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/", "is https"),
        ("unix:/run/app/hook.sock:/hook", "not listed"),
    ],
)
def test_what_the_operator_has_not_allowed_is_refused(url: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        parse_target(url, STRICT)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "ASCII"),
        ("example.com", "begins with"),
        ("//example.com/", "begins with"),
        ("https:example.com", "begins with"),
        ("ftp://example.com/", "begins with"),
        ("file:///etc/passwd", "begins with"),
        ("gopher://example.com/", "begins with"),
        ("javascript:alert(1)", "begins with"),
        ("https:///hook", "cannot be read"),
        ("https://example.com/" + "a" * 2048, "at most 2048"),
        ("https://example.com/#top", "fragment"),
        ("https://example.com/#", "fragment"),
        ("https://user@example.com/", "user name"),
        ("https://user:pw@example.com/", "user name"),
        ("https://example.com@127.0.0.1/", "user name"),
        ("https://exa mple.com/", "spaces"),
        ("https://example.com/a\nHost: x", "spaces"),
        ("https://example.com\t/", "spaces"),
        ("https://example.com\\@127.0.0.1/", "backslashes"),
        ("https://例え.jp/", "ASCII"),
        ("https://①②⑦.⓪.⓪.①/", "ASCII"),
        ("https://%31%32%37.0.0.1/", "cannot be read"),
        ("https://example.com:/", "cannot be read"),
        ("https://example.com:x/", "cannot be read"),
        ("https://[::1", "cannot be read"),
        ("https://[::1]x/", "cannot be read"),
        ("https://[fe80::1%25eth0]/", "cannot be read"),
        ("https://[v1.fe80::a]/", "cannot be read"),
        ("https://[::12345]/", "not an address"),
        ("https://example.com:0/", "port"),
        ("https://example.com:22/", "port"),
        ("https://example.com:1023/", "port"),
        ("https://example.com:65536/", "port"),
        ("https://example..com/", "not a name"),
        ("https://.example.com/", "not a name"),
        ("https://" + "a" * 64 + ".com/", "not a name"),
        ("https://" + "a." * 127 + "com/", "not a name"),
        ("unix:hook.sock:/hook", "begins with"),
        ("unix:/run/app/hook.sock", "begins with"),
        ("unix:///run/app/hook.sock:/hook", "not listed"),
        ("unix:/run/app/../app/hook.sock:/hook", "not listed"),
        ("unix:/run/app/hook.sock.old:/hook", "not listed"),
        ("unix:/run/app/hook.sock:hook", "begins with"),
    ],
)
def test_a_url_that_breaks_a_rule_is_refused(url: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as refused:
        parse_target(url, OPEN)

    (error,) = refused.value.errors
    assert refused.value.code == "callback_url_forbidden"
    assert (error.pointer, error.code) == ("#/callback_url", "callback_not_allowed")
