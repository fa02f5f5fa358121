"""Signatures: the published vectors, and that a receiver takes ours and nothing else."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from jobd.domain.signing import NotGenuine, new_secret, sign, verify

OLD = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
NEW = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
BODY = (
    b'{"type":"job.completed","timestamp":"2026-01-01T00:00:00Z",'
    b'"data":{"job_id":"job_019b76daa400700080000000000000aa","status":"completed"}}'
)
MESSAGE_ID = "msg_01JD8Z4Q5V7Y3N2K6M9P0R1S2T"
AT_S = 1767225600
SIGNED_OLD = "v1,yjV+90PDz8H0E1ET4+dZVl5E4YvVZ7gsmtOWqFYRs9w="
SIGNED_NEW = "v1,bFGfLLVwrO3h+WOCtdJKbWOxomTTZBwdYDN03ofwjIE="


def headers(signature: str = SIGNED_OLD, **changes: str) -> dict[str, str]:
    plain = {"id": MESSAGE_ID, "timestamp": str(AT_S), "signature": signature}
    return {f"webhook-{name}": value for name, value in (plain | changes).items()}


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        ((OLD,), SIGNED_OLD),
        ((NEW,), SIGNED_NEW),
        ((OLD, NEW), f"{SIGNED_OLD} {SIGNED_NEW}"),
    ],
)
def test_signatures_are_those_of_the_standard(secrets: tuple[str, ...], expected: str) -> None:
    assert sign(secrets, MESSAGE_ID, AT_S, BODY) == expected


def test_a_published_vector_of_another_sender_is_reproduced() -> None:
    signature = sign(
        ["whsec_plJ3nmyCDGBKInavdOK15jsl"],
        "msg_loFOjxBNrRLzqYUf",
        1731705121,
        b'{"event_type":"ping","data":{"success":true}}',
    )

    assert signature == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


def test_the_reference_library_takes_what_is_signed_while_a_secret_rotates() -> None:
    now = datetime.now(UTC)
    signed = sign([new_secret(), OLD], MESSAGE_ID, int(now.timestamp()), BODY)

    sent = headers(signed, timestamp=str(int(now.timestamp())))

    assert Webhook(OLD).verify(BODY, sent)["type"] == "job.completed"


def test_what_the_reference_library_signs_is_genuine() -> None:
    signed = Webhook(NEW).sign(MESSAGE_ID, datetime.fromtimestamp(AT_S, UTC), BODY.decode())

    verify(NEW, headers(signed), BODY, AT_S)


@pytest.mark.parametrize(
    "signature",
    [
        SIGNED_OLD,
        f"{SIGNED_NEW} {SIGNED_OLD}",
        f"v1a,bm90IG91cnM= {SIGNED_OLD}",
        f"{SIGNED_OLD},  ,{SIGNED_OLD} {SIGNED_OLD}",
    ],
)
def test_any_one_signature_that_matches_is_enough(signature: str) -> None:
    verify(OLD, headers(signature), BODY, AT_S)


def test_the_names_of_headers_have_no_case() -> None:
    verify(OLD, {name.upper(): value for name, value in headers().items()}, BODY, AT_S)


@pytest.mark.parametrize("off_s", [-300, 0, 300])
def test_clocks_may_differ_by_five_minutes(off_s: int) -> None:
    verify(OLD, headers(), BODY, AT_S + off_s)


@pytest.mark.parametrize(
    ("sent", "body", "now_s", "why"),
    [
        (headers(SIGNED_NEW), BODY, AT_S, "no signature matches"),
        (headers(), BODY + b" ", AT_S, "no signature matches"),
        (headers(id="msg_other"), BODY, AT_S, "no signature matches"),
        (headers(SIGNED_OLD.removeprefix("v1,")), BODY, AT_S, "no signature matches"),
        (headers("v1,é,"), BODY, AT_S, "no signature matches"),
        (headers(""), BODY, AT_S, "webhook-signature is missing"),
        (headers(id=""), BODY, AT_S, "webhook-id is missing"),
        ({}, BODY, AT_S, "webhook-id is missing"),
        (headers(), BODY, AT_S + 301, "more than 300 s"),
        (headers(), BODY, AT_S - 301, "more than 300 s"),
        (headers(timestamp="1e9"), BODY, AT_S, "not a time"),
        (headers(timestamp="-1"), BODY, AT_S, "not a time"),
        (headers(timestamp="9" * 5000), BODY, AT_S, "not a time"),
        (headers(timestamp="١٧٦٧٢٢٥٦٠٠"), BODY, AT_S, "not a time"),
    ],
)
def test_what_is_not_genuine_is_named(
    sent: dict[str, str], body: bytes, now_s: int, why: str
) -> None:
    with pytest.raises(NotGenuine, match=why):
        verify(OLD, sent, body, now_s)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!", "whsec_é", "whsec_" + "A" * 100]
)
def test_a_secret_of_the_wrong_form_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="a webhook secret"):
        sign([secret], MESSAGE_ID, AT_S, BODY)


def test_secrets_are_fresh_and_long() -> None:
    secrets = {new_secret() for _ in range(100)}

    assert len(secrets) == 100
    assert {len(base64.b64decode(secret.removeprefix("whsec_"))) for secret in secrets} == {32}
