"""What nobody may be sent to: addresses, URLs that hide one, names that lead to one.

Not here: how they are tried (inside.py), what the policy says of each (tests/unit/test_egress.py).
"""

from typing import NamedTuple

PORT = 8080
ALLOWED = "93.184.216.34"
ALLOWED_IPV6 = "2606:4700:4700::1111"

FORBIDDEN = (
    # this host
    "127.0.0.1",
    "127.0.0.53",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - nothing binds to it
    "0.1.2.3",
    "::1",
    "::",
    # the operator's networks
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.254",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "192.168.255.254",
    "fc00::1",
    "fd12:3456:789a::1",
    # link-local, and the metadata of clouds
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "fec0::1",
    # special uses
    "192.0.0.1",
    "192.0.0.255",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.254",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "100::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "ff02::1",
    "ff0e::1",
    # another address in disguise
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "::169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::a9fe:a9fe",
    "2001:0:a9fe:a9fe::",
    "2001::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
)

DISGUISED = (
    # what a C library takes for 127.0.0.1 or 169.254.169.254
    "127.1",
    "127.0.1",
    "0",
    "0x7f.1",
    "0x7f000001",
    "0X7F.0.0.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.0.0.1.",
    "127.0.0.0x1",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    # what somebody might decode
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "%6c%6f%63alhost",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "127.0.0.1%00.example",
    "[::1%25lo]",
    "[fe80::1%25lo]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    # whose host is another than it seems
    "93.184.216.34@127.0.0.1",
    "allowed.test:x@127.0.0.1",
    "127.0.0.1:80#@93.184.216.34",
    "93.184.216.34\\@127.0.0.1",
    "127.0.0.1\\.allowed.test",
    "127.0.0.1\t",
    " 127.0.0.1",
    # names of this host
    "localhost",
    "LOCALHOST",
    "localhost.",
    "ip6-localhost",
)
"""Hosts of URLs, as somebody would write them."""

OTHER_PORTS = ("127.0.0.1:22", "127.0.0.1:25", "allowed.test:25", "allowed.test:1023")


class Name(NamedTuple):
    """A name and what it leads to: at the first question, and at all others."""

    name: str
    first: tuple[str, ...]
    later: tuple[str, ...]

    def answer(self, n: int) -> tuple[str, ...]:
        """Return the addresses for the n-th question of a kind, from 0."""
        return self.first if n == 0 else self.later


def names() -> list[Name]:
    """Return names that lead to each address: at once, beside a good one, at the second look."""
    found = []
    for n, address in enumerate(FORBIDDEN):
        beside = ALLOWED_IPV6 if ":" in address else ALLOWED
        found += [
            Name(f"at-once-{n}.test", (address,), (address,)),
            Name(f"turning-{n}.test", (beside,), (address,)),
            Name(f"turning-back-{n}.test", (address,), (beside,)),
        ]
    return found


ALLOWED_NAME = "allowed.test"
KNOWN = (
    Name(ALLOWED_NAME, (ALLOWED,), (ALLOWED,)),
    Name("localhost", ("127.0.0.1",), ("127.0.0.1",)),
)
"""Names that are asked for besides."""


def url(host: str, path: str) -> str:
    """Return the URL of a host or an address, on the port where somebody listens."""
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"
    port = "" if host in OTHER_PORTS or "#" in host else f":{PORT}"
    return f"http://{host}{port}/{path}"


def literals() -> list[str]:
    """Return the URLs that name an address or hide one."""
    hosts = (*FORBIDDEN, *DISGUISED, *OTHER_PORTS)
    return [url(host, f"literal-{n}") for n, host in enumerate(hosts)]
