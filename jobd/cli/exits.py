"""What the exit codes mean: the one table, also printed by `jobd help exit-codes`.

Codes from 64 up are the daemon's own (`jobd serve`) and follow sysexits.h.
Not here: which HTTP status an error has (api/problems.py).
"""

from enum import IntEnum

from jobd.client import ApiError, ClientError, Unreachable, WaitTimedOut


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    AUTH = 5
    CONFLICT = 6
    JOB_UNSUCCESSFUL = 7
    WAIT_TIMED_OUT = 8
    REFUSED_FOR_NOW = 9
    IO_ERROR = 74
    ALREADY_RUNNING = 75
    UNUSABLE = 78
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "it worked",
    Exit.FAILED: "it failed",
    Exit.USAGE: "the command line or the request is wrong (HTTP 400, 413, 415, 422)",
    Exit.UNREACHABLE: "no daemon answers on the socket",
    Exit.NOT_FOUND: "there is no such job, or it has expired (404, 410)",
    Exit.AUTH: "not allowed (401, 403)",
    Exit.CONFLICT: "the job's status does not allow that (409)",
    Exit.JOB_UNSUCCESSFUL: "the job that was waited for ended failed or cancelled",
    Exit.WAIT_TIMED_OUT: "the wait timed out; the job goes on",
    Exit.REFUSED_FOR_NOW: "refused for now, try again later (429, 503, 507)",
    Exit.IO_ERROR: "serve: the disk or the socket failed",
    Exit.ALREADY_RUNNING: "serve: another daemon holds the state directory",
    Exit.UNUSABLE: "serve: the configuration or the database cannot be used",
    Exit.INTERRUPTED: "Ctrl-C; a job that was waited for goes on",
}

_BY_STATUS: dict[int, Exit] = {
    401: Exit.AUTH,
    403: Exit.AUTH,
    404: Exit.NOT_FOUND,
    410: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    429: Exit.REFUSED_FOR_NOW,
    503: Exit.REFUSED_FOR_NOW,
    507: Exit.REFUSED_FOR_NOW,
}

_FIRST_SERVER_ERROR = 500


def of_status(status: int) -> Exit:
    """Return the exit code of an HTTP error status."""
    otherwise = Exit.FAILED if status >= _FIRST_SERVER_ERROR else Exit.USAGE
    return _BY_STATUS.get(status, otherwise)


def of_error(error: ClientError) -> Exit:
    """Return the exit code of a client command that ended with `error`."""
    match error:
        case ApiError():
            return of_status(error.status)
        case Unreachable():
            return Exit.UNREACHABLE
        case WaitTimedOut():
            return Exit.WAIT_TIMED_OUT
    return Exit.FAILED
