"""Who is asking: who sends a token, or who the kernel knows to be at the socket's other end.

A credential that is sent replaces the peer's identity and, if it is not valid, is refused;
it never falls back. A token of a job may stand in the query of a GET as well, for browsers
cannot give an EventSource headers; any other token there is refused, for URLs are kept.

Not here: what a caller may do (access.py).
"""

import re
from asyncio import Transport  # noqa: TC003
from weakref import WeakKeyDictionary

from aiohttp import web

from jobd.api.peers import Peers
from jobd.config import Auth
from jobd.domain import job_tokens
from jobd.domain.errors import JobdError
from jobd.domain.principals import Caller
from jobd.store.tokens import Tokens

PRINCIPAL = web.RequestKey("principal", str)
CALLER = web.RequestKey("caller", Caller)

IN_QUERY = "access_token"
"""The parameter that may hold the token of a job."""

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +(?P<token>[A-Za-z0-9._~+/-]{1,512}=*) *")
_READING = frozenset({"GET", "HEAD"})


class Callers:
    """Finds the caller of each request; a connection's peer is looked at once."""

    def __init__(self, settings: Auth, tokens: Tokens) -> None:
        self._tokens = tokens
        self._peers = Peers(settings)
        self._met: WeakKeyDictionary[Transport, Caller] = WeakKeyDictionary()

    def of(self, request: web.BaseRequest) -> Caller:
        """Return who is asking; raises JobdError for a 401."""
        if "Authorization" in request.headers or request.rel_url.raw_query_string:
            token = _sent(request)
            if token is not None:
                return self.of_token(token)
        transport = request.transport
        if transport is None:
            raise JobdError("unauthenticated", "The connection is gone.")
        caller = self._met.get(transport)
        if caller is None:
            peer = transport.get_extra_info("socket")
            caller = self._met[transport] = self._peers.of(peer)
        return caller

    def of_token(self, token: str) -> Caller:
        """Return who sends a token; raises JobdError for a 401."""
        if token.startswith(job_tokens.PREFIX):
            job_id = job_tokens.check(token, self._tokens.server_key)
            if job_id is not None:
                return Caller(f"job:{job_id}", frozenset(), job_id=job_id, by_token=True)
        else:
            caller = self._tokens.caller(token)
            if caller is not None:
                return caller
        raise JobdError("invalid_token", "The token is not one that is valid here and now.")


def _sent(request: web.BaseRequest) -> str | None:
    """Return the one credential of the request, None if it has none."""
    sent = request.headers.getall("Authorization", [])
    in_query = request.query.getall(IN_QUERY, [])
    if not sent and not in_query:
        return None
    if len(sent) + len(in_query) > 1:
        raise JobdError("invalid_token", "More than one credential was sent.")
    if in_query:
        if request.method not in _READING or not in_query[0].startswith(job_tokens.PREFIX):
            detail = f"{IN_QUERY} takes the token of a job, to read."
            raise JobdError("invalid_token", detail)
        return in_query[0]
    bearer = _BEARER.fullmatch(sent[0])
    if bearer is None:
        raise JobdError("invalid_token", "The credential is no Bearer token.")
    return bearer["token"]
