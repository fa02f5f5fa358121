"""The pair of sockets that jobs go down to one worker, and how they are called back.

Invariant: a job is either here, or the worker's. The kernel keeps the messages; whoever
receives one has it: the worker's recv is "started", the daemon's recv of the same message
(it keeps the worker's end open) is the call-back. That needs no answer, so it works while
C code holds the worker's GIL, when the worker is stopped, and when it is dead.

Not here: what becomes of a job that was called back (worker.py).
"""

import asyncio
import socket
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import msgspec

from jobd.pool.protocol import MAX_JOB_MESSAGE_BYTES, Job, JobFile

_ENCODE = msgspec.msgpack.Encoder().encode
_DECODER: msgspec.msgpack.Decoder[Job | JobFile] = msgspec.msgpack.Decoder(Job | JobFile)
_FILE_NAME = ".job"


class Handover:
    """The daemon's view of one worker's pair."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._unsent: deque[bytes] = deque()
        self._is_full = False
        self._ours.settimeout(0)
        # The worker's end stays as it is: its flags would be the worker's as well.

    def worker_fd(self) -> int:
        """Return the descriptor that the worker inherits."""
        return self._theirs.fileno()

    def send(self, job: Job) -> None:
        """Hand a job over, later if the pair is full. OSError when its file cannot be written."""
        message = _ENCODE(job)
        if len(message) > MAX_JOB_MESSAGE_BYTES:
            folder = Path(job.scratch_dir)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / _FILE_NAME
            path.write_bytes(message)
            message = _ENCODE(JobFile(job.token, str(path)))
        self._unsent.append(message)
        self._flush()

    def take_back(self, *, but: str | None = None) -> dict[str, bytes]:
        """Take back what the worker has not taken: messages by token, oldest first.

        The message `but` is given again at once if it was there.
        """
        messages = self._received()
        if kept := messages.pop(but, None) if but is not None else None:
            self.give_again([kept])
        return messages

    def take_out(self, token: str) -> bool:
        """Take one message back; False if the worker has taken it."""
        messages = self._received()
        found = messages.pop(token, None) is not None
        self.give_again(messages.values())
        return found

    def _received(self) -> dict[str, bytes]:
        messages: list[bytes] = []
        try:
            while message := self._theirs.recv(MAX_JOB_MESSAGE_BYTES, socket.MSG_DONTWAIT):
                messages.append(message)
        except BlockingIOError:
            pass
        messages += self._unsent
        self._unsent.clear()
        return {_DECODER.decode(message).token: message for message in messages}

    def give_again(self, messages: Iterable[bytes]) -> None:
        """Hand over again what was taken back."""
        self._unsent += messages
        self._flush()

    def finish(self) -> None:
        """Tell the worker that no more jobs come."""
        self._ours.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of the pair."""
        self._loop.remove_writer(self._ours.fileno())
        self._ours.close()
        self._theirs.close()

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._ours.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            self._is_full = True
            self._loop.add_writer(self._ours.fileno(), self._flush)
        else:
            if self._is_full:
                self._is_full = False
                self._loop.remove_writer(self._ours.fileno())
