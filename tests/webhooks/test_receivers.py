"""The real deliverer against receivers that do their worst: what is recorded, what it costs.

Each request is verified by packages that others wrote (receiver.py). Not here: addresses
(egress/), answers of one byte or another (test_sender.py).
"""

from __future__ import annotations

import logging
import ssl
import subprocess
from io import StringIO
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from jobd.domain.endpoints import EndpointRotation
from jobd.domain.signing import new_secret
from jobd.logs import JsonFormatter, TextFormatter
from tests.webhooks.receiver import FLOOD_BYTES, MARK, Receiver, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.webhooks.conftest import HandClock, OpenOutbox, Outbox

PRINCIPAL = "uid:1000"
GROWTH_MB = 24
"""Of which 64 MB of any answer would be seen at once."""


@pytest.fixture
async def judge() -> AsyncIterator[Receiver]:
    async with serving() as receiver:
        yield receiver


@pytest.fixture
async def trusted(open_outbox: OpenOutbox, judge: Receiver) -> AsyncIterator[Outbox]:
    """An outbox that may send to the receiver, which knows its secret."""
    here = (ip_network("127.0.0.1/32"),)
    async with open_outbox(allow_http=True, allow_private=here) as outbox:
        secrets = await outbox.deliveries.secrets_of([PRINCIPAL])
        judge.trust(*secrets[PRINCIPAL])
        yield outbox


class Ruled(NamedTuple):
    """How an attempt is to be recorded; the delay is the least that is waited."""

    path: str
    error: str | None
    code: int | None
    status: str
    delay_s: float | None = None


RETRIED = ("retrying", 5.0)
ENDLESS = ("hang", "drip", "drip-body")
RULED = [
    Ruled("ok", None, 204, "succeeded"),
    Ruled("slow?s=0.05", None, 204, "succeeded"),
    Ruled("hang", "timeout", None, *RETRIED),
    Ruled("drip", "timeout", None, *RETRIED),
    Ruled("drip-body", None, 200, "succeeded"),
    *(
        Ruled(f"status/{code}?Location=/ok", "http_status", code, *RETRIED)
        for code in (300, 301, 302, 303, 304, 307, 308)
    ),
    Ruled("status/400", "http_status", 400, *RETRIED),
    Ruled("status/404", "http_status", 404, *RETRIED),
    Ruled("status/410", "http_status", 410, "dead"),
    Ruled("status/429?Retry-After=120", "http_status", 429, "retrying", 120.0),
    Ruled("status/503?Retry-After=999999", "http_status", 503, "retrying", 86400.0),
    Ruled("status/503?Retry-After=soon", "http_status", 503, *RETRIED),
    Ruled("status/500?Retry-After=1", "http_status", 500, *RETRIED),
    Ruled("reset", "protocol", None, *RETRIED),
    Ruled("garbage", "protocol", None, *RETRIED),
    Ruled("bomb", None, 200, "succeeded"),
    Ruled("flood", None, 200, "succeeded"),
]


@pytest.mark.parametrize("ruled", RULED, ids=[one.path for one in RULED])
async def test_an_attempt_is_recorded_as_ruled(
    trusted: Outbox, judge: Receiver, ruled: Ruled
) -> None:
    timeout_s = 0.4 if ruled.path in ENDLESS else 20.0
    ended = await trusted.attempted(judge.url(ruled.path), timeout_s=timeout_s)

    attempt, verdict = ended.attempt, ended.verdict
    assert (attempt.error, attempt.status_code) == (ruled.error, ruled.code)
    assert (verdict.status, verdict.delay_s) == (ruled.status, ruled.delay_s)
    assert len(judge.genuine) == 1  # where a redirect leads nobody goes


async def test_one_that_is_cut_off_behind_its_receipt_comes_again_the_same(
    trusted: Outbox, judge: Receiver, clock: HandClock
) -> None:
    await trusted.tell(judge.url("reset"))

    async with trusted.delivering() as deliverer:
        await trusted.deliveries.attempts(1)
        clock.advance(5)
        deliverer.wake()
        await trusted.deliveries.attempts(2)

    first, second = judge.genuine
    assert (first.attempt, second.attempt) == (1, 2)
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)


async def test_while_a_secret_rotates_either_is_enough(trusted: Outbox, judge: Receiver) -> None:
    old, new = new_secret(), new_secret()
    endpoint = await trusted.endpoint(judge.url("ok"), secret=old)
    rotation = EndpointRotation(endpoint.endpoint_id, PRINCIPAL, new, 60_000)
    await trusted.writer.rotate_endpoint(rotation)
    await trusted.tell_endpoint(endpoint, 2)

    async with trusted.delivering():
        judge.trust(old)
        await trusted.deliveries.attempts(1)
        judge.trust(new)
        await trusted.deliveries.attempts(2)

    assert [one.signatures for one in judge.genuine] == [2, 2]


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # proc(5)


def peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


@pytest.mark.parametrize("path", ["flood", "bomb", "drip-body"])
async def test_no_answer_grows_the_daemon(trusted: Outbox, judge: Receiver, path: str) -> None:
    await trusted.attempted(judge.url("ok"))
    for seq in range(4):
        await trusted.tell(judge.url(path), seq=seq)
    reset_peak()
    before_mb = peak_mb()

    async with trusted.delivering(timeout_s=1.0):
        await trusted.deliveries.attempts(5)

    assert peak_mb() - before_mb < GROWTH_MB
    assert FLOOD_BYTES > 4 * GROWTH_MB << 20
    kept = await trusted.rows("SELECT max(length(response_excerpt)) FROM delivery_attempts")
    assert kept[0][0] is None or kept[0][0] <= 1024


@pytest.fixture
def wrong_tls(tmp_path: Path) -> ssl.SSLContext:
    """The certificate of another host, by nobody whom anybody knows."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    subject = ["-subj", "/CN=elsewhere.example", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.needs("openssl")
async def test_nothing_is_sent_to_who_cannot_show_who_they_are(
    open_outbox: OpenOutbox, wrong_tls: ssl.SSLContext
) -> None:
    here = (ip_network("127.0.0.1/32"),)
    async with serving(tls=wrong_tls) as judge, open_outbox(allow_private=here) as outbox:
        ended = await outbox.attempted(f"https://127.0.0.1:{judge.tls_port}/ok")

        assert (ended.attempt.error, ended.verdict.status) == ("tls", "retrying")
        assert not judge.paths


@pytest.fixture
def logged() -> Iterator[list[StringIO]]:
    """All that anybody logs, in both forms of the daemon's log."""
    texts = []
    root = logging.getLogger()
    handlers = []
    for formatter in (TextFormatter(), JsonFormatter()):
        texts.append(StringIO())
        handler = logging.StreamHandler(texts[-1])
        handler.setFormatter(formatter)
        root.addHandler(handler)
        handlers.append(handler)
    yield texts
    for handler in handlers:
        root.removeHandler(handler)


@pytest.mark.parametrize("path", ["forging", "garbage", f"status/500?text={MARK}"])
async def test_nothing_that_a_receiver_says_reaches_a_log(
    trusted: Outbox,
    judge: Receiver,
    logged: list[StringIO],
    caplog: pytest.LogCaptureFixture,
    path: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, logger="aiosqlite")  # as the daemon has it

    ended = await trusted.attempted(judge.url(path), schedule_s=())

    assert ended.verdict.status == "dead"
    for log in logged:
        text = log.getvalue()
        assert "A delivery is dead." in text
        assert MARK not in text
        assert text.replace("\n", "").isprintable()
