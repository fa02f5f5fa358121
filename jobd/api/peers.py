"""Who is at the other end of a unix socket: what the kernel noted when they connected.

No user is looked up: the configuration names uids, and its groups are gids by now. A uid that
it names comes first, then root and the daemon's own, then groups, in their order.

Not here: tokens (auth.py).
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterable

from jobd.config import Auth
from jobd.domain.errors import JobdError
from jobd.domain.principals import Caller, Scope, closed, principal_of_uid

_UCRED = struct.Struct("3i")
_GID_BYTES = 4
_SO_PEERGROUPS = 59
_MOST_FOR_PYTHON = 1024
"""The longest answer that Python takes of getsockopt; of the kernel's there may be more."""
_MOST_GROUPS = 65536


class Peers:
    """Turns a connection into its caller, as the configuration says."""

    def __init__(self, settings: Auth) -> None:
        named = [
            (principal, Caller(name, closed({principal.role})))
            for name, principal in settings.principals.items()
        ]
        self._by_uid: dict[int, Caller] = {
            uid: Caller(principal_of_uid(uid), closed({Scope.ADMIN})) for uid in (0, os.geteuid())
        }
        # the first that names a uid has it
        for principal, caller in reversed(named):
            self._by_uid.update(dict.fromkeys(principal.uids, caller))
        self._by_gid = [
            (frozenset(map(int, principal.groups)), caller)
            for principal, caller in named
            if principal.groups
        ]
        self._proxies = frozenset(settings.proxy_uids)

    def of(self, peer: socket.socket | None) -> Caller:
        """Return who is at the other end; raises JobdError for a 401."""
        if peer is None or peer.family != socket.AF_UNIX:
            raise JobdError("unauthenticated", "This connection says nothing of who is asking.")
        uid, gid = _ids_of(peer)
        if uid in self._proxies:
            raise JobdError("unauthenticated", "A proxy must say who is asking, with a token.")
        caller = self._by_uid.get(uid)
        if caller is None and self._by_gid:
            caller = self._of_groups({gid, *_groups_of(peer)})
        return caller or Caller(principal_of_uid(uid), closed({Scope.SUBMIT}))

    def _of_groups(self, groups: Iterable[int]) -> Caller | None:
        return next((who for gids, who in self._by_gid if not gids.isdisjoint(groups)), None)


def uid_of(peer: socket.socket) -> int:
    """Return whose the other end of a unix socket is."""
    return _ids_of(peer)[0]


def _ids_of(peer: socket.socket) -> tuple[int, int]:
    # not the pid: it may be another process's by now
    found = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, gid = _UCRED.unpack(found)
    return uid, gid


def _groups_of(peer: socket.socket) -> tuple[int, ...]:
    try:
        found = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_FOR_PYTHON)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        found = _many_groups_of(peer)
    return struct.unpack(f"{len(found) // _GID_BYTES}I", found)


def _many_groups_of(peer: socket.socket) -> bytes:
    room = ctypes.create_string_buffer(_MOST_GROUPS * _GID_BYTES)
    size = ctypes.c_uint(len(room))
    libc = ctypes.CDLL(None, use_errno=True)
    asked = (peer.fileno(), socket.SOL_SOCKET, _SO_PEERGROUPS, room, ctypes.byref(size))
    if libc.getsockopt(*asked) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return room.raw[: size.value]
