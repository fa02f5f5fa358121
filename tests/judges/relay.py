"""A TCP port that leads to a unix socket, for tools that know no other way."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(ConnectionError, RuntimeError):
        writer.close()
        await writer.wait_closed()


@contextlib.contextmanager
def relayed(path: str) -> Iterator[int]:
    """Give the port; connections end with the block."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_reader, to_writer = await asyncio.open_unix_connection(path)
            await asyncio.gather(_pipe(reader, to_writer), _pipe(to_reader, writer))
        except OSError:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await end.wait()
        server.close()

    ports: list[int] = []
    ready, end = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    def main() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(run())

    thread = threading.Thread(target=main)
    thread.start()
    assert ready.wait(30)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
