"""Tokens of principals, as an admin makes and sees them. The token itself is shown once.

Not here: what a scope opens (api/access.py).
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from jobd.domain import tokens
from jobd.domain.principals import NAME, Scope
from jobd.wire.times import Timestamp, from_ms, from_ms_or_none

MAX_LIFE_S = 10 * 366 * 86400


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a new token is to be."""

    principal: Annotated[str, Meta(pattern=rf"^({NAME.pattern})(?!\n)$")]
    """Whose jobs it sees; there may be several tokens of one."""
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=len(Scope))]
    """What it opens; `operate` stands for submit and read, `admin` for all."""
    description: Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*(?!\n)$")] = ""
    """For people: where it is used."""
    expires_in_seconds: Annotated[int, Meta(ge=1, le=MAX_LIFE_S)] | None = None
    """How long it is valid; null: until it is revoked."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token."""

    token_id: str
    """It stands in the token too, so that a token that was found can be revoked."""
    principal: str
    """Whose jobs it sees; there may be several tokens of one."""
    scopes: tuple[str, ...]
    """What it opens; `operate` stands for submit and read, `admin` for all."""
    description: str
    """For people: where it is used."""
    created_at: Timestamp
    expires_at: Timestamp | None
    """From when on it is not valid; null: never."""
    revoked_at: Timestamp | None
    """When it was revoked; null: it was not."""
    last_used_at: Timestamp | None
    """When it was used last, within an hour; null: never."""


class NewToken(Token, frozen=True, kw_only=True):
    """A token that has just been made."""

    token: str
    """The token itself, shown this once: send it as `Authorization: Bearer …`."""


class TokenList(msgspec.Struct, frozen=True):
    """A page of tokens, the newest first; those are in it too that are no longer valid."""

    tokens: list[Token]
    next_page_token: str | None


def render_token(token: tokens.Token) -> Token:
    """Return the document of a token."""
    return Token(
        token_id=token.token_id,
        principal=token.principal,
        scopes=token.scopes,
        description=token.description,
        created_at=from_ms(token.created_at_ms),
        expires_at=from_ms_or_none(token.expires_at_ms),
        revoked_at=from_ms_or_none(token.revoked_at_ms),
        last_used_at=from_ms_or_none(token.last_used_at_ms),
    )


def render_new_token(token: tokens.Token, text: str) -> NewToken:
    """Return the document that shows a new token."""
    return NewToken(token=text, **msgspec.structs.asdict(render_token(token)))
