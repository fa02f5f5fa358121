"""Looks up the names that webhooks go to, where nothing else waits for it.

The C library takes as long as the name's server likes, half a minute and more, and cannot be
interrupted. An event loop has a handful of threads for that (uvloop four, asyncio those of the
file work): as many names whose servers are silent would hold up all other webhooks. So each
look-up has a thread of its own, and there is one at a time for each name. Nothing waits for
them at the end.

Not here: which of the addresses may be dialled (egress.py).
"""

import asyncio
import contextlib
import errno
import socket
import threading
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

AT_ONCE = 256
"""Look-ups under way, those included that nobody waits for any more."""

TURNS = 16
"""Look-ups that begin at a time: the name server of a machine takes no flood."""

SOON_S = 0.2
"""An answer that takes longer keeps nobody else from their turn."""

_Found = list[tuple[Any, ...]]
_Name = tuple[str, int]


class Names(AbstractResolver):
    """Resolves names, each anew when the look-up before it is over. For one loop."""

    def __init__(self) -> None:
        self._under_way: dict[_Name, asyncio.Task[_Found]] = {}
        self._turns = asyncio.Semaphore(TURNS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host; raises OSError if there are none.

        When it is cancelled the look-up goes on, for who asks next.
        """
        found = await asyncio.shield(self._look_up((host, family)))
        return [
            ResolveResult(
                hostname=host,
                host=_written(address),
                port=port,
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Wait for nothing any more; what is under way ends by itself, or with the process."""
        for task in list(self._under_way.values()):
            task.cancel()

    def _look_up(self, name: _Name) -> asyncio.Task[_Found]:
        if name in self._under_way:
            return self._under_way[name]
        if len(self._under_way) >= AT_ONCE:
            raise OSError(errno.EAGAIN, "too many names are being looked up")

        def over(task: asyncio.Task[_Found]) -> None:
            del self._under_way[name]
            if not task.cancelled():
                task.exception()  # perhaps nobody waits for it any more

        task = self._under_way[name] = asyncio.create_task(self._found(name))
        task.add_done_callback(over)
        return task

    async def _found(self, name: _Name) -> _Found:
        async with self._turns:
            answer = _begun(name)
            await asyncio.wait([answer], timeout=SOON_S)
        return await answer


def _begun(name: _Name) -> asyncio.Future[_Found]:
    """Look a name up in a thread of its own; return the future of what is found."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[_Found] = loop.create_future()

    def tell(found: _Found, error: OSError | None) -> None:
        if answer.done():
            return  # cancelled
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def look_up() -> None:
        found: _Found = []
        failed = None
        try:
            found = _asked(*name)
        except OSError as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, found, failed)

    try:
        threading.Thread(target=look_up, name="look-up", daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, "no thread to look a name up") from error
    return answer


def _asked(host: str, family: int) -> _Found:
    try:
        return socket.getaddrinfo(
            host, None, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except UnicodeError as error:
        raise OSError(errno.EINVAL, "no such name") from error


def _written(address: tuple[Any, ...]) -> str:
    """Return the address of a socket address, with its scope if it has one."""
    host, *_, scope = address  # of IPv4 it is the port, which was not asked for: 0
    return f"{host}%{scope}" if scope and "%" not in host else str(host)
