"""A synchronous client of the daemon on this machine: HTTP over its unix socket.

It imports neither asyncio nor aiohttp; a test holds it to that, because commands must start
fast. Here are the names that callers use.

Not here: what a command prints (cli/).
"""

from jobd.client.calls import LONGEST_WAIT_S, Client
from jobd.client.link import (
    Answer,
    ApiError,
    BadAnswer,
    ClientError,
    FileChanged,
    Unreachable,
    WaitTimedOut,
)
from jobd.client.streams import EventStream, Seen
from jobd.client.transfers import Download, Told

__all__ = [
    "LONGEST_WAIT_S",
    "Answer",
    "ApiError",
    "BadAnswer",
    "Client",
    "ClientError",
    "Download",
    "EventStream",
    "FileChanged",
    "Seen",
    "Told",
    "Unreachable",
    "WaitTimedOut",
]
