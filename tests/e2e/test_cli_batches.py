"""A file of jobs, from the command line to the callback that tells of its end."""

import json
from http.server import BaseHTTPRequestHandler
from queue import SimpleQueue
from socketserver import UnixStreamServer
from threading import Thread

import pytest
from standardwebhooks import Webhook

from tests.e2e.conftest import Daemon

GOOD = json.dumps({"kind": "test.echo", "args": {"n": 1}})
BAD = json.dumps({"kind": "test.none"})
FAILING = json.dumps({"kind": "test.raise", "max_attempts": 1})


def test_a_file_of_jobs_is_run_to_its_end(daemon: Daemon) -> None:
    file = daemon.folder / "jobs.ndjson"
    file.write_text(f"{GOOD}\n" * 700)

    done = daemon.jobd("submit", "-f", str(file), "--wait", "-o", "json")

    batch = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (batch["jobs"]["completed"], batch["done"], batch["partial"]) == (700, True, False)


@pytest.mark.parametrize(
    ("lines", "options", "code"),
    [
        ([GOOD, BAD], (), 2),
        ([GOOD, BAD], ("--atomic",), 2),
        ([BAD], (), 2),
        ([GOOD, FAILING], ("--wait",), 7),
        ([GOOD], ("--callback-url", "https://127.0.0.1/"), 2),
    ],
)
def test_exit_codes(daemon: Daemon, lines: list[str], options: tuple[str, ...], code: int) -> None:
    done = daemon.jobd("submit", "-f", "-", *options, stdin="\n".join(lines))

    assert done.returncode == code, done.stderr


def test_the_callback_tells_once_of_the_whole_batch(daemon: Daemon) -> None:
    arrived: SimpleQueue[tuple[dict[str, str], bytes]] = SimpleQueue()

    class App(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.put(({name.lower(): self.headers[name] for name in self.headers}, body))
            self.send_response_only(204)
            self.end_headers()

    app = daemon.folder / "app"
    daemon.config.write_text(daemon.config.read_text() + f'[webhooks]\nallow_unix = ["{app}"]\n')
    daemon.restart()
    secret = daemon.jobd("webhooks", "rotate-secret").stdout.strip()
    with UnixStreamServer(str(app), App) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"unix:{app}:/done"
        done = daemon.jobd("submit", "-f", "-", "--callback-url", url, stdin=f"{GOOD}\n{GOOD}\n")
        headers, body = arrived.get(timeout=30)
        server.shutdown()
        thread.join()

    told = Webhook(secret).verify(body, headers)
    assert (told["type"], told["data"]["batch_id"]) == ("batch.completed", done.stdout.strip())
    assert (told["data"]["jobs"]["completed"], arrived.empty()) == (2, True)
