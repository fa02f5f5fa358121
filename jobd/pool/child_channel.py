"""The worker's end of the stream to the daemon.

Invariant: frames leave whole, whichever thread sends them. Not here: what they mean
(child_cpu.py, child_io.py).
"""

import os
import socket
import threading

import msgspec

from jobd.pool.child_setup import ORPHANED
from jobd.pool.protocol import Down, FrameReader, Up, encode

_CHUNK_BYTES = 64 * 1024
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

    def poll(self) -> list[Down]:
        """Return the frames that are there."""
        with self.lock:
            return self._received(socket.MSG_DONTWAIT)

    def wait(self) -> list[Down]:
        """Return the frames that are there, waiting for the first."""
        with self.lock:
            frames: list[Down] = []
            while not frames:
                frames = self._received(0)
            return frames

    def _received(self, flags: int) -> list[Down]:
        try:
            data = self._stream.recv(_CHUNK_BYTES, flags)
        except BlockingIOError:
            return []
        if not data:
            os._exit(ORPHANED)
        return [_DECODER.decode(body) for body in self._reader.feed(data)]
