"""`/v1/tokens`: made, listed and revoked by an admin.

Not here: what a token opens (access.py), who sends one (auth.py).
"""

import base64
import re

from aiohttp import web

from jobd.api import parameters
from jobd.api.codec import Decoder, encode
from jobd.api.services import Services
from jobd.domain.errors import FieldError, Malformed, NotFound
from jobd.domain.tokens import TOKEN_ID
from jobd.wire.tokens import TokenList, TokenRequest, render_new_token, render_token

_decoder = Decoder(TokenRequest)
_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_SEQ_BYTES = 8
_NO_SEQ = 1 << 63
_PAGE_TOKEN = re.compile(r"[A-Za-z0-9_-]{11}")


class TokenRoutes:
    """The handlers of `/v1/tokens`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tokens = services.tokens

    async def create(self, request: web.Request) -> web.Response:
        """Make a token and show it, this once."""
        parameters.check(request)
        body = await self._services.read_json(request)
        asked = _decoder.decode(body)
        token, text = await self._tokens.create(
            asked.principal,
            asked.scopes,
            description=asked.description,
            expires_in_s=asked.expires_in_seconds,
        )
        document = render_new_token(token, text)
        return web.Response(body=encode(document), status=201, headers=_HEADERS)

    async def page(self, request: web.Request) -> web.Response:
        """Answer a page of all principals' tokens, the newest first."""
        parameters.check(request, ("page_size", "page_token"))
        size = parameters.whole(request, "page_size", 1, parameters.MAX_PAGE_SIZE)
        token = request.query.get("page_token")
        before_seq = _before_seq(token) if token else None
        found = await self._tokens.page(size or parameters.DEFAULT_PAGE_SIZE, before_seq)
        next_token = None if found.before_seq is None else _page_token(found.before_seq)
        url = self._services.public_url
        links = [f'<{parameters.page_url(request, None, url)}>; rel="first"']
        if next_token is not None:
            links.append(f'<{parameters.page_url(request, next_token, url)}>; rel="next"')
        document = TokenList([render_token(one) for one in found.tokens], next_token)
        return web.Response(body=encode(document), headers={**_HEADERS, "Link": ", ".join(links)})

    async def revoke(self, request: web.Request) -> web.Response:
        """Have a token open nothing any more: 204, again too."""
        parameters.check(request)
        token_id = request.match_info["token_id"]
        if TOKEN_ID.fullmatch(token_id) is None or not await self._tokens.revoke(token_id):
            raise NotFound("not_found", "There is no token of that id.")
        return web.Response(status=204)


def _page_token(seq: int) -> str:
    return base64.urlsafe_b64encode(seq.to_bytes(_SEQ_BYTES)).rstrip(b"=").decode()


def _before_seq(token: str) -> int:
    is_ours = _PAGE_TOKEN.fullmatch(token) is not None
    seq = int.from_bytes(base64.urlsafe_b64decode(token + "=")) if is_ours else _NO_SEQ
    if seq >= _NO_SEQ:
        detail = "The token is not one of this list."
        error = FieldError(detail, parameter="page_token")
        raise Malformed("invalid_page_token", detail, errors=(error,))
    return seq
