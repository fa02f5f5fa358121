"""Tokens of jobs: made of the job's id and a key, and of nothing else."""

import hmac
import string
from base64 import urlsafe_b64encode

import pytest

from jobd.domain import job_tokens

KEY = bytes(range(32))
JOB = f"job_{'0a' * 16}"
TOKEN = job_tokens.issue(JOB, KEY)


def test_a_token_opens_its_job_and_is_always_the_same() -> None:
    assert job_tokens.issue(JOB, KEY) == TOKEN
    assert TOKEN.startswith(f"{job_tokens.PREFIX}{JOB[4:]}_")
    assert len(TOKEN) == job_tokens.LENGTH
    assert job_tokens.check(TOKEN, KEY) == JOB


@pytest.mark.parametrize("key", [KEY, b"", b"k" * 64, b"k" * 65])
def test_it_is_made_with_hmac(key: bytes) -> None:
    mac = hmac.digest(key, b"job:" + JOB.encode(), "sha256")[:24]

    assert job_tokens.issue(JOB, key) == f"jdj_{JOB[4:]}_{urlsafe_b64encode(mac).decode()}"


def test_it_opens_nothing_with_another_key() -> None:
    assert job_tokens.check(TOKEN, bytes(32)) is None


def test_no_character_of_it_may_differ() -> None:
    alphabet = f"{string.ascii_letters}{string.digits}-_"
    for at, right in enumerate(TOKEN):
        for wrong in set(alphabet) - {right}:
            assert job_tokens.check(f"{TOKEN[:at]}{wrong}{TOKEN[at + 1 :]}", KEY) is None


def test_the_token_of_one_job_is_none_of_another() -> None:
    other = TOKEN.replace("0a", "0b", 1)

    assert job_tokens.check(other, KEY) is None


@pytest.mark.parametrize(
    "text",
    ["", "jdj_", TOKEN[:-1], f"{TOKEN}A", f"{TOKEN}\n", f" {TOKEN}", TOKEN.upper(), "é" * 69],
)
def test_what_has_not_the_form_of_one(text: str) -> None:
    assert job_tokens.check(text, KEY) is None
