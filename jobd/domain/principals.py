"""Who asks, and what they may do.

Not here: how it is found out (api/auth.py), what each operation needs (api/access.py).
"""

import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Scope(StrEnum):
    """One thing a caller may do; `operate` and `admin` stand for others too."""

    SUBMIT = "submit"
    READ = "read"
    OPERATE = "operate"
    WORKER = "worker"
    ADMIN = "admin"


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}|uid:[0-9]{1,10}")
"""What a principal can be called; one that nobody named is `uid:` and the number."""

_STANDS_FOR: dict[Scope, frozenset[Scope]] = {
    Scope.OPERATE: frozenset({Scope.OPERATE, Scope.SUBMIT, Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}


def closed(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return the scopes with all that they stand for; a role is its one scope, closed."""
    return frozenset().union(*(_STANDS_FOR.get(scope, {scope}) for scope in scopes))


class Caller(msgspec.Struct, frozen=True):
    """The one behind a request; `scopes` is already closed.

    `job_id` is set for the token of a job: such a caller has no scopes, and may read that
    job's documents and cancel it.
    """

    principal: str
    scopes: frozenset[Scope]
    job_id: str | None = None
    by_token: bool = False
    token_id: str | None = None
    """The token that was sent, if it may be revoked or expire."""

    def may(self, scope: Scope) -> bool:
        """Return whether the caller has the scope."""
        return scope in self.scopes


def principal_of_uid(uid: int) -> str:
    """Return the name of a user whom the configuration does not name."""
    return f"uid:{uid}"
