"""Signs that a worker writes between the bytes of its stdout and stderr, to tell whose they are.

A sign is the worker's mark (random bytes that nobody else says), a kind, the number of a
job, and for some kinds text. BEGIN and END, on both pipes, stand around what is written
while that job runs. STDOUT, STDERR and LOG carry text that is known to be the job's; 0
stands for the worker itself. A sign is never longer than the pipe takes whole, whoever
else writes into it.

Not here: writing them (child_output.py), reading them (demux.py).
"""

import select
import struct

MARK_BYTES = 32

BEGIN, END, STDOUT, STDERR, LOG = b"b", b"e", b"o", b"r", b"l"
STREAMS = {STDOUT: "stdout", STDERR: "stderr", LOG: "log"}

HEADER = struct.Struct(">cQH")
"""Kind, number of the job, length of the text."""
MAX_TEXT_BYTES = select.PIPE_BUF - MARK_BYTES - HEADER.size


def sign(mark: bytes, kind: bytes, number: int, text: bytes = b"") -> bytes:
    """Return a sign; `text` is at most MAX_TEXT_BYTES."""
    return mark + HEADER.pack(kind, number, len(text)) + text
