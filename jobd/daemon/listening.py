"""Where the daemon listens: on its socket, and over TCP if it is told to.

Not here: how (api/server.py).
"""

import contextlib
import socket
from collections.abc import Iterator

from jobd.api.server import bound, bound_tcp, url_of
from jobd.config import ConfigError, Server
from jobd.store.tokens import Tokens


@contextlib.contextmanager
def listeners(server: Server) -> Iterator[list[socket.socket]]:
    """Hold the sockets, bound: the unix socket, then that of TCP if there is to be one."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(bound(server.socket, int(server.socket_mode, 8)))]
        if server.listen:
            found.append(stack.enter_context(bound_tcp(server.listen)))
        yield found


def check_tokens(server: Server, tokens: Tokens) -> None:
    """Raise ConfigError if the daemon would listen over TCP for nobody."""
    if server.listen and not server.listen_without_tokens and not tokens.any_valid:
        raise ConfigError(
            f"it would listen on {server.listen}, but nobody has a token, and over TCP nobody "
            "is known without one. Make one with `jobd token create NAME --offline`, or say "
            "--listen-without-tokens and make one then with `jobd token create NAME`."
        )


def places(server: Server, found: list[socket.socket]) -> str:
    """Return where clients reach the daemon, in words for people."""
    return " and ".join([server.socket, *map(url_of, found[1:])])
