"""A synchronous, typed client of a daemon: this machine's, or one at a URL.

    from pathlib import Path

    from jobd.client import Client, SubmitRequest

    folder = Path("/tmp/jobd")
    args = {
        "source": str(folder / "people.csv"),
        "database": str(folder / "people.db"),
        "table": "people",
        "columns": {"name": "text", "age": "integer"},
    }
    with Client() as client:
        job = client.submit(SubmitRequest(kind="import.csv", args=args)).value
        done = client.wait(job.job_id, timeout_s=600).value
        if done.status == "completed":
            client.download(done.job_id, folder / "report.json")
        else:
            print(done.error)

What a call returns is an Answer: its `value` is the document, decoded. What it raises is a
ClientError: ApiError when the daemon refused (`error.problem.code` is stable), Unreachable
when there is none, WaitTimedOut when `wait` gave up. A call that broke off is sent again, for
15 s unless the client is told otherwise, and a submission is one job however often it is
sent. A client serves one thread; streams of events, logs and downloads may go to others.

It imports neither asyncio nor aiohttp; a test holds it to that, because commands must start
fast. Not here: what a command prints (cli/).
"""

from jobd.client.address import Dial
from jobd.client.calls import Client
from jobd.client.downloads import Download
from jobd.client.link import (
    Answer,
    ApiError,
    BadAnswer,
    ClientError,
    FileChanged,
    Unreachable,
    WaitTimedOut,
)
from jobd.client.listing import Filters
from jobd.client.streams import EventStream, Seen
from jobd.client.uploads import Told, id_of
from jobd.client.waiting import LONGEST_WAIT_S
from jobd.wire.jobs import Job, JobDetail, JobError
from jobd.wire.problems import Problem
from jobd.wire.queues import QueuePatch
from jobd.wire.submission import SubmitRequest

__all__ = [
    "LONGEST_WAIT_S",
    "Answer",
    "ApiError",
    "BadAnswer",
    "Client",
    "ClientError",
    "Dial",
    "Download",
    "EventStream",
    "FileChanged",
    "Filters",
    "Job",
    "JobDetail",
    "JobError",
    "Problem",
    "QueuePatch",
    "Seen",
    "SubmitRequest",
    "Told",
    "Unreachable",
    "WaitTimedOut",
    "id_of",
]
