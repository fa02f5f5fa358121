"""`/v1/jobs/{id}/logs`: what the attempts of a job wrote, and what they write.

The past is read on a thread, a piece at a time. Who follows gets each line as it comes,
and the end of the answer when the job has ended.

Not here: which lines are kept (files/), log lines among events (events.py).
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from aiohttp import web

from jobd.api import lookup, parameters, preferences, sse
from jobd.api.codec import encode
from jobd.api.services import Services
from jobd.api.streams import Stream, Streams
from jobd.domain.events import Event
from jobd.domain.jobs import Job
from jobd.files.log_follower import Follower, Lagged
from jobd.files.log_lines import LogLine
from jobd.wire import logs as wire
from jobd.wire.times import from_ms

TEXT = "text/plain"
NDJSON = "application/x-ndjson"

_HEADERS = {
    "Cache-Control": "no-store",
    "Vary": "Authorization, Accept",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
_MOST = 1_000_000
_LINES_AT_ONCE = 1000

Encode = Callable[[Sequence[LogLine]], bytes]


class LogRoutes:
    """The handler of `/logs` below a job."""

    def __init__(self, services: Services, streams: Streams) -> None:
        self._services = services
        self._streams = streams

    async def log(self, request: web.Request) -> web.StreamResponse:
        """Send what a job has written; to who follows, what it writes until it ends too."""
        parameters.check(request, ("attempt", "tail", "follow"))
        attempt = parameters.whole(request, "attempt", 1, _MOST)
        tail = parameters.whole(request, "tail", 0, _MOST)
        follow = parameters.flag(request, "follow")
        media_type = preferences.chosen(request.headers, (TEXT, NDJSON))
        job = await lookup.find_job(self._services, request)

        def past() -> Iterator[LogLine]:
            return self._services.logs.read(job.job_id, attempt=attempt, tail=tail)

        def encoded(lines: Sequence[LogLine]) -> bytes:
            wanted = [line for line in lines if attempt in {None, line.attempt}]
            return _text(wanted) if media_type == TEXT else _ndjson(wanted)

        headers = {**_HEADERS, "Content-Type": f"{media_type}; charset=utf-8"}
        if not follow or job.done:
            async with sse.begun(request, headers) as response:
                await _send(response, past(), encoded)
            return response
        with (
            self._streams.open(request) as stream,
            self._services.logs.follow(job.job_id) as follower,
        ):
            before = past()  # in one step with the follower: no line is missed or comes twice
            with (
                feeding(follower, stream, encoded) as say_what_waits,
                self._until_done(job, stream, say_what_waits),
            ):
                if (await lookup.find_job(self._services, request)).done:
                    say_what_waits()
                    stream.end()
                async with sse.begun(request, headers) as response:
                    await _send(response, before, encoded, stream)
                    await self._streams.send(stream, response)
                return response

    @contextmanager
    def _until_done(self, job: Job, stream: Stream, finish: Callable[[], None]) -> Iterator[None]:
        """End the stream with the job; `finish` says the last lines."""

        def receive(event: Event) -> None:
            if event.terminal:
                finish()
                stream.end()

        self._services.bus.add(job.seq, receive)
        try:
            yield
        finally:
            self._services.bus.remove(job.seq, receive)


@contextmanager
def feeding(follower: Follower, stream: Stream, encoded: Encode) -> Iterator[Callable[[], None]]:
    """Say what the follower gets while the block runs, when the client has room for it.

    What the block is given says at once what is there.
    """

    def say_what_waits() -> None:
        try:
            lines = follower.waiting()
        except Lagged:
            stream.cut("it does not keep up with the log")
            return
        if lines:
            stream.say(encoded(lines))

    async def feed() -> None:
        try:
            while True:
                await stream.room()
                line = await follower.next()
                stream.say(encoded([line, *follower.waiting()]))
        except Lagged:
            stream.cut("it does not keep up with the log")

    task = asyncio.get_running_loop().create_task(feed())
    try:
        yield say_what_waits
    finally:
        task.cancel()


async def _send(
    response: web.StreamResponse,
    lines: Iterator[LogLine],
    encoded: Encode,
    stream: Stream | None = None,
) -> None:
    """Send lines that are on disk, as long as the stream that follows is not refused."""
    while some := await asyncio.to_thread(lambda: list(islice(lines, _LINES_AT_ONCE))):
        if stream is not None and stream.refused:
            return
        await response.write(encoded(some))


def rendered(line: LogLine) -> wire.LogLine:
    """Return the document of a line."""
    return wire.LogLine(line.attempt, from_ms(line.timestamp), line.stream, line.line)


def _text(lines: Sequence[LogLine]) -> bytes:
    return "".join(f"{line.line}\n" for line in lines).encode("utf-8", "replace")


def _ndjson(lines: Sequence[LogLine]) -> bytes:
    return b"".join(encode(rendered(line)) + b"\n" for line in lines)
