"""The test vectors of the standard and of Svix, by the two packages that others wrote.

What signing takes and refuses beyond them is in tests/unit/test_signing.py.
"""

from datetime import UTC, datetime
from typing import NamedTuple

import pytest
import standardwebhooks
import svix.webhooks

from jobd.domain.signing import NotGenuine, new_secret, sign, verify
from tests.webhooks.receiver import verified

STANDARD = (
    b'{"type":"job.completed","timestamp":"2026-01-01T00:00:00Z",'
    b'"data":{"job_id":"job_019b76daa400700080000000000000aa","status":"completed"}}'
)


class Vector(NamedTuple):
    secret: str
    message_id: str
    at_s: int
    body: bytes
    signature: str


OLD = Vector(
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "msg_01JD8Z4Q5V7Y3N2K6M9P0R1S2T",
    1767225600,
    STANDARD,
    "v1,yjV+90PDz8H0E1ET4+dZVl5E4YvVZ7gsmtOWqFYRs9w=",
)
NEW = OLD._replace(
    secret="whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",  # noqa: S106 - published
    signature="v1,bFGfLLVwrO3h+WOCtdJKbWOxomTTZBwdYDN03ofwjIE=",
)
SVIX = Vector(
    "whsec_plJ3nmyCDGBKInavdOK15jsl",
    "msg_loFOjxBNrRLzqYUf",
    1731705121,
    b'{"event_type":"ping","data":{"success":true}}',
    "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
)
ED25519 = (
    "v1a,fCPaoIFQiU2SddNcvo7ilHjYwikuMc2OH6DuexaNUTKTbvs2y+y1ouUpZGqQs+qtscig9uLoLd4PNls7LUAYAw=="
)


@pytest.mark.parametrize("vector", [OLD, NEW, SVIX], ids=["old", "new", "svix"])
def test_we_and_both_packages_sign_as_published(vector: Vector) -> None:
    ours = sign([vector.secret], vector.message_id, vector.at_s, vector.body)
    at = datetime.fromtimestamp(vector.at_s, UTC)
    packages = (standardwebhooks.Webhook(vector.secret), svix.webhooks.Webhook(vector.secret))
    theirs = [one.sign(vector.message_id, at, vector.body.decode()) for one in packages]

    assert {ours, *theirs} == {vector.signature}


def test_the_standard_body_has_the_published_length() -> None:
    assert len(STANDARD) == 137


def test_a_rotation_has_one_space_between_its_signatures() -> None:
    signed = sign([OLD.secret, NEW.secret], OLD.message_id, OLD.at_s, OLD.body)

    assert signed == f"{OLD.signature} {NEW.signature}"


@pytest.mark.parametrize("vector", [OLD, NEW, SVIX], ids=["old", "new", "svix"])
@pytest.mark.parametrize("others", ["{}", "{} " + ED25519, ED25519 + " {}"])
def test_we_take_what_is_published_beside_other_schemes(vector: Vector, others: str) -> None:
    headers = {
        "webhook-id": vector.message_id,
        "webhook-timestamp": str(vector.at_s),
        "webhook-signature": others.format(vector.signature),
    }

    verify(vector.secret, headers, vector.body, vector.at_s)
    with pytest.raises(NotGenuine):
        verify(vector.secret, headers, vector.body + b" ", vector.at_s)


def test_the_judges_of_the_other_tests_can_say_no() -> None:
    secret, at_s = new_secret(), int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at_s),
        "webhook-signature": sign([secret], "msg_1", at_s, b"{}"),
    }
    old = headers | {
        "webhook-timestamp": str(at_s - 400),
        "webhook-signature": sign([secret], "msg_1", at_s - 400, b"{}"),
    }

    assert verified(secret, headers, b"{}")
    assert not verified(new_secret(), headers, b"{}")
    assert not verified(secret, headers | {"webhook-id": "msg_2"}, b"{}")
    assert not verified(secret, headers, b"{ }")
    assert not verified(secret, old, b"{}")
