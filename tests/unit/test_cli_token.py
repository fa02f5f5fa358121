"""`jobd token` against a recorded daemon: what is asked, printed, and the exit code."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from jobd.wire.tokens import TokenRequest

Jobd = Callable[..., int]
Capture = pytest.CaptureFixture[str]

MADE = {
    "token_id": "0123456789ab",
    "principal": "ci",
    "scopes": ["submit", "read"],
    "description": "",
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
    "token": "jdk_0123456789ab_x",
}


def test_create_prints_the_token_and_nothing_else(
    recorded: Any, jobd: Jobd, capsys: Capture
) -> None:
    recorded.reply(msgspec.json.encode(MADE), status=201)

    scopes = ("--scope", "submit", "--scope", "read")
    assert jobd("token", "create", "ci", *scopes, "--expires", "90d") == 0

    assert capsys.readouterr().out == "jdk_0123456789ab_x\n"
    asked = msgspec.json.decode(recorded.requests[0].body, type=TokenRequest)
    assert (asked.scopes, asked.expires_in_seconds) == (("submit", "read"), 90 * 86400)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["we b"], "NAME has letters"),
        (["ci", "--description", "a\nb"], "--description has 200"),
        (["ci", "--expires", "4000d"], "--expires is ten years"),
        (["ci", "--expires", "0d"], "a number with s, m, h or d"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_command(
    jobd: Jobd, capsys: Capture, arguments: list[str], says: str
) -> None:
    assert jobd("token", "create", *arguments) == 2

    err = capsys.readouterr().err
    assert says in err
    assert "regex" not in err
