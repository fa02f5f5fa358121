"""What is kept beside the tests and compared byte for byte; and what differs from run to run.

`JOBD_TEST_WRITE_KEPT=1` writes the files anew: read the difference before it is committed,
as clients will meet it.
"""

import os
import re
from pathlib import Path

FOLDER = Path(__file__).parent
_ID = re.compile(rb"\b(job|bat|req|msg|dlv|whe)_[0-9a-f]{32}\b")
_MASKS = (
    (re.compile(rb'"uid:\d+"'), b'"uid:N"'),
    (re.compile(rb'"secret":"whsec_[A-Za-z0-9+/=]{44}"'), b'"secret":"whsec_S"'),
    (re.compile(rb"jdj_[0-9a-f]{32}_[A-Za-z0-9_-]{32}"), b"jdj_T"),
    (re.compile(rb"jdk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"), b"jdk_T"),
    (re.compile(rb'"token_id":"[0-9a-f]{12}"'), b'"token_id":"T"'),
    (re.compile(rb'"version":"[0-9.]+\w*","api"'), b'"version":"V","api"'),
    (re.compile(rb'"python":"3\.\d+\.\d+\w*"'), b'"python":"3.X.Y"'),
)


def masked(content: bytes) -> bytes:
    """Give each id the number of its first appearance; take out what the machine decides."""
    numbers: dict[bytes, int] = {}

    def number(match: re.Match[bytes]) -> bytes:
        return b"%s_%d" % (match[1], numbers.setdefault(match[0], len(numbers) + 1))

    content = _ID.sub(number, content)
    for pattern, mask in _MASKS:
        content = pattern.sub(mask, content)
    return content


def names(folder: str) -> set[str]:
    return {path.name for path in (FOLDER / folder).iterdir()}


def check(folder: str, name: str, content: bytes) -> None:
    """Compare with the file of that name, or write it."""
    path = FOLDER / folder / name
    if os.environ.get("JOBD_TEST_WRITE_KEPT") == "1":
        path.write_bytes(content)
    assert content.decode() == path.read_bytes().decode()
