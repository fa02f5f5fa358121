"""What is said on one WebSocket: commands in, answers and events out.

Commands are obeyed one after the other, and a client that sends many without reading what
they are answered is not read any further. Events of all its subscriptions wait in one
stream; if too many do, the client is cut off, as everywhere.

Not here: who may connect (ws.py), where events come from (hub.py, past.py).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from aiohttp import WSCloseCode, WSMsgType, web

from jobd.api import access, lookup, sse
from jobd.api.auth import CALLER
from jobd.api.codec import Decoder, encode
from jobd.api.hub import Hub
from jobd.api.middleware import REQUEST_ID
from jobd.api.past import newer_of_all, past_of, was_given_out
from jobd.api.rates import Rates
from jobd.api.services import Services
from jobd.api.streams import MAX_WAITING, Stream
from jobd.domain.errors import (
    FieldError,
    Forbidden,
    Invalid,
    JobdError,
    LimitReached,
)
from jobd.domain.history import Moment
from jobd.domain.jobs import Job
from jobd.domain.principals import Scope
from jobd.wire.rendering import render_past_event
from jobd.wire.ws import Answer, Command, Refusal

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 * 1024
MAX_SUBSCRIPTIONS = 100

CLOSE_S = 2.0
"""How long a client may take to answer that the connection is closed."""

_HIGHEST_ID = 2**63 - 1

_decoder = Decoder(Command)


class Subscription:
    """One thing that a connection listens to; holds what comes until the past of it is sent."""

    def __init__(self, stream: Stream, over: Callable[[], None]) -> None:
        """Call `over` when nothing more comes of it."""
        self.listening = ExitStack()
        """Closed when it is given up."""
        self._stream = stream
        self._over = over
        self._newest_id = 0
        self._held: list[tuple[int, bytes]] | None = []

    def offer(self, id_: int, frame: bytes) -> None:
        """Take an event."""
        if self._held is None:
            if id_ > self._newest_id:
                self._newest_id = id_
                self._stream.take(b'{"id":"%d",%b' % (id_, sse.data_of(frame)[1:]))
        elif len(self._held) < MAX_WAITING:
            self._held.append((id_, frame))
        else:
            self._stream.cut("too many events wait for it")

    def end(self) -> None:
        """Take note that the job is done."""
        self._over()

    def lost(self) -> None:
        """End the connection: the client resumes on another."""
        self._stream.lost()

    def go_on(self, newest_id: int) -> None:
        """Pass on what is newer than an event, now and from now on."""
        self._newest_id = newest_id
        held, self._held = self._held or (), None
        for id_, frame in held:
            self.offer(id_, frame)


class Conversation:
    """One connection of a caller who is known."""

    def __init__(
        self,
        services: Services,
        hub: Hub,
        rates: Rates,
        request: web.Request,
        socket: web.WebSocketResponse,
        stream: Stream,
    ) -> None:
        self._services = services
        self._hub = hub
        self._rates = rates
        self._request = request
        self._caller = request[CALLER]
        self._socket = socket
        self._stream = stream
        self._subscriptions: dict[str | None, Subscription] = {}
        """By job; None is all of the caller's."""
        self._commands = {
            "auth": self._introduce_again,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "cancel": self._cancel,
        }

    async def greet(self) -> None:
        """Tell the client that it is known now."""
        await self._say(Answer("authenticated", self._caller.job_id))

    async def go_on(self) -> None:
        """Obey until the client goes or the stream ends; the connection is closed then."""
        sending = asyncio.get_running_loop().create_task(self._send())
        try:
            async for message in self._socket:
                if self._stream.refused:
                    break
                if message.type is WSMsgType.TEXT:
                    await self._obey(message.data)
                elif message.type is WSMsgType.BINARY:
                    await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA)
                else:
                    break
        except ConnectionError:
            pass
        except Exception:
            log.exception("A WebSocket broke.", extra={"request_id": self._request[REQUEST_ID]})
            await self._socket.close(code=WSCloseCode.INTERNAL_ERROR)
        finally:
            for job_id in list(self._subscriptions):
                self._give_up(job_id)
            self._stream.end()
            await self._stop(sending)

    async def _stop(self, sending: asyncio.Task[None]) -> None:
        """Let what waits be sent, unless the client does not take it."""
        await asyncio.wait([sending], timeout=2 * CLOSE_S)
        if not sending.done():
            transport = self._request.transport
            if transport is not None:
                transport.abort()
            sending.cancel()
            await asyncio.wait([sending])

    async def _send(self) -> None:
        """Send what comes until the stream ends, then close the connection."""
        try:
            while messages := await self._stream.some():
                for message in messages:
                    await self._socket.send_frame(message, WSMsgType.TEXT)
            await self._close()
        except ConnectionError:
            pass  # who reads from it is told too

    async def _close(self) -> None:
        if self._stream.refused:
            code, message = WSCloseCode.POLICY_VIOLATION, b"invalid_token"
            await self._socket.close(code=code, message=message)
            return
        leaving = self._services.draining.is_set()
        await self._socket.close(code=WSCloseCode.GOING_AWAY if leaving else WSCloseCode.OK)

    async def _obey(self, text: str) -> None:
        command = None
        try:
            self._rates.spend(self._caller)
            command = _decoder.decode(text.encode())
            await self._commands[command.op](command)
        except JobdError as error:
            of, job_id = (command.op, command.job_id) if command else (None, None)
            await self._say(Refusal(of, job_id, error.code, error.detail))

    async def _introduce_again(self, _command: Command) -> None:
        raise _breaks_a_rule("Who asks is known already.", "op")

    async def _subscribe(self, command: Command) -> None:
        job_id, seen_id = command.job_id, _id_of(command.after)
        if job_id not in self._subscriptions and len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            detail = f"A connection may have {MAX_SUBSCRIPTIONS} subscriptions at a time."
            raise LimitReached("too_many_streams", detail, retryable=True)
        seen_id = await was_given_out(self._services.readers, seen_id)
        self._give_up(job_id)
        subscription = self._subscriptions[job_id] = Subscription(
            self._stream, lambda: self._end_soon(job_id, subscription)
        )
        try:
            if job_id is None:
                await self._follow_all(subscription, seen_id)
            else:
                await self._follow(job_id, subscription, seen_id)
        except BaseException:
            self._give_up(job_id)
            raise

    async def _follow(self, job_id: str, subscription: Subscription, seen_id: int | None) -> None:
        job = await lookup.find(self._services, self._caller, job_id)
        if not job.done:
            subscription.listening.enter_context(self._hub.listen(job.seq, subscription))
            # read anew: it may have changed before that
            job = await lookup.find(self._services, self._caller, job_id)
        past = await past_of(self._services.readers, job, seen_id)
        await self._say(Answer("subscribed", job_id, past.over))
        await self._tell(past.moments)
        subscription.go_on(past.newest_id)
        if past.over:
            self._give_up(job_id)

    async def _follow_all(self, subscription: Subscription, seen_id: int | None) -> None:
        caller = self._caller
        if caller.job_id is not None:
            raise Forbidden("The token of a job opens that job alone.", Scope.SUBMIT)

        def wanted(job: Job) -> bool:
            return job.principal == caller.principal

        def listen() -> None:
            subscription.listening.enter_context(self._hub.listen_to_all(subscription, wanted))

        if seen_id is None:
            listen()
        await self._say(Answer("subscribed"))
        if seen_id is not None:
            readers, stream = self._services.readers, self._stream
            async for moments, newest_id in newer_of_all(
                readers, seen_id, listen, lambda: stream.ended
            ):
                await self._tell([moment for moment in moments if wanted(moment[1])])
                seen_id = newest_id
        subscription.go_on(seen_id or 0)

    async def _unsubscribe(self, command: Command) -> None:
        self._give_up(command.job_id)
        await self._say(Answer("unsubscribed", command.job_id))

    async def _cancel(self, command: Command) -> None:
        if command.job_id is None:
            raise _breaks_a_rule("The field is required", "job_id")
        access.check_need(access.NEEDS["POST", "/v1/jobs/{job_id}/cancel"], self._caller)
        job = await lookup.find(self._services, self._caller, command.job_id)
        if self._caller.job_id is None:
            lookup.refuse_to_change(self._caller, job.principal)
        _, still_running = await self._services.commands.cancel(job.job_id)
        await self._say(Answer("cancelled", job.job_id, not still_running))

    def _give_up(self, job_id: str | None) -> None:
        subscription = self._subscriptions.pop(job_id, None)
        if subscription is not None:
            subscription.listening.close()

    def _end_soon(self, job_id: str | None, ended: Subscription) -> None:
        """Give up a subscription whose job is done, when who tells of that has told all."""

        def give_up() -> None:
            if self._subscriptions.get(job_id) is ended:
                self._give_up(job_id)

        asyncio.get_running_loop().call_soon(give_up)

    async def _tell(self, moments: Sequence[Moment]) -> None:
        url = self._services.public_url
        for event, state in moments:
            message = encode(render_past_event(event, state, url))
            await self._socket.send_frame(message, WSMsgType.TEXT)

    async def _say(self, answer: Answer | Refusal) -> None:
        await self._socket.send_frame(encode(answer), WSMsgType.TEXT)


def _id_of(after: str | int | None) -> int | None:
    """Return the id of an event; raises Invalid for what is none."""
    if isinstance(after, str) and after.isascii() and after.isdecimal():
        after = int(after[:20])
    if after is None or (isinstance(after, int) and 0 <= after <= _HIGHEST_ID):
        return after
    raise _breaks_a_rule("It is the id of no event", "after")


def _breaks_a_rule(detail: str, field: str) -> Invalid:
    error = FieldError(detail, pointer=f"#/{field}")
    return Invalid("validation_error", detail, errors=(error,))
