"""Every file of the corpus, on the socket and over TCP: refused, or the connection closed."""

import contextlib

import pytest

from tests.hostile.cases import Case, load
from tests.hostile.house import LISTENERS, House
from tests.hostile.wire import dial, exchange, statuses

CASES = load()


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_hostile_is_refused(house: House, listener: str, case: Case) -> None:
    leave = "closed" in case.allowed

    answer = exchange(house.addresses[listener], [case.sent(house.auth(listener))], leave=leave)

    said = [str(status) for status in statuses(answer)] or ["closed"]
    assert len(said) == 1, answer
    assert case.allowed.issuperset(said), answer
    assert b"Traceback" not in answer
    assert b"aiohttp" not in answer


def test_the_corpus_is_not_lost() -> None:
    assert len(CASES) >= 150


@pytest.mark.parametrize("listener", LISTENERS)
def test_ten_thousand_requests_at_once_are_answered_in_order(house: House, listener: str) -> None:
    one = "GET /v1/jobs/{} HTTP/1.1\r\nHost: localhost\r\n" + house.auth(listener) + "\r\n"
    last = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    pieces = ["".join(one.format(n) for n in range(at, at + 100)) for at in range(0, 10_000, 100)]

    answer = exchange(house.addresses[listener], [p.encode() for p in [*pieces, last]], leave=False)

    *said, end = statuses(answer)
    begun = said.index(429) if listener == "tcp" else 10_000
    assert (len(said), end, set(said[:begun])) == (10_000, 200, {404})
    assert set(said[begun:]) <= {404, 429}
    assert answer.index(b"no job 41.") < answer.index(b"no job 42.") < answer.index(b"no job 4000.")


@pytest.mark.parametrize("listener", LISTENERS)
def test_who_does_not_read_is_not_answered_into_memory(house: House, listener: str) -> None:
    one = f"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n{house.auth(listener)}\r\n"
    house.ask("GET", "/openapi.json")
    before = house.rss_bytes

    with dial(house.addresses[listener]) as connection:
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:  # until neither of us takes any more
                connection.send(one.encode() * 1000)
        assert house.alive()
        grown = house.rss_bytes - before

    assert grown < 16 * 1024 * 1024
