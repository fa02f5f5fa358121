"""`jobd.client` as a program uses it, against a daemon: its documented example, and a long day."""

import inspect
import re
from pathlib import Path

import msgspec
import pytest

import jobd.client
from jobd.client import ApiError, Client, SubmitRequest, WaitTimedOut
from tests.e2e.conftest import Daemon

ROOT = Path(__file__).parents[2]
SIZE = 8_000_000


def documented() -> list[str]:
    """The example in the package's documentation, and those of the README that use it."""
    doc = inspect.getdoc(jobd.client) or ""
    (example,) = re.findall(r"(?:^(?: {4}.*)?\n)+", doc.partition("\n")[2], re.MULTILINE)[:1]
    readme = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [inspect.cleandoc(example), *(code for code in readme if "jobd.client" in code)]


@pytest.mark.parametrize("example", documented(), ids=lambda code: code.split()[-1][:12])
def test_the_documented_examples_run(
    daemon: Daemon, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBD_SOCKET", daemon.socket)
    monkeypatch.chdir(daemon.folder)
    (daemon.folder / "people.csv").write_text("name,age\nada,36\ngrace,unknown\n")
    code = example.replace("/tmp/jobd", str(daemon.folder))  # noqa: S108 - the README's

    exec(compile(code, "example.py", "exec"), {"__name__": "example"})  # noqa: S102 - our own

    report = msgspec.json.decode((daemon.folder / "report.json").read_bytes())
    assert report["rows_imported"] == 1


def big(client: Client) -> str:
    job = client.submit(SubmitRequest(kind="test.big", args={"bytes": SIZE})).value
    assert client.wait(job.job_id, timeout_s=30).value.status == "completed"
    return job.job_id


def test_a_download_goes_on_when_the_daemon_is_killed_in_the_middle(daemon: Daemon) -> None:
    with Client(daemon.socket) as client, client.result(big(client)) as download:
        chunks = download.chunks()
        body = next(chunks)
        daemon.kill()
        daemon.start()
        body += b"".join(chunks)

    assert body == b'"%b"' % (b"x" * SIZE)


def test_a_key_leads_to_its_job_and_a_wait_may_time_out(daemon: Daemon) -> None:
    request = SubmitRequest(kind="test.sleep", args={"seconds": 60}, metadata={"order": "17"})
    with Client(daemon.socket) as client:
        first = client.submit(request, idempotency_key="order-17")
        again = client.submit(request, idempotency_key="order-17")
        with pytest.raises(WaitTimedOut) as timed_out:
            client.wait(first.value.job_id, timeout_s=1)
        client.cancel(first.value.job_id)
        ended = client.wait(first.value.job_id, timeout_s=30).value
        retried = client.retry(first.value.job_id).value
        client.cancel(retried.job_id)

        with client.events(retried.job_id) as events:
            *_, last = events
        with pytest.raises(ApiError) as refused:
            client.submit(SubmitRequest(kind="test.slep"))

    assert (again.replayed, again.value.job_id) == (True, first.value.job_id)
    assert timed_out.value.job.job_id == first.value.job_id
    assert (ended.status, retried.retry_of) == ("cancelled", ended.job_id)
    assert last.job.done
    assert refused.value.problem.code == "unknown_kind"


def test_jobs_come_page_after_page(daemon: Daemon) -> None:
    with Client(daemon.socket) as client:
        ids = [
            client.submit(SubmitRequest(kind="test.echo", queue=queue)).value.job_id
            for queue in ("a", "b", "a", "a")
        ]

        everything = [job.job_id for job in client.jobs(page_size=2)]
        some = [job.job_id for job in client.jobs(queue="a", page_size=1)]

    assert everything == ids[::-1]
    assert some == [ids[3], ids[2], ids[0]]
