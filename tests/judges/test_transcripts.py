"""What curl is answered, with every header, as the files in transcripts/ have it.

A file holds commands and what they print. `curl` prints the head of the answer here, of a
problem its code too, and asks the daemon of the test; JOB, ETAG and VERSION are of the last
answer that had them, FIRST is the JOB before.
"""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Daemon
from tests.judges import kept
from tests.support.clock import TOMORROW

CURL = 'curl() { command curl -sS -o "$BODY" -D - --unix-socket "$JOBD_SOCKET" "$@"; }\n'
FILES = sorted(kept.names("transcripts"))
MASKS = (
    (r'^(ETag: "[0-9a-f]{64}"\n(?=Cache-Control: private, no-cache))', 'ETag: "H"\n'),
    (r"^Date: .*", "Date: D"),
    (r"^X-Request-Id: req_.*", "X-Request-Id: R"),
    (r'^ETag: W/"[0-9a-f]+"', 'ETag: W/"V"'),
    (r"^Content-Length: [1-9]\d\d+", "Content-Length: N"),
    (r"job_[0-9a-f]{32}", "J"),
    (r"bat_[0-9a-f]{32}", "B"),
    (r"page_token=[\w-]+", "page_token=T"),
    (r"max-age=6047\d\d,", "max-age=S,"),
    (r"^(HTTP/1\.1 [45]0[39] .*\n(?:.*\n)*?Retry-After:) [123]$", r"\1 T"),
)


class Session:
    """One shell after the other; what an answer names is known to the next."""

    def __init__(self, daemon: Daemon) -> None:
        self.body = daemon.folder / "body"
        self.environ = daemon.environ | {"BODY": str(self.body), "JOB": ""}

    def run(self, command: str) -> str:
        """Return the head of the answer, masked."""
        script = CURL + command.replace("TOMORROW", TOMORROW)
        done = subprocess.run(
            ["bash", "-c", script], env=self.environ, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        head = done.stdout.replace("\r\n", "\n").rstrip("\n")
        if location := re.search(r"^Location: (.*)", head, re.MULTILINE):
            self.environ |= {"FIRST": self.environ["JOB"], "JOB": location[1]}
        if etag := re.search(r'^ETag: ((?:W/)?"(.*)")', head, re.MULTILINE):
            self.environ |= {"ETAG": etag[1], "VERSION": etag[2]}
        for pattern, mask in MASKS:
            head = re.sub(pattern, mask, head, flags=re.MULTILINE)
        if "Content-Type: application/problem+json" in head and "curl -I" not in command:
            head += f'\n\n… "code": "{json.loads(self.body.read_bytes())["code"]}" …'
        return head


def replayed(session: Session, script: str) -> Iterator[str]:
    """Yield the lines of a transcript, its commands followed by what they print now."""
    for line in script.splitlines():
        if line.startswith("#"):
            yield f"\n{line}"
        if line.startswith("$ "):
            yield line
            yield session.run(line.removeprefix("$ "))


@pytest.mark.needs("curl")
@pytest.mark.parametrize("name", FILES)
def test_curl_is_answered_as_it_was(daemon: Daemon, name: str) -> None:
    script = (kept.FOLDER / "transcripts" / name).read_text()

    lines = replayed(Session(daemon), script)

    kept.check("transcripts", name, "\n".join(lines).lstrip("\n").encode() + b"\n")
