"""Who may do what, as it is meant: written here by hand, never asked of the program.

Not here: the requests (matrix.py).
"""

from typing import NamedTuple

TABLE = """
submitJob            submit     202
listJobs             see        200
getJob               see        200  of=job     by_job
deleteJob            submit     204  of=ended
cancelJob            submit     200  of=job     by_job
retryJob             submit     202  of=ended
getResult            see        409  of=ended   by_job  job_failed
headResult           see        409  of=ended   by_job
listAttempts         see        200  of=job     by_job
listArtifacts        see        200  of=job     by_job
getArtifact          see        404  of=job     by_job  not_found
headArtifact         see        404  of=job     by_job
getJobEvents         see        200  of=job     by_job
getLogs              see        200  of=job     by_job
getEvents            see        200
openWebSocket        see        101             by_job
createBatch          submit     202
listBatches          see        200
getBatch             see        200  of=batch
cancelBatch          submit     200  of=batch
retryBatch           submit     409  of=batch           nothing_to_retry
createUpload         submit     201
getUpload            see        200  of=upload
headUpload           see        200  of=upload
deleteUpload         submit     204  of=upload
createEndpoint       submit     201
listEndpoints        see        200
getEndpoint          see        200  of=endpoint
changeEndpoint       submit     200  of=endpoint
deleteEndpoint       submit     204  of=endpoint
testEndpoint         submit     202  of=endpoint
rotateSecret         submit     200  of=endpoint
rotateDefaultSecret  submit     200
rotateOpsSecret      admin      200
listDeliveries       see        200
getDelivery          see        200  of=delivery
redeliver            submit     409  of=delivery        delivery_active
redeliverAll         submit     202
listQueues           see        200
changeQueue          operate    200
pauseQueue           operate    200
resumeQueue          operate    200
listHandlers         see        200
reloadHandlers       operate    200
listWorkers          read       200
createToken          admin      201
listTokens           admin      200
revokeToken          admin      204  of=token
getStatus            see        200
getLiveness          nobody     200
getReadiness         nobody     200
getOpenapi           see        200
"""
"""Operation, what it needs, what it answers then, what it is of, whether the token of a job
opens it, and the code if that answer is a refusal all the same."""

GIVES = {
    "submit": {"submit"},
    "read": {"read"},
    "operate": {"operate", "submit", "read"},
    "worker": {"worker"},
    "admin": {"admin", "operate", "submit", "read", "worker"},
}
"""What a scope or a role stands for."""

MISSING = {
    "job": "job_not_found",
    "ended": "job_not_found",
    "batch": "batch_not_found",
    "endpoint": "endpoint_not_found",
    "delivery": "delivery_not_found",
}
"""How what is another's is refused to whoever may not see it; others say `not_found`."""

CHANGING = {
    "deleteJob",
    "retryJob",
    "cancelJob",
    "cancelBatch",
    "retryBatch",
    "changeEndpoint",
    "deleteEndpoint",
    "testEndpoint",
    "rotateSecret",
    "redeliver",
}
"""What is refused, of others, to those who may see all but not change it."""


class Rule(NamedTuple):
    """What is meant of one operation."""

    need: str
    status: int
    of: str | None
    by_job: bool
    code: str | None


class Expected(NamedTuple):
    """An answer: its status, and its code if it is a refusal."""

    status: int
    code: str | None = None


def _rule(words: list[str]) -> Rule:
    need, status, *rest = words
    of = next((word.removeprefix("of=") for word in rest if word.startswith("of=")), None)
    code = next((word for word in rest if word != "by_job" and not word.startswith("of=")), None)
    return Rule(need, int(status), of, "by_job" in rest, code)


RULES: dict[str, Rule] = {
    line.split()[0]: _rule(line.split()[1:]) for line in TABLE.strip().splitlines()
}


def of_principal(name: str, role: set[str], *, own: bool) -> Expected:
    """Return what a principal with these scopes is answered."""
    rule = RULES[name]
    has = set().union(*(GIVES[scope] for scope in role))
    enough = {"nobody": has | {"all"}, "see": has & {"submit", "read"}}
    if not enough.get(rule.need, has & {rule.need}):
        return Expected(403, "forbidden")
    if rule.of == "token":
        return Expected(rule.status)  # an admin's business, whosever it is
    if rule.of is not None and not own:
        if rule.of == "upload" or "read" not in has:
            return Expected(404, MISSING.get(rule.of, "not_found"))
        if name in CHANGING and "operate" not in has:
            return Expected(403, "forbidden")
    return Expected(rule.status, rule.code)


def of_job_token(name: str, *, own: bool) -> Expected:
    """Return what the token of a job is answered."""
    rule = RULES[name]
    if rule.need == "nobody":
        return Expected(rule.status)
    if not rule.by_job:
        return Expected(403, "forbidden")
    return Expected(rule.status, rule.code) if own else Expected(404, "job_not_found")


def of_nobody(name: str, code: str) -> Expected:
    """Return what is answered to whoever is not known, or not who they say."""
    if name == "openWebSocket" and code == "unauthenticated":
        return Expected(101)  # the first message may say it
    return Expected(200) if RULES[name].need == "nobody" else Expected(401, code)
