"""What jobd tells systemd: ready, stopping, still alive (sd_notify(3)).

Without $NOTIFY_SOCKET nothing is sent. Not here: the unit (systemd/jobd.service).
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

FEEDS_PER_PERIOD = 3


class Notifier:
    """The service manager's end of the line; takes its variables out of the environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        usec = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(usec) / 1_000_000 if mine and usec.isdecimal() else 0.0

    def ready(self, status: str) -> None:
        """Say that the socket is served."""
        self._send("READY=1", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """Say that the daemon drains."""
        self._send("STOPPING=1", f"STATUS={status}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # an abstract address is written with @ for its leading NUL
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        # a manager that has gone away is no reason to stop serving
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.sendto("\n".join(lines).encode(), address)

    async def feed_watchdog(self, alive: Callable[[], Awaitable[object]]) -> None:
        """Feed the watchdog as long as `alive` answers; returns at once if there is none.

        The loop is alive when this runs; `alive` is what else must be. One that hangs or
        raises starves the watchdog, and the manager restarts the daemon.
        """
        if not (self._address and self.watchdog_s):
            return
        period_s = self.watchdog_s / FEEDS_PER_PERIOD
        loop = asyncio.get_running_loop()
        while True:
            next_s = loop.time() + period_s
            await alive()
            self._send("WATCHDOG=1")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_s):
                    await loop.create_future()
