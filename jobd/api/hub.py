"""Committed events on their way to the streams that want them.

However many listen, an event is rendered once; while nobody does, it is not even looked
at. Events go out in the order of their ids. Of a job's progress at most one in an interval
goes out: the newest, when the interval is over.

Not here: the past (events.py), what a slow client costs (streams.py).
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec

from jobd.api import sse
from jobd.api.following import Following
from jobd.bus import Bus
from jobd.domain.events import Event
from jobd.domain.history import PROGRESS, Moment
from jobd.domain.jobs import Job
from jobd.store.readers import Readers

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Events that go out before the streams get to write: far fewer than may wait for one."""

_JITTER_S = 0.05
"""What a commit may take off the interval between two reports; the next one gives it back."""


class Listener(Protocol):
    """A stream, or one of several that share a connection. Nothing here may block."""

    def offer(self, id_: int, frame: bytes) -> None:
        """Take an event."""

    def end(self) -> None:
        """Take note that there are no more of this job."""

    def lost(self) -> None:
        """Take note that there may have been one more."""


class _Pace(msgspec.Struct):
    """When the next progress of a job may go out, and the one that waits for that."""

    due_s: float = 0.0
    held: Moment | None = None
    timer: asyncio.TimerHandle | None = None


class Hub:
    """Passes events on to the streams that listen."""

    def __init__(
        self, bus: Bus, readers: Readers, *, progress_interval_s: float, public_url: str
    ) -> None:
        self._bus = bus
        self._readers = readers
        self._progress_interval_s = progress_interval_s
        self._public_url = public_url
        self._of_job: defaultdict[int, list[Listener]] = defaultdict(list)
        self._of_all: dict[Listener, Callable[[Job], bool]] = {}
        self._following = Following(readers)
        self._paces: dict[int, _Pace] = {}
        self._newest = 0
        self._waiting = list[Event]()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def listen(self, seq: int, stream: Listener) -> Iterator[None]:
        """Pass a job's events on while the block runs; the one that ends it ends the stream."""
        if seq not in self._of_job:
            self._bus.add(seq, self._receive)
        self._of_job[seq].append(stream)
        try:
            yield
        finally:
            self._of_job[seq].remove(stream)
            if not self._of_job[seq]:
                del self._of_job[seq]
                self._bus.remove(seq, self._receive)
                self._forget_unheard()

    @contextmanager
    def listen_to_all(self, stream: Listener, wanted: Callable[[Job], bool]) -> Iterator[None]:
        """Pass the events of all jobs that are wanted on while the block runs."""
        if not self._of_all:
            self._bus.subscribe(self._receive)
        self._of_all[stream] = wanted
        try:
            yield
        finally:
            del self._of_all[stream]
            if not self._of_all:
                self._bus.unsubscribe(self._receive)
                self._forget_unheard()

    def _forget_unheard(self) -> None:
        """Forget jobs nobody listens to: their events do not come here any more."""
        if self._of_all:
            return
        self._waiting = [event for event in self._waiting if event.seq in self._of_job]
        for seq in self._paces.keys() - self._of_job.keys():
            self._supersede(seq)
            del self._paces[seq]
        self._following.keep_only(self._of_job.keys())

    def close(self) -> None:
        """Stop; the streams have ended."""
        if self._task is not None:
            self._task.cancel()

    def _receive(self, event: Event) -> None:
        """Take an event from the bus; one that is wanted for its job and for all comes twice."""
        if event.id <= self._newest:
            return
        self._newest = event.id
        self._waiting.append(event)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._pass_on())

    async def _pass_on(self) -> None:
        try:
            while self._waiting:
                events, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
                for moment in await self._following.moments(events):
                    self._tell(moment)
                await _turn()
        except Exception:
            log.exception("Events could not be passed on; every stream ends, to be resumed.")
            self._end_all()
        finally:
            self._task = None

    def _end_all(self) -> None:
        self._waiting.clear()
        self._following = Following(self._readers)
        for streams in (*self._of_job.values(), self._of_all):
            for stream in streams:
                stream.lost()

    def _tell(self, moment: Moment) -> None:
        event, _ = moment
        if event.type == PROGRESS:
            self._tell_in_time(moment)
            return
        self._supersede(event.seq)
        if event.terminal:
            self._paces.pop(event.seq, None)
        self._send(moment)

    def _tell_in_time(self, moment: Moment) -> None:
        """Send progress now, or hold it until the interval since the last one is over."""
        event, _ = moment
        loop = asyncio.get_running_loop()
        pace = self._paces.setdefault(event.seq, _Pace())
        if pace.timer is None and loop.time() >= pace.due_s - _JITTER_S:
            pace.due_s = max(pace.due_s, loop.time()) + self._progress_interval_s
            self._send(moment)
            return
        pace.held = moment
        if pace.timer is None:
            pace.timer = loop.call_at(pace.due_s, self._send_held, pace)

    def _send_held(self, pace: _Pace) -> None:
        moment, pace.held, pace.timer = pace.held, None, None
        pace.due_s += self._progress_interval_s
        if moment is not None:
            self._send(moment)

    def _supersede(self, seq: int) -> None:
        """Drop progress that is held: what comes now says it too, or it is over."""
        pace = self._paces.get(seq)
        if pace is not None and pace.timer is not None:
            pace.timer.cancel()
            pace.held = pace.timer = None

    def _send(self, moment: Moment) -> None:
        event, job = moment
        listeners = self._of_job.get(event.seq, ())
        interested = [stream for stream, wanted in self._of_all.items() if wanted(job)]
        if not listeners and not interested:
            return
        frame = sse.frame(moment, self._public_url)
        for stream in (*listeners, *interested):
            stream.offer(event.id, frame)
        if event.terminal:
            for stream in listeners:
                stream.end()


async def _turn() -> None:
    """Let the streams write what they have got, and others have the loop."""
    loop = asyncio.get_running_loop()
    turn: asyncio.Future[None] = loop.create_future()
    loop.call_soon(turn.set_result, None)
    await turn
