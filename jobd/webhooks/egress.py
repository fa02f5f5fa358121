"""Which addresses may be dialled: the globally routable ones, and what the operator adds.

Asked for every address right before its connect, name or literal alike, so that what was
checked is what is connected to; a name that resolves differently each time gains nothing.
The networks are spelled out, from the IANA special-purpose registries: what `ipaddress`
calls global differs between Python versions and lets some of these through.

The daemon's own listeners are blocked whatever the operator adds: it does not call itself.

Not here: the form of a URL (domain/deliveries.py), unix sockets (listed one by one there).
"""

import os
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import msgspec

from jobd.config import MAX_SOCKET_PATH_BYTES
from jobd.domain.deliveries import Address

Network = IPv4Network | IPv6Network

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]
"""One entry of getaddrinfo(): family, type, protocol, canonical name, socket address."""


class BlockedAddress(Exception):  # noqa: N818 - named for what happened
    """The address may not be dialled. No OSError: the next address is then not tried either."""


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_NEVER = _networks(
    "0.0.0.0/8",  # connects to this host
    "169.254.0.0/16",  # link-local: the clouds' metadata services
    "100.100.100.200/32",  # metadata (Alibaba)
    "168.63.129.16/32",  # metadata (Azure), within public space
    "192.0.0.192/32",  # metadata (Oracle)
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    "::/128",  # connects to this host
    "fe80::/10",  # link-local
    "fec0::/10",  # site-local
    "fd00:ec2::/32",  # metadata (Amazon)
    "fd20:ce::/32",  # metadata (Google)
    "ff00::/8",  # multicast
    # another address is wrapped in these, and would be reached through them
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2001::/32",
    "2002::/16",
)
"""No setting opens these."""

_NOT_GLOBAL = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
)

_GLOBAL_IPV6 = IPv6Network("2000::/3")
"""All that is handed out; the rest of the space is special or not yet anybody's."""


class Policy(msgspec.Struct, frozen=True):
    """Where this daemon may send to."""

    allow_http: bool = False
    allow_private: tuple[Network, ...] = ()
    allow_unix: tuple[str, ...] = ()
    own: tuple[tuple[Address, int], ...] = ()
    """Where the daemon itself listens; on an unspecified address: on all of this host."""

    def permits(self, address: Address, port: int = 0) -> bool:
        """Whether this address may be dialled, at this port if one is said."""
        if isinstance(address, IPv6Address):
            if address.scope_id is not None:
                return False
            address = _unwrapped(address)
        if _within(address, _NEVER) or self._is_own(address, port):
            return False
        return _is_global(address) or _within(address, self.allow_private)

    def _is_own(self, address: Address, port: int) -> bool:
        return any(
            port == own_port
            and (address == own or (own.is_unspecified and _is_of_this_host(address)))
            for own, own_port in self.own
        )


def policy(
    *,
    allow_http: bool,
    allow_private: Iterable[str],
    allow_unix: Iterable[str],
    own_socket: str = "",
) -> Policy:
    """Return the policy of the settings; raises ValueError, which names the one that is wrong.

    `own_socket` is the daemon's: who could send to it would speak to the daemon as its user.
    """
    sockets = tuple(allow_unix)
    for path in sockets:
        if not path.startswith("/") or set(path) & set(":?#"):
            raise ValueError(f"webhooks.allow_unix: {path} is not an absolute path without : ? #")
        if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise ValueError(
                f"webhooks.allow_unix: {path} is longer than {MAX_SOCKET_PATH_BYTES} bytes"
            )
        if own_socket and os.path.realpath(path) == os.path.realpath(own_socket):
            raise ValueError(f"webhooks.allow_unix: {path} is jobd's own socket")
    return Policy(allow_http, tuple(_private(text) for text in allow_private), sockets)


def _private(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"webhooks.allow_private: {error}") from error
    if network.prefixlen == 0:
        raise ValueError(f"webhooks.allow_private: {text} is every address; name your networks")
    return network


def without(policy: Policy, listeners: Iterable[socket.socket]) -> Policy:
    """Return the policy with these sockets, which listen over TCP, blocked."""
    places = (listener.getsockname() for listener in listeners)
    return msgspec.structs.replace(
        policy, own=tuple((_unwrapped(ip_address(at[0])), at[1]) for at in places)
    )


def _unwrapped(address: Address) -> Address:
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _is_of_this_host(address: Address) -> bool:
    """Whether it is one of this host's own: only such can be bound."""
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _is_global(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return False
    return address.is_global and not _within(address, _NOT_GLOBAL)


def gate(policy: Policy) -> Callable[[AddressInfo], socket.socket]:
    """Return a socket factory for aiohttp's TCPConnector; it raises BlockedAddress.

    The connector must try addresses one after another (`happy_eyeballs_delay=None`): in a
    race it would swallow the exception.
    """

    def connectable(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, at = info
        try:
            address = ip_address(at[0])
        except ValueError:
            raise BlockedAddress(f"{at[0]} is not an address") from None
        if not policy.permits(address, at[1]):
            raise BlockedAddress(f"{address} may not be dialled")
        return socket.socket(family, kind, protocol)

    return connectable
