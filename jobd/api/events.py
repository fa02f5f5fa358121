"""`/v1/jobs/{id}/events` and `/v1/events`: what happens, as it happens; and what has happened.

A stream listens first, then reads and sends the past, then what is newer than the past it
has read: nothing is missed and nothing comes twice, also to a client that comes back with
the id of the last event it saw, after a restart too.

Not here: the live part (hub.py), the form (sse.py), how a stream ends (streams.py).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

from aiohttp import web

from jobd.api import lookup, parameters, preferences, sse
from jobd.api.codec import encode
from jobd.api.following import history_of
from jobd.api.hub import Hub
from jobd.api.logs import feeding, rendered
from jobd.api.past import Past, newer_of_all, past_of, was_given_out
from jobd.api.services import Services
from jobd.api.streams import Stream, Streams
from jobd.domain.history import Moment
from jobd.domain.jobs import Job
from jobd.files.log_lines import LogLine
from jobd.wire.events import EventList
from jobd.wire.rendering import render_past_event

MAX_TIMEOUT_S = 3600

_OF_JOB = ("last_event_id", "timeout", "logs")
_OF_ALL = ("last_event_id", "timeout", "kind", "queue", "batch_id", "status", "all")
_JSON = "application/json"


class EventRoutes:
    """The handlers of `/events`, of one job and of all."""

    def __init__(self, services: Services, streams: Streams, hub: Hub) -> None:
        self._services = services
        self._readers = services.readers
        self._streams = streams
        self._hub = hub

    async def of_job(self, request: web.Request) -> web.StreamResponse:
        """Stream what happens to a job until it ends; 204 when the caller has seen all of that.

        Who asks for JSON gets what has happened.
        """
        parameters.check(request, _OF_JOB)
        timeout_s, logs = _timeout_s(request), parameters.flag(request, "logs")
        media_type = preferences.chosen(request.headers, (sse.EVENT_STREAM, _JSON))
        job = await lookup.find_job(self._services, request)
        if media_type == _JSON:
            return await self._history(job)
        if job.done:
            return await self._finished(request, await self._past(request))
        with (
            self._streams.open(request, keep_alive=sse.KEEP_ALIVE, timeout_s=timeout_s) as stream,
            self._hub.listen(job.seq, stream),
        ):
            past = await self._past(request)
            if past.over:
                return await self._finished(request, past)
            stream.skip_to(past.newest_id)
            async with sse.begun(request, sse.HEADERS) as response:
                await response.write(sse.RETRY + self._frames(past.moments))
                with self._log_lines(job, stream) if logs else nullcontext():
                    await self._streams.send(stream, response)
            return response

    async def _history(self, job: Job) -> web.Response:
        moments = await history_of(self._readers, job)
        url = self._services.public_url
        document = EventList([render_past_event(event, state, url) for event, state in moments])
        headers = {
            "Content-Type": _JSON,
            "Cache-Control": "private, no-cache",
            "Vary": "Authorization, Accept",
        }
        return web.Response(body=encode(document), headers=headers)

    async def _finished(self, request: web.Request, past: Past) -> web.StreamResponse:
        """Answer for a job that is over: 204 tells a client to stop coming back."""
        if not past.moments:
            return web.Response(status=204, headers={"Cache-Control": "no-store"})
        async with sse.begun(request, sse.HEADERS) as response:
            await response.write(sse.RETRY + self._frames(past.moments))
        return response

    async def _past(self, request: web.Request) -> Past:
        """Return what is newer than the event that the caller saw last, if there ever was one."""
        seen_id = await was_given_out(self._readers, sse.last_event_id(request))
        # read anew: it may have changed before the stream began to listen
        job = await lookup.find_job(self._services, request)
        return await past_of(self._readers, job, seen_id)

    def _frames(self, moments: Iterable[Moment]) -> bytes:
        url = self._services.public_url
        return b"".join(sse.frame(moment, url) for moment in moments)

    @contextmanager
    def _log_lines(self, job: Job, stream: Stream) -> Iterator[None]:
        """Send what the job writes from now on, and what it wrote before an event before it."""

        def frames(lines: Sequence[LogLine]) -> bytes:
            return b"".join(sse.log_frame(stream.newest_id, rendered(line)) for line in lines)

        with (
            self._services.logs.follow(job.job_id) as follower,
            feeding(follower, stream, frames) as say_what_waits,
        ):
            stream.before_event = say_what_waits
            yield

    async def of_all(self, request: web.Request) -> web.StreamResponse:
        """Stream what happens to the caller's jobs, or to all, from now on or from an event on."""
        parameters.check(request, _OF_ALL)
        timeout_s, wanted = _timeout_s(request), _wanted(request)
        preferences.chosen(request.headers, (sse.EVENT_STREAM,))
        seen_id = await was_given_out(self._readers, sse.last_event_id(request))
        with (
            self._streams.open(request, keep_alive=sse.KEEP_ALIVE, timeout_s=timeout_s) as stream,
            ExitStack() as listening,
        ):

            def listen() -> None:
                listening.enter_context(self._hub.listen_to_all(stream, wanted))

            if seen_id is None:
                listen()
            async with sse.begun(request, sse.HEADERS) as response:
                await response.write(sse.RETRY)
                if seen_id is not None:
                    pages = newer_of_all(self._readers, seen_id, listen, lambda: stream.ended)
                    async for moments, newest_id in pages:
                        await response.write(self._frames(one for one in moments if wanted(one[1])))
                        seen_id = newest_id
                    stream.skip_to(seen_id)
                await self._streams.send(stream, response)
            return response


def _timeout_s(request: web.Request) -> int:
    return parameters.whole(request, "timeout", 1, MAX_TIMEOUT_S) or MAX_TIMEOUT_S


def _wanted(request: web.Request) -> Callable[[Job], bool]:
    """Return which jobs a stream tells of; raises Malformed or Forbidden."""
    principal = lookup.whose(request)
    kind, queue, batch_id = (request.query.get(name) for name in ("kind", "queue", "batch_id"))
    statuses = parameters.statuses(request)

    def wanted(job: Job) -> bool:
        return (
            principal in {None, job.principal}
            and (kind is None or job.kind == kind)
            and (queue is None or job.queue == queue)
            and (batch_id is None or job.batch_id == batch_id)
            and (not statuses or job.status in statuses)
        )

    return wanted
