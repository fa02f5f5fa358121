"""A worker's main: `python -P -m jobd.pool.child <daemon pid> <stream> <jobs> <marker>`.

The numbers after the pid are descriptors that it inherits. Not here: the two lanes
(child_cpu.py, child_io.py), the catalogue child (child_catalog.py).
"""

import socket
import sys

from jobd.pool.child_channel import Channel
from jobd.pool.child_setup import settle_in
from jobd.pool.marker import Marker
from jobd.pool.protocol import Down, Hello


def main(arguments: list[str]) -> None:
    """Serve the daemon until it has no more jobs."""
    daemon_pid, stream, jobs, marker = map(int, arguments)
    settle_in(daemon_pid)
    channel = Channel(socket.socket(fileno=stream))
    greeting: list[Down] = []
    channel.wait(greeting.append, lambda: bool(greeting))
    (hello,) = greeting
    if not isinstance(hello, Hello):
        raise TypeError(f"expected a Hello, got {hello!r}")
    pair = socket.socket(fileno=jobs)
    if hello.lane == "cpu":
        from jobd.pool.child_cpu import CpuLane  # noqa: PLC0415 - the io lane needs none of it

        CpuLane(channel, pair, hello, Marker(marker)).run()
    else:
        from jobd.pool.child_io import IoLane  # noqa: PLC0415 - asyncio costs 3 MB and 14 ms

        IoLane(channel, pair, hello, Marker(marker)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
