"""A daemon with the shipped limits that everything hostile is sent to, on both its listeners.

It logs at DEBUG: what it must not say there is looked for in `daemon.log`.
"""

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Daemon
from tests.hostile.wire import Address, dial

LISTENERS = ("socket", "tcp")


class House:
    """The daemon, and how it is reached. `close` ends it."""

    def __init__(self, folder: Path, settings: str = "", *, server: str = "") -> None:
        self.daemon = Daemon(folder)
        port = _free_port()
        self.daemon.config.write_text(
            f'[server]\nlisten = "127.0.0.1:{port}"\nlisten_without_tokens = true\n'
            f"{server}"
            f'[log]\nlevel = "debug"\n[pool]\ndrain_s = 0\n{settings}'
        )
        self.addresses: dict[str, Address] = {
            "socket": self.daemon.socket,
            "tcp": ("127.0.0.1", port),
        }
        self.token = ""
        self.expected: list[str] = []
        """What a line of the log has that a test has provoked."""
        try:
            self.daemon.start()
            self.token = self.ask("POST", "/v1/tokens", {"principal": "web", "scopes": ["submit"]})[
                "token"
            ]
        except BaseException:
            self.daemon.close()
            raise

    def auth(self, listener: str) -> str:
        """Return the header line that a request on this listener needs."""
        return f"Authorization: Bearer {self.token}\r\n" if listener == "tcp" else ""

    def ask(self, method: str, path: str, document: Any = None, **headers: str) -> Any:
        """Return what the daemon answers on its socket; it must be a 2xx."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = dial(self.daemon.socket)
        body = None if document is None else json.dumps(document)
        types = {} if body is None else {"Content-Type": "application/json"}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, {**types, **names})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        assert response.status < 300, answer
        return json.loads(answer) if answer else None

    def alive(self) -> bool:
        """Whether it answers, and is the process that was started."""
        status: str = self.ask("GET", "/livez")["status"]
        return status == "ok" and self.daemon.process.poll() is None

    @property
    def descriptors(self) -> int:
        """How many the daemon has open."""
        return len(list(Path(f"/proc/{self.daemon.pid}/fd").iterdir()))

    @property
    def rss_bytes(self) -> int:
        """How much memory the daemon has."""
        pages = Path(f"/proc/{self.daemon.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def complaints(self) -> list[str]:
        """Return the lines of its log that speak of a bug."""
        words = ("Traceback", '"level":"error"', '"level":"critical"', "never retrieved")
        lines = [line for line in list(self.daemon.log) if any(word in line for word in words)]
        return [line for line in lines if not any(text in line for text in self.expected)]

    def close(self) -> None:
        """Stop it."""
        self.daemon.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
