"""The addresses that may be dialled: the corpus, as addresses and as URLs."""

import socket
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest

from jobd.domain.deliveries import parse_target
from jobd.domain.errors import Invalid
from jobd.webhooks.egress import BlockedAddress, Policy, gate, policy

GLOBAL = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82a::200e",
    "::ffff:8.8.8.8",
]

NEVER = [
    "0.0.0.0",  # noqa: S104 - nothing binds to it
    "0.1.2.3",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "192.0.0.192",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::ffff:0.0.0.0",
    "::ffff:169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::a9fe:a9fe",
    "2001:0:a9fe:a9fe::",
    "2001::1",
    "2002:a9fe:a9fe::1",
    "2002:7f00:1::",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%eth0",
    "fe80::a9fe:a9fe",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]

PRIVATE = [
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.0.0.53",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.255",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "::1",
    "::127.0.0.1",
    "::169.254.169.254",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "100::1",
    "100:0:0:1::1",
    "200::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe00::1",
]

STRICT = Policy(allow_http=True)
EVERYTHING = policy(
    allow_http=True, allow_private=["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"], allow_unix=[]
)


def url(address: str) -> str:
    return f"http://[{address}]:8080/" if ":" in address else f"http://{address}:8080/"


def address_info(
    address: str,
) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 8080)


@pytest.mark.parametrize("address", GLOBAL)
def test_global_addresses_are_permitted(address: str) -> None:
    assert STRICT.permits(ip_address(address))
    assert parse_target(url(address), STRICT)
    gate(STRICT)(address_info(address)).close()


@pytest.mark.parametrize("address", NEVER + PRIVATE)
def test_all_others_are_blocked(address: str) -> None:
    assert not STRICT.permits(ip_address(address))
    with pytest.raises(BlockedAddress):
        gate(STRICT)(address_info(address))


@pytest.mark.parametrize("address", [one for one in NEVER + PRIVATE if "%" not in one])
def test_a_url_with_a_blocked_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid, match="may not be sent to") as refused:
        parse_target(url(address), STRICT)

    assert [error.code for error in refused.value.errors] == ["blocked_address"]


@pytest.mark.parametrize("address", NEVER)
def test_no_setting_opens_metadata_multicast_and_wrapped_addresses(address: str) -> None:
    assert not EVERYTHING.permits(ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_the_operator_can_open_a_private_network(address: str) -> None:
    assert EVERYTHING.permits(ip_address(address))


def test_only_the_named_network_is_opened() -> None:
    lan = policy(allow_http=True, allow_private=["10.1.2.0/24", "::1/128"], allow_unix=[])

    opened = [
        one
        for one in ["10.1.2.3", "::ffff:10.1.2.3", "10.1.3.1", "127.0.0.1", "::1", "::2"]
        if lan.permits(ip_address(one))
    ]

    assert opened == ["10.1.2.3", "::ffff:10.1.2.3", "::1"]


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0",
        "127.0.0.1.",
        "1.2.3",
        "1.2.3.4.5",
        "256.0.0.1",
        "127.0.0.0x1",
    ],
)
def test_no_other_spelling_of_an_address_is_taken(host: str) -> None:
    with pytest.raises(Invalid, match="not an address"):
        parse_target(f"http://{host}/", EVERYTHING)


@pytest.mark.parametrize("address", ["localhost", "", "127.1"])
def test_only_addresses_pass_the_gate(address: str) -> None:
    with pytest.raises(BlockedAddress, match="not an address"):
        gate(EVERYTHING)(address_info(address))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"allow_private": ["10.0.0.1/8"]}, "allow_private.*host bits"),
        ({"allow_private": ["lan"]}, "allow_private.*lan"),
        ({"allow_private": ["0.0.0.0/0"]}, "every address"),
        ({"allow_private": ["::/0"]}, "every address"),
        ({"allow_unix": ["hook.sock"]}, "allow_unix: hook.sock"),
        ({"allow_unix": ["/run/a:b"]}, "allow_unix: /run/a:b"),
        ({"allow_unix": ["/" + "a" * 107]}, "longer than 107 bytes"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, list[str]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        policy(**{"allow_http": False, "allow_private": [], "allow_unix": []} | settings)  # type: ignore[arg-type]


def test_the_daemon_never_sends_to_itself(tmp_path: Path) -> None:
    own, other = tmp_path / "jobd.sock", tmp_path / "other"
    other.symlink_to(own)

    for path in (own, other):
        with pytest.raises(ValueError, match="is jobd's own socket"):
            policy(allow_http=False, allow_private=[], allow_unix=[str(path)], own_socket=str(own))


@pytest.mark.parametrize(
    ("listens", "address", "port", "may"),
    [
        ("127.0.0.1", "127.0.0.1", 8080, False),
        ("127.0.0.1", "::ffff:127.0.0.1", 8080, False),
        ("127.0.0.1", "127.0.0.1", 8081, True),
        ("127.0.0.1", "127.0.0.2", 8080, True),
        ("0.0.0.0", "127.0.0.2", 8080, False),  # noqa: S104 - what is to be seen through
        ("0.0.0.0", "10.255.255.254", 8080, True),  # noqa: S104
        ("::", "127.0.0.1", 8080, False),
        ("::", "::1", 8080, False),
    ],
)
def test_what_the_daemon_listens_on_is_never_opened(
    listens: str, address: str, port: int, may: bool
) -> None:
    own = msgspec.structs.replace(EVERYTHING, own=((ip_address(listens), 8080),))

    assert own.permits(ip_address(address), port) == may
