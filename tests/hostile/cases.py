"""The corpus: one file a case, what is sent and what may come back.

The first line of a file says why, the second what is allowed: statuses, and `closed` for a
connection that ends without an answer. The rest is sent: line ends count for nothing, escapes
are those of Python's bytes, `{3*ab}` is ababab, and `{auth}` the header with a token where one
is needed.
"""

import re
from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).parent / "corpus"

_REPEATED = re.compile(r"\{(\d+)\*(.*?)\}")


class Case(NamedTuple):
    """One file."""

    name: str
    allowed: frozenset[str]
    text: str

    def sent(self, auth: str = "") -> bytes:
        """Return the bytes; `auth` is a whole header line, or empty."""
        text = _REPEATED.sub(lambda found: int(found[1]) * found[2], self.text)
        data = text.encode("ascii").decode("unicode_escape").encode("latin-1")
        return data.replace(b"{auth}", auth.encode())


def load() -> list[Case]:
    """Return all cases, by name."""
    return [_read(path) for path in sorted(CORPUS.glob("*.http"))]


def _read(path: Path) -> Case:
    why, allowed, *lines = path.read_text().split("\n")
    assert why.startswith("# "), path
    assert allowed.startswith("# "), path
    return Case(path.stem, frozenset(allowed[2:].split()), "".join(lines))
