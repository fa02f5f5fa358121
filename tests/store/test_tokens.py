"""Tokens: in memory and on disk, the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.principals import Scope
from jobd.store.database import Database
from jobd.store.tokens import KEPT_MS, USED_MS, Tokens
from tests.support.clock import START_MS, FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Kept:
    """One database, and its tokens as a start of the daemon finds them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.files = [folder / f"jobd.db{end}" for end in ("", "-wal")]
        self.clock = FakeClock()

    async def start(self) -> Tokens:
        tokens = Tokens(self.database, self.clock)
        await tokens.load()
        return tokens

    async def column(self, name: str) -> list[Any]:
        sql = f"SELECT {name} FROM tokens ORDER BY seq"  # noqa: S608
        return [row[0] for row in await self.database.read(lambda c: c.execute(sql).fetchall())]


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    database = await Database.open(tmp_path / "jobd.db")
    yield Kept(database, tmp_path)
    await database.close()


async def test_the_key_is_made_once(kept: Kept) -> None:
    first = (await kept.start()).server_key

    assert len(first) == 32
    assert (await kept.start()).server_key == first


async def test_a_token_says_who_sends_it_after_a_restart_too(kept: Kept) -> None:
    tokens = await kept.start()
    assert not tokens.any_valid
    made, text = await tokens.create("alice", (Scope.OPERATE,), description="ci")

    for known in (tokens, await kept.start()):
        caller = known.caller(text)
        assert caller is not None
        assert caller.principal == "alice"
        assert caller.scopes == {Scope.SUBMIT, Scope.READ, Scope.OPERATE}
        assert caller.by_token
        assert known.any_valid
        await known.close()
    assert made.description == "ci"


async def test_what_is_kept_is_not_the_token(kept: Kept) -> None:
    _, text = await (await kept.start()).create("alice", (Scope.READ,))
    await kept.database.checkpoint()

    secret = text.rpartition("_")[2].encode()
    assert secret not in b"".join(file.read_bytes() for file in kept.files)


async def test_one_that_is_revoked_opens_nothing_from_then_on(kept: Kept) -> None:
    tokens = await kept.start()
    made, text = await tokens.create("alice", (Scope.READ,))
    kept.clock.jump(0.005)

    assert await tokens.revoke(made.token_id)
    assert tokens.caller(text) is None
    assert (await kept.start()).caller(text) is None
    kept.clock.jump(0.005)
    assert await tokens.revoke(made.token_id)
    assert await kept.column("revoked_at") == [START_MS + 5]
    assert not await tokens.revoke("0" * 12)


async def test_one_that_expires_does_so_to_the_millisecond(kept: Kept) -> None:
    tokens = await kept.start()
    _, text = await tokens.create("alice", (Scope.READ,), expires_in_s=10)

    kept.clock.jump(9.999)
    assert tokens.caller(text) is not None
    kept.clock.jump(0.001)
    assert tokens.caller(text) is None
    assert not tokens.any_valid
    await tokens.close()


async def test_a_use_is_written_once_an_hour(kept: Kept) -> None:
    tokens = await kept.start()
    _, text = await tokens.create("alice", (Scope.READ,))
    written = []

    for pause_ms in (0, USED_MS - 1, 1, USED_MS):
        kept.clock.jump(pause_ms / 1000)
        tokens.caller(text)
        await tokens.close()
        written += await kept.column("last_used_at")

    assert [at - START_MS for at in written] == [0, 0, USED_MS, 2 * USED_MS]
    (shown,) = (await tokens.page(10)).tokens
    assert shown.last_used_at_ms == START_MS + 2 * USED_MS


async def test_a_wrong_secret_is_no_use(kept: Kept) -> None:
    tokens = await kept.start()
    _, text = await tokens.create("alice", (Scope.READ,))

    assert tokens.caller(text[:-4] + "AAAA") is None
    await tokens.close()
    assert await kept.column("last_used_at") == [None]


async def test_pages_go_from_the_newest_to_the_oldest(kept: Kept) -> None:
    tokens = await kept.start()
    made = [(await tokens.create(name, (Scope.READ,)))[0] for name in "abcde"]

    first = await tokens.page(2)
    second = await tokens.page(2, first.before_seq)
    last = await tokens.page(2, second.before_seq)

    assert [*first.tokens, *second.tokens, *last.tokens] == made[::-1]
    assert last.before_seq is None


async def test_what_is_not_valid_for_long_is_forgotten(kept: Kept) -> None:
    tokens = await kept.start()
    revoked, _ = await tokens.create("a", (Scope.READ,))
    await tokens.create("b", (Scope.READ,), expires_in_s=1)
    await tokens.create("c", (Scope.READ,))
    await tokens.revoke(revoked.token_id)

    kept.clock.jump(KEPT_MS / 1000 + 1.001)
    await tokens.create("d", (Scope.READ,))

    assert await kept.column("principal") == ["c", "d"]


async def test_uses_at_once_are_all_written(kept: Kept) -> None:
    tokens = await kept.start()
    texts = [(await tokens.create(name, (Scope.READ,)))[1] for name in "abc"]

    tokens.caller(texts[0])
    await asyncio.gather(tokens.close(), tokens.revoke("0" * 12))
    for text in texts[1:]:
        tokens.caller(text)
    await tokens.close()

    assert await kept.column("last_used_at") == [START_MS] * 3


class Ended:
    """Counts how often it is told."""

    def __init__(self) -> None:
        self.told = 0

    def __call__(self) -> None:
        self.told += 1


async def test_whoever_watches_a_token_is_told_once_when_it_is_revoked(kept: Kept) -> None:
    tokens, watching, later, over = await kept.start(), Ended(), Ended(), Ended()
    token, _ = await tokens.create("alice", (Scope.READ,))

    with tokens.watched(token.token_id, over):
        pass
    with tokens.watched(token.token_id, watching):
        await tokens.revoke(token.token_id)
        await tokens.revoke(token.token_id)
        with tokens.watched(token.token_id, later):
            assert (watching.told, later.told, over.told) == (1, 1, 0)


async def test_whoever_watches_a_token_is_told_when_it_expires(kept: Kept) -> None:
    tokens, watching, beside, later = await kept.start(), Ended(), Ended(), Ended()
    token, _ = await tokens.create("alice", (Scope.READ,), expires_in_s=60)

    with tokens.watched(token.token_id, watching), tokens.watched(token.token_id, beside):
        assert await kept.clock.waits.get() == token.expires_at_ms
        kept.clock.jump(-3600)  # set back: a minute from then
        assert await kept.clock.waits.get() == token.expires_at_ms
        assert watching.told == 0
        kept.clock.advance(3660)
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        assert (watching.told, beside.told) == (1, 1)
        with tokens.watched(token.token_id, later):
            assert later.told == 1


async def test_nobody_waits_for_a_token_that_nobody_watches(kept: Kept) -> None:
    tokens, before = await kept.start(), asyncio.all_tasks()
    token, _ = await tokens.create("alice", (Scope.READ,), expires_in_s=60)
    with tokens.watched(token.token_id, Ended()), tokens.watched(token.token_id, Ended()):
        (waiting,) = asyncio.all_tasks() - before
    await asyncio.wait([waiting])

    assert waiting.cancelled()
