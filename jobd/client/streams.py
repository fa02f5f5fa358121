"""Answers that go on: events as they happen, log lines as they are written.

A stream has a connection of its own. One that breaks, or that the daemon ends because it
stops or because we were too slow, is opened again where it was: events by the id of the
last one, log lines by what was seen of them.

Not here: how long a lost daemon is waited for (link.py).
"""

import http.client
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlencode

from jobd.client.link import BadAnswer, Link, decode, jittered
from jobd.wire.events import JobEvent
from jobd.wire.jobs import Job
from jobd.wire.logs import LogLine
from jobd.wire.times import Timestamp

LONGEST_SILENCE_S = 60.0
"""The daemon says something every 15 s, if only that it is there."""

_NO_CONTENT = 204
_AGAIN_S = 1.0
"""The wait before a stream that brought nothing is opened again."""


class Frame(NamedTuple):
    """One server-sent event as it came."""

    id: str
    data: str


class Seen(NamedTuple):
    """An event and its place in the order of all events."""

    id: int
    type: str
    timestamp: Timestamp
    job: Job
    """As it was right after the event."""


class EventStream:
    """Events in order, none twice; it is open once this is made. Use with `with`, and iterate.

    A job's stream ends with the event that ended the job. Raises ClientError.
    """

    def __init__(self, link: Link, path: str, *, after: int | None, of_one_job: bool) -> None:
        self._link = link
        self._path = path
        self._of_one_job = of_one_job
        self._last = after
        self._over = False
        self._frames = self._opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the stream."""
        self._over = True
        self._link.close()

    def __iter__(self) -> Iterator[Seen]:
        """Yield each event once."""
        while not self._over:
            before = self._last
            try:
                for frame in self._frames:
                    event = _event(frame)
                    if event.id != self._last:
                        self._last = event.id
                        self._over = self._of_one_job and event.job.done
                        yield event
            except (OSError, http.client.HTTPException):
                # opening it again waits for the daemon, or raises
                pass
            self._link.close()
            if not self._over:
                if self._last == before:
                    self._link.pause(jittered(_AGAIN_S))
                self._frames = self._opened()

    def news(self) -> bool:
        """Wait for one event, or for the silence that the stream was opened with; then close."""
        try:
            return next(self._frames, None) is not None
        except (OSError, http.client.HTTPException):
            return False
        finally:
            self.close()

    def _opened(self) -> Iterator[Frame]:
        headers = {"Accept": "text/event-stream"}
        if self._last is not None:
            headers["Last-Event-ID"] = str(self._last)
        try:
            return self._frames_of(
                self._link.patiently(lambda: self._link.open("GET", self._path, headers))
            )
        except BaseException:
            self.close()
            raise

    def _frames_of(self, response: http.client.HTTPResponse) -> Iterator[Frame]:
        if response.status == _NO_CONTENT:
            self.close()
            return iter(())
        if response.headers.get_content_type() != "text/event-stream":
            raise BadAnswer("the daemon's answer is no stream of events")
        return frames(iter(response.readline, b""))


def _event(frame: Frame) -> Seen:
    try:
        id_ = int(frame.id)
    except ValueError as error:
        raise BadAnswer(f"an event has the id {frame.id!r}") from error
    event = decode(frame.data.encode(), JobEvent)
    return Seen(id_, event.type, event.timestamp, event.data)


def frames(lines: Iterable[bytes]) -> Iterator[Frame]:
    """Yield the events in a `text/event-stream`; one that is cut off is dropped.

    Their type is left out: it stands in the data as well. So is `retry`.
    """
    id_, data = "", list[str]()
    for line in lines:
        if not line.endswith(b"\n"):
            return
        text = line.rstrip(b"\r\n").decode("utf-8", "replace")
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if not text and data:
            yield Frame(id_, "\n".join(data))
            data = []
        elif name == "id" and "\0" not in value:
            id_ = value
        elif name == "data":
            data.append(value)


def log_lines(
    link: Link, path: str, query: Mapping[str, str], *, is_done: Callable[[], bool]
) -> Iterator[LogLine]:
    """Yield the lines of a log, none twice; with `follow` in the query, until the job is done.

    `is_done` tells whether the end of an answer may be the end of the log. Closes `link`.
    """
    seen, wanted = _Seen(), dict(query)
    headers = {"Accept": "application/x-ndjson"}
    while True:
        url = f"{path}?{urlencode(wanted)}"
        response = link.patiently(partial(link.open, "GET", url, headers))
        whole = True
        try:
            for text in iter(response.readline, b""):
                if not text.endswith(b"\n"):
                    whole = False
                    break
                line = decode(text, LogLine)
                if seen.is_news(line):
                    yield line
        except (OSError, http.client.HTTPException):
            whole = False  # opening it again waits for the daemon, or raises
        finally:
            link.close()
        if whole and "follow" not in wanted:
            return
        news = seen.from_the_top()
        if whole and is_done():
            # what was written while nobody listened is read without waiting for more
            del wanted["follow"]
        elif not news:
            link.pause(jittered(_AGAIN_S))
        if seen.anything:
            wanted.pop("tail", None)


class _Seen:
    """Which lines of a log were yielded, so that reading it again goes on behind them.

    Lines have no numbers. Those of an earlier moment than the last one were seen, and of
    the same moment as many as were counted.
    """

    def __init__(self) -> None:
        self._last: LogLine | None = None
        self._alike = 0
        self._to_skip: int | None = None
        self._news = False

    @property
    def anything(self) -> bool:
        """Whether a line was seen at all."""
        return self._last is not None

    def is_news(self, line: LogLine) -> bool:
        """Take a line in; False if it was there before the log was opened again."""
        same = self._last is not None and _moment(line) == _moment(self._last)
        if self._to_skip is not None and self._last is not None:
            if _moment(line) < _moment(self._last):
                return False
            if same and self._to_skip:
                self._to_skip -= 1
                return False
        self._to_skip = None
        self._alike = self._alike + 1 if same else 1
        self._last, self._news = line, True
        return True

    def from_the_top(self) -> bool:
        """Expect the log from its beginning; return whether the last reading brought news."""
        news, self._news = self._news, False
        self._to_skip = self._alike
        return news


def _moment(line: LogLine) -> tuple[int, Timestamp]:
    return line.attempt, line.timestamp
