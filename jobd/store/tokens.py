"""Tokens of principals, and the key that tokens of jobs are made with.

All that may be valid are in memory as well, so that a request asks no database: they are
read once at the start, and every change is made here. That a token was used is written now
and then, by nobody who waits.

Not here: what a token looks like (domain/tokens.py), what it opens (api/access.py).
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from jobd.domain.clock import Clock
from jobd.domain.errors import JobdError
from jobd.domain.principals import Caller, Scope
from jobd.domain.tokens import Token, digest_of, id_of, is_digest_of, new_token
from jobd.store.database import Database, DatabaseUnusable
from jobd.store.queries import load
from jobd.store.writes import write

log = logging.getLogger(__name__)

_SQL = load("tokens.sql")

KEPT_MS = 90 * 86_400_000
"""How long a token is listed that is no longer valid."""

USED_MS = 3_600_000
"""A use is written when the one before is so long ago."""

_KEY_BYTES = 32
_NO_DIGEST = bytes(32)
_BEHIND_ALL = (1 << 63) - 1
_scopes = msgspec.json.Decoder(tuple[Scope, ...])


class TokenPage(NamedTuple):
    """A page of the list, the newest first."""

    tokens: list[Token]
    before_seq: int | None
    """The seq below which the next page begins; None if this is the last."""


class _Known(msgspec.Struct):
    """A token that may be valid, as requests ask for it."""

    token: Token
    digest: bytes
    caller: Caller
    watchers: set[Callable[[], None]] = msgspec.field(default_factory=set)
    """Called when it opens nothing any more."""
    expiring: asyncio.Task[None] | None = None
    """Waits for that, while there are watchers."""

    def tell(self) -> None:
        for ended in list(self.watchers):
            ended()


class Tokens:
    """The tokens of one database: `load` them, `close` at the end.

    Writes are durable on return, and may raise as `write`.
    """

    server_key: bytes
    """What tokens of jobs are made with: the same as long as the database lives."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._used: dict[str, int] = {}
        self._noting: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Read what there is, before anything else; a database without a key gets one."""
        self.server_key, rows = await write(self._database, _first_look)
        for row in rows:
            self._know(_token(row), row[3])

    def caller(self, token: str) -> Caller | None:
        """Return who sends a token, None if it is not valid now. Asks no database."""
        token_id = id_of(token)
        if token_id is None:
            return None
        known = self._known.get(token_id)
        right = is_digest_of(_NO_DIGEST if known is None else known.digest, token)
        now_ms = self._clock.wall_ms()
        if known is None or not right or not known.token.is_valid(now_ms):
            return None
        last_ms = known.token.last_used_at_ms
        if last_ms is None or not 0 <= now_ms - last_ms < USED_MS:
            self._note_use(known, now_ms)
        return known.caller

    @contextmanager
    def watched(self, token_id: str, ended: Callable[[], None]) -> Iterator[None]:
        """Call `ended` if the token is revoked or expires while the block runs.

        At once if it is not valid now; `ended` must be another one for each block.
        """
        known = self._known.get(token_id)
        if known is None or not known.token.is_valid(self._clock.wall_ms()):
            ended()
            yield
            return
        known.watchers.add(ended)
        if known.expiring is None and known.token.expires_at_ms is not None:
            expiry = self._expire(known, known.token.expires_at_ms)
            known.expiring = asyncio.get_running_loop().create_task(expiry)
        try:
            yield
        finally:
            known.watchers.discard(ended)
            if not known.watchers and known.expiring is not None:
                known.expiring.cancel()
                known.expiring = None

    @property
    def any_valid(self) -> bool:
        """Whether there is a token that opens anything now."""
        now_ms = self._clock.wall_ms()
        return any(known.token.is_valid(now_ms) for known in self._known.values())

    async def create(
        self,
        principal: str,
        scopes: tuple[Scope, ...],
        *,
        description: str = "",
        expires_in_s: float | None = None,
    ) -> tuple[Token, str]:
        """Make a token and return it with its text, which is not known afterwards."""
        text, token_id = new_token()
        now_ms = self._clock.wall_ms()
        token = Token(
            token_id=token_id,
            principal=principal,
            scopes=scopes,
            description=description,
            created_at_ms=now_ms,
            expires_at_ms=None if expires_in_s is None else now_ms + round(expires_in_s * 1000),
        )
        digest = digest_of(text)
        forgotten_ms = self._clock.trusted_ms() - KEPT_MS

        def add(connection: sqlite3.Connection) -> None:
            connection.execute(_SQL["forget_tokens"], {"before": forgotten_ms})
            connection.execute(_SQL["add_token"], _row(token, digest))

        await write(self._database, add)
        self._know(token, digest)
        return token, text

    async def revoke(self, token_id: str) -> bool:
        """Have a token open nothing from now on; return whether there is such a token."""
        values = {"token_id": token_id, "now": self._clock.wall_ms()}
        rows = await write(
            self._database, lambda c: c.execute(_SQL["revoke_token"], values).fetchall()
        )
        known = self._known.pop(token_id, None)
        if known is not None:
            known.tell()
        return bool(rows)

    async def page(self, limit: int, before_seq: int | None = None) -> TokenPage:
        """Return a page of all tokens, those too that were valid once."""
        before = _BEHIND_ALL if before_seq is None else before_seq
        values = {"before": before, "limit": limit + 1}
        rows = await self._database.read(
            lambda c: c.execute(_SQL["page_of_tokens"], values).fetchall()
        )
        shown = rows[:limit]
        return TokenPage(
            [self._newest(_token(row)) for row in shown],
            shown[-1]["seq"] if len(rows) > limit else None,
        )

    async def close(self) -> None:
        """Let a note that is being written get to its end."""
        if self._noting is not None:
            await asyncio.wait([self._noting])

    def _know(self, token: Token, digest: bytes) -> None:
        self._known[token.token_id] = _Known(token, digest, token.caller)

    async def _expire(self, known: _Known, expires_at_ms: int) -> None:
        while known.token.is_valid(self._clock.wall_ms()):
            await self._clock.wait_until(expires_at_ms)
        known.tell()

    def _newest(self, token: Token) -> Token:
        """Return the token with its last use, also if that has not been written yet."""
        known = self._known.get(token.token_id)
        return token if known is None else known.token

    def _note_use(self, known: _Known, now_ms: int) -> None:
        known.token = msgspec.structs.replace(known.token, last_used_at_ms=now_ms)
        self._used[known.token.token_id] = now_ms
        if self._noting is None:
            self._noting = asyncio.get_running_loop().create_task(self._note_uses())

    async def _note_uses(self) -> None:
        try:
            while self._used:
                used, self._used = list(self._used.items()), {}
                await self._write_uses({"used": msgspec.json.encode(used).decode()})
        except (JobdError, sqlite3.Error, DatabaseUnusable) as error:
            # it tells a person which tokens may go; the next use is an hour away
            log.warning("The use of tokens was not noted.", extra={"reason": str(error)})
        finally:
            self._noting = None

    async def _write_uses(self, values: dict[str, str]) -> None:
        await write(self._database, lambda c: c.execute(_SQL["use_tokens"], values).rowcount)


def _first_look(connection: sqlite3.Connection) -> tuple[bytes, list[tuple[Any, ...]]]:
    connection.execute(_SQL["make_server_key"], {"key": os.urandom(_KEY_BYTES)})
    ((key,),) = connection.execute(_SQL["server_key"]).fetchall()
    return key, connection.execute(_SQL["unrevoked"]).fetchall()


def _row(token: Token, digest: bytes) -> dict[str, object]:
    return {
        "token_id": token.token_id,
        "principal": token.principal,
        "digest": digest,
        "scopes": msgspec.json.encode(token.scopes).decode(),
        "description": token.description,
        "created_at": token.created_at_ms,
        "expires_at": token.expires_at_ms,
    }


def _token(row: Sequence[Any]) -> Token:
    _, token_id, principal, _, scopes, description, created, expires, revoked, used = row
    return Token(
        token_id=token_id,
        principal=principal,
        scopes=_scopes.decode(scopes),
        description=description,
        created_at_ms=created,
        expires_at_ms=expires,
        revoked_at_ms=revoked,
        last_used_at_ms=used,
    )
