"""The worker's end of the stream to the daemon.

Invariants: frames leave whole, whichever thread sends them; what arrives is heard before
another thread can wait for it. Not here: what frames mean (child_cpu.py, child_io.py).
"""

import os
import socket
import threading
from collections.abc import Callable

import msgspec

from jobd.pool.child_setup import ORPHANED
from jobd.pool.protocol import Down, FrameReader, Up, encode

_CHUNK_BYTES = 64 * 1024
Hear = Callable[[Down], None]

_DECODER: msgspec.msgpack.Decoder[Down] = msgspec.msgpack.Decoder(Down)


class Channel:
    """Sends and receives frames. The daemon always reads, so a send waits for a moment at most."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._reader = FrameReader()
        self.lock = threading.Lock()
        """Held while a frame is under way: who finds it held must not interrupt."""

    def fileno(self) -> int:
        """Return the descriptor, to be watched."""
        return self._stream.fileno()

    def send(self, frame: Up) -> None:
        """Send a frame; ValueError if it is too long."""
        data = encode(frame)
        with self.lock:
            self._stream.sendall(data)

    def poll(self, hear: Hear) -> None:
        """Hear the frames that are there."""
        with self.lock:
            self._receive(hear, socket.MSG_DONTWAIT)

    def wait(self, hear: Hear, until: Callable[[], bool]) -> None:
        """Hear frames until they have made a condition true."""
        with self.lock:
            while not until():
                self._receive(hear, 0)

    def _receive(self, hear: Hear, flags: int) -> None:
        try:
            data = self._stream.recv(_CHUNK_BYTES, flags)
        except BlockingIOError:
            return
        if not data:
            os._exit(ORPHANED)
        for body in self._reader.feed(data):
            hear(_DECODER.decode(body))
