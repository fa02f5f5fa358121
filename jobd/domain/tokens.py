"""Tokens of principals: what they look like, and what is kept of them.

A token is `jdk_`, the 12 hex digits of its id, `_`, and 256 random bits. Only its SHA-256 is
kept: that much randomness needs no slow hash.

Not here: which there are (store/tokens.py), tokens of jobs (job_tokens.py).
"""

import hashlib
import hmac
import re
import secrets

import msgspec

from jobd.domain.principals import Caller, Scope, closed

PREFIX = "jdk_"
"""What every token of a principal begins with, and nothing else."""

TOKEN_ID = re.compile(r"[0-9a-f]{12}")

_FORM = re.compile(rf"{PREFIX}(?P<id>{TOKEN_ID.pattern})_[A-Za-z0-9_-]{{43}}")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token; times are ms since the epoch."""

    token_id: str
    principal: str
    scopes: tuple[Scope, ...]
    """As they were given: not closed."""
    description: str
    created_at_ms: int
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    last_used_at_ms: int | None = None
    """When it was used, within an hour."""

    @property
    def caller(self) -> Caller:
        """Who sends it."""
        return Caller(self.principal, closed(self.scopes), by_token=True, token_id=self.token_id)

    def is_valid(self, now_ms: int) -> bool:
        """Return whether it opens anything at this time."""
        expired = self.expires_at_ms is not None and self.expires_at_ms <= now_ms
        return self.revoked_at_ms is None and not expired


def new_token() -> tuple[str, str]:
    """Return a fresh token and its id."""
    token_id = secrets.token_hex(6)
    return f"{PREFIX}{token_id}_{secrets.token_urlsafe(32)}", token_id


def id_of(token: str) -> str | None:
    """Return the id in a token, None if it has not the form of one."""
    form = _FORM.fullmatch(token)
    return None if form is None else form["id"]


def digest_of(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def is_digest_of(digest: bytes, token: str) -> bool:
    """Return whether `digest` was kept of `token`; takes as long however wrong that is."""
    return hmac.compare_digest(digest, digest_of(token))
