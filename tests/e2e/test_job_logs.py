"""Whoever sees that a job is done finds all that it wrote."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.conftest import Daemon


def test_the_log_of_a_done_job_is_complete(daemon: "Daemon") -> None:
    data = (b"0123456789abcde\n" * 1024).hex()

    done = daemon.jobd(
        "submit", "test.utter", json.dumps({"hex": data, "times": 120}), "--wait", "-o", "json"
    )

    job_id = json.loads(done.stdout.splitlines()[-1])["job_id"]
    file = daemon.state_dir / "logs" / job_id / "1.ndjson"
    streams = [json.loads(line)["stream"] for line in file.read_text().splitlines()]
    assert streams.count("jobd") == 1
    assert streams[-500:] == ["stdout"] * 500
