"""Tries the corpus with the real deliverer, in a network that ends at this machine.

`unshare -nm python tests/webhooks/egress/inside.py FOLDER MODE`: every address there is this
host's own, one listener hears all connections to any of them and notes which it was, and a
name server of its own answers the machine's resolver. MODE `policy` has jobd's policy, `open`
one that lets everything through, to show that the listener would have heard. Prints JSON.

Not here: what must come of it (test_corpus.py).
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from jobd.clock import SystemClock
from jobd.domain.deliveries import Address, Target
from jobd.domain.signing import new_secret
from jobd.store.database import Database
from jobd.webhooks.egress import Policy
from jobd.webhooks.sender import Post, Sender
from tests.webhooks.conftest import HandClock, Outbox
from tests.webhooks.egress import corpus

SCHEDULE_S = (0.05, 0.05)
TIMEOUT_S = 5.0
_WAITING = "SELECT 1 FROM deliveries WHERE next_attempt_at IS NOT NULL LIMIT 1"
_ENDS = "SELECT delivery_id, status, dead_reason, attempt_count FROM deliveries"
_HEADER_BYTES = 12
_TYPES = {1: 4, 28: 6}
"""Of records with an address: A and AAAA, and the version of IP."""


class Open(Policy, frozen=True):
    """What a broken gate would be."""

    def permits(self, address: Address, port: int = 0) -> bool:
        return True


class Net:
    """The listener on all addresses."""

    def __init__(self) -> None:
        self.heard = Counter[str]()
        self.requests = Counter[str]()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note the address that was dialled; take what comes for the allowed name only."""
        at = ip_address(writer.get_extra_info("sockname")[0])
        self.heard[str(getattr(at, "ipv4_mapped", None) or at)] += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            self.requests[path] += 1
            status = b"204 No Content" if path == "/allowed" else b"500 No"
            answer = b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n"
            length = b"" if path == "/allowed" else b"Content-Length: 0\r\n"
            writer.write(answer + length + b"\r\n")
            await writer.drain()
        writer.close()


class NameServer(asyncio.DatagramProtocol):
    """Answers for the names of the corpus; each kind of question is counted for itself."""

    def __init__(self) -> None:
        self._names = {one.name: one for one in (*corpus.names(), *corpus.KNOWN)}
        self.asked = Counter[tuple[str, int]]()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._transport.sendto(self._answer(data), addr)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], _HEADER_BYTES
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace"))
            at += 1 + query[at]
        kind = int.from_bytes(query[at + 1 : at + 3])
        question = query[_HEADER_BYTES : at + 5]
        name = ".".join(labels).lower()
        known = self._names.get(name)
        found: list[bytes] = []
        if known is not None and kind in _TYPES:
            addresses = known.answer(self.asked[name, kind])
            self.asked[name, kind] += 1
            found = [
                ip_address(one).packed
                for one in addresses
                if ip_address(one).version == _TYPES[kind]
            ]
        flags = b"\x81\x80" if known is not None else b"\x81\x83"
        counts = b"\0\1" + len(found).to_bytes(2) + bytes(4)
        fixed = b"\xc0\x0c" + kind.to_bytes(2) + b"\0\1" + bytes(4)
        records = [fixed + len(one).to_bytes(2) + one for one in found]
        return query[:2] + flags + counts + question + b"".join(records)


def shut_in(folder: Path) -> None:
    """Make every address this host's own, and its resolver ask here."""
    for command in (
        "ip link set lo up",
        "ip route add local 0.0.0.0/0 dev lo",
        "ip -6 route add local ::/0 dev lo",
        "mount --make-rprivate /",
    ):
        subprocess.run(command.split(), check=True)
    settings = {
        "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n",
        "/etc/nsswitch.conf": "hosts: files dns\n",
        "/etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
    }
    for path, text in settings.items():
        if Path(path).exists():
            ours = folder / Path(path).name
            ours.write_text(text)
            subprocess.run(["mount", "--bind", str(ours), path], check=True)


async def deliver(folder: Path, policy: Policy, urls: dict[str, str]) -> dict[str, Any]:
    """Have the deliverer attempt each URL to its end; return what was recorded of each case."""
    clock = HandClock()
    clock.runs = True
    database = await Database.open(folder / "jobd.db")
    outbox = Outbox(database, clock, policy)
    cases = {(await outbox.tell(url))[0]: case for case, url in urls.items()}
    await outbox.writer.start()
    async with outbox.delivering(schedule_s=SCHEDULE_S if type(policy) is Policy else ()):
        seen = 0
        while not outbox.deaths and await outbox.rows(_WAITING):
            seen = len(await outbox.deliveries.attempts(seen + 1))
    ends = await outbox.rows(_ENDS)
    await outbox.writer.close()
    await database.close()
    assert not outbox.deaths, outbox.deaths
    return {cases[one]: {"status": s, "reason": r, "attempts": n} for one, s, r, n in ends}


async def send_past_the_parser(policy: Policy, urls: list[str]) -> dict[str, str | None]:
    """Send to each URL as if none had been read before: the gate alone."""
    sender = Sender(policy, SystemClock(), timeout_s=TIMEOUT_S)
    secret = new_secret()
    posts = [Post(Target(url), "msg_1", 1, b"{}", (secret,)) for url in urls]
    ended = [await sender.send(post) for post in posts]
    await sender.close()
    return {url: one.error for url, one in zip(urls, ended, strict=True)}


async def tried(folder: Path, policy: Policy) -> dict[str, Any]:
    """Try all of the corpus; return what came of it and what was heard."""
    net = Net()
    sock = socket.create_server(("::", corpus.PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    server = await asyncio.start_server(net.connected, sock=sock)
    dns, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 53)
    )
    cases = {url: url for url in corpus.literals()}
    cases |= {one.name: corpus.url(one.name, one.name) for one in corpus.names()}
    cases["allowed"] = corpus.url(corpus.ALLOWED_NAME, "allowed")
    ends = await deliver(folder, policy, cases)
    heard = dict(net.heard)
    net.heard.clear()
    errors = await send_past_the_parser(policy, corpus.literals())
    server.close()
    dns.close()
    return {
        "ends": ends,
        "heard": heard,
        "requests": dict(net.requests),
        "past_the_parser": errors,
        "heard_past_the_parser": dict(net.heard),
    }


def main() -> None:
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    shut_in(folder)
    policy = (Open if mode == "open" else Policy)(allow_http=True)
    os.write(1, json.dumps(asyncio.run(tried(folder, policy))).encode())


if __name__ == "__main__":
    main()
