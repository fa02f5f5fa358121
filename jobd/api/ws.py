"""`/v1/ws`: events and commands on one connection; how it begins.

Who asks is known as everywhere; where it is not, as on TCP without a header, the first
message says it. A connection counts as one stream, for as long as one may last.

Not here: the commands (conversation.py).
"""

import asyncio

from aiohttp import WSCloseCode, WSMsgType, web

from jobd.api import access, parameters
from jobd.api.auth import CALLER, PRINCIPAL, Callers
from jobd.api.codec import Decoder
from jobd.api.conversation import CLOSE_S, MAX_MESSAGE_BYTES, Conversation
from jobd.api.events import MAX_TIMEOUT_S
from jobd.api.hub import Hub
from jobd.api.middleware import identity_headers
from jobd.api.rates import Rates
from jobd.api.services import Services
from jobd.api.streams import Streams
from jobd.domain.errors import FieldError, JobdError, LimitReached, Malformed
from jobd.domain.principals import Caller
from jobd.wire.ws import Command

PROTOCOL = "jobd.v1"

_OFFERED = "Sec-WebSocket-Protocol"

_decoder = Decoder(Command)


class SocketRoutes:
    """The handler of `/v1/ws`."""

    def __init__(
        self, services: Services, streams: Streams, hub: Hub, rates: Rates, callers: Callers
    ) -> None:
        self._services = services
        self._streams = streams
        self._hub = hub
        self._rates = rates
        self._callers = callers

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Talk until one side has had enough; what is refused before is refused as HTTP."""
        parameters.check(request)
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,),
            heartbeat=self._services.heartbeat_s,
            max_msg_size=MAX_MESSAGE_BYTES,
            timeout=CLOSE_S,
            compress=False,
        )
        _check_handshake(request, socket)
        socket.headers.update(identity_headers(request))
        if CALLER in request:
            await self._talk(request, socket)
            return socket
        await socket.prepare(request)
        caller = await self._introduced(socket)
        if caller is not None:
            request[CALLER], request[PRINCIPAL] = caller, caller.principal
            try:
                await self._talk(request, socket)
            except LimitReached as error:
                await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=error.code.encode())
        return socket

    async def _talk(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        known = not socket.prepared
        with self._streams.open(request, timeout_s=MAX_TIMEOUT_S) as stream:
            conversation = Conversation(
                self._services, self._hub, self._rates, request, socket, stream
            )
            if known:
                await socket.prepare(request)
            else:
                await conversation.greet()
            await conversation.go_on()

    async def _introduced(self, socket: web.WebSocketResponse) -> Caller | None:
        """Return who says who they are in the first message; None if the connection is closed."""
        try:
            async with asyncio.timeout(self._services.introduction_timeout_s):
                message = await socket.receive()
            if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR}:
                return None
            return self._caller(message.data if message.type is WSMsgType.TEXT else "")
        except TimeoutError:
            code = "unauthenticated"
        except JobdError as error:
            code = error.code
        await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=code.encode())
        return None

    def _caller(self, text: str) -> Caller:
        command = _decoder.decode(text.encode())
        if command.op != "auth" or command.token is None:
            raise JobdError("unauthenticated", "The first message must say who you are.")
        caller = self._callers.of_token(command.token)
        self._rates.spend(caller)
        access.check_need(access.NEEDS["GET", "/v1/ws"], caller)
        return caller


def _check_handshake(request: web.Request, socket: web.WebSocketResponse) -> None:
    """Raise JobdError for what is none that is taken here."""
    offered = request.headers.get(_OFFERED)
    if offered is not None and PROTOCOL not in map(str.strip, offered.split(",")):
        detail = f"The protocol of this connection is {PROTOCOL}."
        raise Malformed("invalid_parameter", detail, errors=(FieldError(detail, header=_OFFERED),))
    if not socket.can_prepare(request):
        if CALLER not in request:
            raise JobdError("unauthenticated", "The peer of this connection is not known.")
        raise JobdError("upgrade_required", "Only WebSockets of version 13 are taken here.")
