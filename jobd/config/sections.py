"""The settings: each defined once, as a field of a Struct, with its default and its help.

A field gives the TOML key, the environment name (`JOBD_<SECTION>_<KEY>`), the type check,
the default, and the text in `config/jobd.toml`.

Not here: what a setting does; each is documented where it is used.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from jobd.domain.principals import Scope

_Bytes = Annotated[int, Meta(ge=1)]
_Id = Annotated[int, Meta(ge=0, le=4294967294)]
_PrincipalName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}(?!\n)$")]
_QueueName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*(?!\n)$", max_length=100)]


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[server]: where the daemon lives."""

    state_dir: Annotated[
        str, Meta(description="Folder of the database, artifacts and locks. Empty: by user.")
    ] = ""
    socket: Annotated[
        str, Meta(description="Path of the unix socket, at most 107 bytes. Empty: by user.")
    ] = ""
    socket_mode: Annotated[
        str,
        Meta(
            pattern="^0[0-7]{3}$",
            description="Permissions of the socket, octal: 0600, or 0660 for a group.",
        ),
    ] = "0600"
    public_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^/?#\s]+(/[^?#\s]*)?)?(?!\n)$",
            description="Where clients reach jobd, as http(s)://…: URLs begin with it. Empty: "
            "they are relative.",
        ),
    ] = ""
    listen: Annotated[
        str,
        Meta(
            pattern=r"^((\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):\d{1,5})?(?!\n)$",
            description="HOST:PORT to listen on besides the socket, with tokens only. Empty: none.",
        ),
    ] = ""
    listen_without_tokens: Annotated[
        bool, Meta(description="Whether to listen although nobody has a token yet.")
    ] = False
    allow_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Names that requests over TCP may have as their Host, besides this "
            "machine's own, that of `listen` and that of `public_url`."
        ),
    ] = ()
    allow_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^https?://[^/?#\s]+(?!\n)$")], ...],
        Meta(description="Web sites, as https://HOST, whose pages may call jobd over TCP."),
    ] = ()


class StoreSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[store]: the database."""

    synchronous: Annotated[
        str,
        Meta(
            pattern="^(full|normal)$",
            description="`full`: a 2xx is on disk. `normal`: a power cut loses the last seconds.",
        ),
    ] = "full"


class Jobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[jobs]: what a job gets that says nothing else."""

    timeout_s: Annotated[float, Meta(gt=0, description="Time limit of an attempt.")] = 3600.0
    max_timeout_s: Annotated[
        float, Meta(gt=0, description="The longest time limit a handler may declare.")
    ] = 86400.0
    max_attempts: Annotated[
        int, Meta(ge=1, le=100, description="Failures and crashes until a job is failed.")
    ] = 3
    backoff_base_s: Annotated[
        float, Meta(gt=0, description="First wait between attempts; doubles each time.")
    ] = 1.0
    backoff_cap_s: Annotated[float, Meta(gt=0, description="The longest such wait.")] = 3600.0
    max_age_s: Annotated[
        float,
        Meta(ge=60, description="A job that has not ended so long after its submission is failed."),
    ] = 2592000.0
    handler_missing_s: Annotated[
        float, Meta(ge=0, description="How long a queued job waits for a plugin that is gone.")
    ] = 86400.0


class PoolSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[pool]: the worker processes."""

    cpu_workers: Annotated[
        int, Meta(ge=0, le=1024, description="Workers for `def` handlers. 0: one per core.")
    ] = 0
    io_workers: Annotated[
        int, Meta(ge=0, le=64, description="Workers for `async def` handlers.")
    ] = 1
    io_concurrency: Annotated[
        int, Meta(ge=1, le=10000, description="Jobs at a time in one io worker.")
    ] = 100
    drain_s: Annotated[float, Meta(ge=0, description="How long a stop waits for running jobs.")] = (
        60.0
    )
    kill_grace_s: Annotated[
        float, Meta(gt=0, description="From the request to end an attempt to SIGKILL.")
    ] = 5.0
    max_jobs_per_worker: Annotated[
        int, Meta(ge=0, description="A worker is replaced after about so many jobs. 0: never.")
    ] = 0
    max_worker_rss_mb: Annotated[
        int, Meta(ge=0, description="A worker with more memory is replaced when idle. 0: never.")
    ] = 0


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[queues.NAME]: one queue; a queue needs no section to be used."""

    concurrency: Annotated[
        int, Meta(ge=0, description="Jobs of the queue that run at a time. 0: as many as fit.")
    ] = 0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[limits]: what one request or job may cost."""

    body_bytes: Annotated[_Bytes, Meta(description="A request body; more is 413.")] = 1048576
    args_bytes: Annotated[_Bytes, Meta(description="A job's args; more is 413.")] = 262144
    inline_result_bytes: Annotated[
        _Bytes, Meta(description="A longer result is a file, not part of the job document.")
    ] = 65536
    result_bytes: Annotated[
        _Bytes, Meta(description="A longer JSON result fails the job: result_too_large.")
    ] = 67108864
    artifact_bytes: Annotated[
        _Bytes, Meta(description="One artifact; more fails the job: result_too_large.")
    ] = 10737418240
    log_bytes: Annotated[
        _Bytes, Meta(description="The start of an attempt's log; of the rest its last part.")
    ] = 1048576
    upload_bytes: Annotated[_Bytes, Meta(description="One upload; more is 413.")] = 10737418240
    batch_lines: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Jobs in one batch; more is 413.")
    ] = 10_000
    batch_bytes: Annotated[_Bytes, Meta(description="The body of one batch; more is 413.")] = (
        67108864
    )
    queued_jobs: Annotated[
        int, Meta(ge=1, description="Jobs that wait, of all principals; more is 503.")
    ] = 1_000_000
    queued_jobs_per_principal: Annotated[
        int, Meta(ge=1, description="Jobs that wait, of one principal; more is 429.")
    ] = 100_000
    connections: Annotated[
        int,
        Meta(ge=8, description="Connections open at a time, on the socket and over TCP each."),
    ] = 512
    streams_per_principal: Annotated[
        int,
        Meta(
            ge=1,
            description="Event and log streams and WebSockets of one principal open at a time; "
            "more is 429.",
        ),
    ] = 20
    uploads_per_principal: Annotated[
        int, Meta(ge=1, description="Uploads of one principal under way at a time; more is 429.")
    ] = 10
    batches_per_principal: Annotated[
        int, Meta(ge=1, description="Batches of one principal being sent at a time; more is 429.")
    ] = 10
    requests_per_minute: Annotated[
        int,
        Meta(
            ge=0,
            description="Requests of one principal with a token, and as many at once; more is "
            "429. 0: any.",
        ),
    ] = 6000
    socket_requests_per_minute: Annotated[
        int,
        Meta(ge=0, description="The same of one that the socket's peer is known as. 0: any."),
    ] = 0
    sync_wait_ms: Annotated[
        int, Meta(ge=0, le=1000, description="A submit waits this long when a slot is idle.")
    ] = 50
    max_wait_s: Annotated[int, Meta(ge=1, le=300, description="The longest `Prefer: wait`.")] = 30


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[retention]: how long a finished job can be read."""

    default_s: Annotated[int, Meta(ge=60, description="Unless the job says otherwise: 7 days.")] = (
        604800
    )
    max_s: Annotated[int, Meta(ge=60, description="The longest a job may ask for.")] = 604800
    max_jobs: Annotated[
        int, Meta(ge=0, description="Finished jobs kept; those that expire first go first.")
    ] = 1_000_000
    max_bytes: Annotated[
        int,
        Meta(ge=0, description="What the state folder may hold before finished jobs go. 0: any."),
    ] = 0


class Files(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[files]: the host's files."""

    allow_paths: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="Folders that handlers may open by path. Unset: the home folder for a "
            "user's daemon, none for the system's."
        ),
    ] = None
    min_free_bytes: Annotated[
        int,
        Meta(ge=0, description="With less room on disk, submissions and uploads are 507."),
    ] = 134217728


class Webhooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[webhooks]: where callbacks may go, and how often they are tried."""

    allow_http: Annotated[bool, Meta(description="Whether `http:` is taken besides `https:`.")] = (
        False
    )
    allow_private: Annotated[
        tuple[str, ...], Meta(description="Networks (CIDR) that are not global and may be called.")
    ] = ()
    allow_unix: Annotated[
        tuple[str, ...], Meta(description="Paths of sockets that `unix:` callbacks may name.")
    ] = ()
    timeout_s: Annotated[float, Meta(gt=0, description="Limit of one attempt.")] = 20.0
    schedule_s: Annotated[
        tuple[Annotated[float, Meta(gt=0)], ...],
        Meta(description="The waits between attempts; after the last one it is a dead letter."),
    ] = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    ops_url: Annotated[
        str, Meta(description="Where the operator is told of dead letters, a full disk, a jam.")
    ] = ""


class Principal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who of the machine's users goes by one name."""

    uids: tuple[_Id, ...] = ()
    groups: tuple[_Id | str, ...] = ()
    """Names, or gids; gids alone when the configuration has been read."""
    role: Scope = Scope.SUBMIT


class Auth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[auth]: who is who on the socket, and what they may do."""

    principals: Annotated[
        dict[_PrincipalName, Principal],
        Meta(
            description="Names for users and groups of this machine, each with a role: submit, "
            'read, operate, worker or admin; ops={groups=["adm"],role="operate"}. Root and the '
            "daemon's user are admins unless a uid here is theirs; others are uid:N and submit."
        ),
    ] = {}
    proxy_uids: Annotated[
        tuple[_Id, ...],
        Meta(description="Users of proxies, who must send a token for whom they ask for."),
    ] = ()


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[log]: the daemon's own log, on stderr."""

    level: Annotated[
        str, Meta(pattern="^(debug|info|warning|error)$", description="The least that is logged.")
    ] = "info"
    format: Annotated[
        str, Meta(pattern="^(auto|text|json)$", description="auto: text on a terminal, else json.")
    ] = "auto"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings."""

    server: Server = Server()
    store: StoreSection = StoreSection()
    jobs: Jobs = Jobs()
    pool: PoolSection = PoolSection()
    limits: Limits = Limits()
    queues: dict[_QueueName, Queue] = {}
    retention: Retention = Retention()
    files: Files = Files()
    webhooks: Webhooks = Webhooks()
    auth: Auth = Auth()
    plugins: dict[str, dict[str, Any]] = {}
    """[plugins.DISTRIBUTION]: what that plugin's handlers get as `ctx.config`, as it stands."""
    log: Log = Log()
