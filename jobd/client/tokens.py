"""Tokens, for an admin: making, listing, revoking.

Not here: sending one (link.py).
"""

import http.client
from urllib.parse import quote, urlencode

import msgspec

from jobd.client.link import Answer, Link, answer
from jobd.wire.tokens import NewToken, Token, TokenList, TokenRequest

__all__ = ["NewToken", "Token", "TokenCalls", "TokenList", "TokenRequest"]

_TOKENS = "/v1/tokens"


class TokenCalls:
    """`client.tokens`: every method raises ClientError."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def create(self, request: TokenRequest) -> Answer[NewToken]:
        """Make a token and return it; the daemon shows it this once.

        Asked once: a second time would leave one behind that nobody saw.
        """
        self._link.close()  # a connection that was kept may be dead
        body = msgspec.json.encode(request)
        try:
            response = self._link.open(
                "POST", _TOKENS, headers={"Content-Type": "application/json"}, body=body
            )
            return answer(response, response.read(), NewToken)
        except (OSError, http.client.HTTPException) as error:
            raise self._link.broken(error) from error

    def list(
        self, *, page_size: int | None = None, page_token: str | None = None
    ) -> Answer[TokenList]:
        """Return a page of the tokens of all principals, the newest first."""
        named = {"page_size": page_size, "page_token": page_token}
        query = urlencode({name: value for name, value in named.items() if value is not None})
        return self._link.json("GET", f"{_TOKENS}?{query}" if query else _TOKENS, TokenList)

    def revoke(self, token_id: str) -> None:
        """Have a token open nothing any more; no error if it does not already."""
        path = f"{_TOKENS}/{quote(token_id, safe='')}"
        self._link.patiently(lambda: self._link.open("DELETE", path).read())
