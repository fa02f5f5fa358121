"""Who is asking: on the unix socket, the uid that the kernel knows of the peer.

A credential that is sent replaces that identity and, if it is not valid, is refused; it
never falls back. There are no tokens yet, so none is valid.
"""

import asyncio
import socket
import struct
from weakref import WeakKeyDictionary

from aiohttp import web

from jobd.domain.errors import JobdError

PRINCIPAL = web.RequestKey("principal", str)

_UCRED = struct.Struct("3i")

_PEERS: WeakKeyDictionary[asyncio.Transport, str] = WeakKeyDictionary()
"""By connection: who its peer was when it connected, which the kernel never changes."""


def principal_of(request: web.BaseRequest) -> str:
    """Return the caller's principal, `uid:<n>`; raises JobdError for a 401."""
    if "Authorization" in request.headers:
        raise JobdError("invalid_token", "This daemon takes no tokens.")
    transport = request.transport
    if transport is None:
        raise JobdError("unauthenticated", "The connection is gone.")
    principal = _PEERS.get(transport)
    if principal is None:
        principal = _PEERS[transport] = _peer_of(transport)
    return principal


def _peer_of(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("socket")
    if peer is None or peer.family != socket.AF_UNIX:
        raise JobdError("unauthenticated", "The peer of this connection is not known.")
    # of pid, uid and gid only the uid: a pid may be another process's by now
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return f"uid:{_UCRED.unpack(credentials)[1]}"
