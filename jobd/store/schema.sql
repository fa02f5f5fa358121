-- The whole schema as the migrations leave it, to be read: nothing is made from this file.
-- A test compares the two, so a migration changes this file as well.
--
-- Times are integer milliseconds since the epoch. `jobs` is narrow and nothing in it grows:
-- SQLite rewrites the whole record at each change of status, so payloads live beside it.
-- Wide columns stand last in their table: a read of the others does not walk their pages.

CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a seq is never given twice, also when the newest jobs have been deleted.
CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  job_id TEXT NOT NULL UNIQUE,
  principal TEXT NOT NULL,
  kind TEXT NOT NULL,
  queue TEXT NOT NULL,
  lane TEXT NOT NULL CHECK (lane IN ('cpu', 'io')),
  priority INTEGER NOT NULL,
  status TEXT NOT NULL,
  run_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  expires_at INTEGER,
  start_before INTEGER,
  attempt INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  interrupted INTEGER NOT NULL DEFAULT 0,
  released INTEGER NOT NULL DEFAULT 0,
  snoozes INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL,
  timeout_ms INTEGER NOT NULL,
  retention_ms INTEGER NOT NULL,
  lease_token TEXT,
  -- the start number of the daemon that took the lease
  instance INTEGER,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  batch_seq INTEGER,
  retry_of TEXT,
  retried_as TEXT,
  -- the types of the events that the callback is told of, one bit each (domain.events)
  callback_mask INTEGER NOT NULL DEFAULT 0,
  event_id INTEGER NOT NULL,
  -- since when a queued job waits for a plugin that is not there
  parked_at INTEGER,
  -- which line of its batch it is, from 0
  batch_index INTEGER,
  CHECK ((status = 'processing') = (lease_token IS NOT NULL)),
  CHECK (status NOT IN ('scheduled', 'retrying') OR run_at IS NOT NULL)
) STRICT;

-- Jobs that are not due, or parked, are in indexes of their own: a claim would walk them here.
CREATE INDEX jobs_ready ON jobs (lane, queue, priority, seq)
WHERE status = 'queued' AND parked_at IS NULL;

CREATE INDEX jobs_parked ON jobs (parked_at) WHERE status = 'queued' AND parked_at IS NOT NULL;

CREATE INDEX jobs_parked_age ON jobs (created_at)
WHERE status = 'queued' AND parked_at IS NOT NULL;

-- The status only makes counting by it a matter of the index alone.
CREATE INDEX jobs_due ON jobs (run_at, status) WHERE status IN ('scheduled', 'retrying');

CREATE INDEX jobs_running ON jobs (queue) WHERE status = 'processing';

-- Few jobs have a deadline for their start: an index of these alone costs the others nothing.
CREATE INDEX jobs_start_before ON jobs (start_before)
WHERE status = 'queued' AND attempt = 0 AND start_before IS NOT NULL;

-- What is over, in the order in which retention takes it.
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL;

-- Appended to, as seqs only grow; a change of status leaves it as it is.
CREATE INDEX jobs_of_batch ON jobs (batch_seq) WHERE batch_seq IS NOT NULL;

-- For lists, which merge groups of jobs that lie in the order of seq. Nothing that is in
-- this one changes while a job lives: one append for each.
CREATE INDEX jobs_listed ON jobs (principal, queue, kind);

-- What neither waits for a slot nor runs: once for most jobs, when they are over.
CREATE INDEX jobs_settled ON jobs (principal, status, queue, kind)
WHERE status IN ('scheduled', 'retrying', 'completed', 'failed', 'cancelled');

CREATE INDEX jobs_parked_listed ON jobs (seq)
WHERE status = 'queued' AND parked_at IS NOT NULL;

-- The guards, as schema.py makes them of the one table of moves (domain/statuses.py).
CREATE TRIGGER jobs_guard_begin AFTER INSERT ON jobs
WHEN NOT (NEW.status = 'queued' OR NEW.status = 'scheduled')
BEGIN SELECT RAISE(ABORT, 'a job cannot begin in that status'); END;

CREATE TRIGGER jobs_guard_move AFTER UPDATE OF status ON jobs
WHEN OLD.status <> NEW.status
AND NOT (
  OLD.status = 'scheduled' AND (NEW.status = 'cancelled' OR NEW.status = 'failed' OR NEW.status = 'queued')
  OR OLD.status = 'queued' AND (NEW.status = 'cancelled' OR NEW.status = 'failed' OR NEW.status = 'processing')
  OR OLD.status = 'processing' AND (NEW.status = 'cancelled' OR NEW.status = 'completed' OR NEW.status = 'failed' OR NEW.status = 'queued' OR NEW.status = 'retrying')
  OR OLD.status = 'retrying' AND (NEW.status = 'cancelled' OR NEW.status = 'failed' OR NEW.status = 'queued')
)
BEGIN SELECT RAISE(ABORT, 'a job cannot make that move'); END;

CREATE TABLE job_inputs (
  seq INTEGER PRIMARY KEY,
  metadata TEXT NOT NULL,
  traceparent TEXT,
  callback_url TEXT,
  args BLOB NOT NULL,
  -- as the caller called its request; read only with the args, so it may stand behind them
  request_id TEXT
) STRICT;

-- The result of a completed job, or why the newest ended attempt failed.
CREATE TABLE job_results (
  seq INTEGER PRIMARY KEY,
  media_type TEXT,
  size_bytes INTEGER,
  sha256 TEXT,
  path TEXT,
  filename TEXT,
  partial INTEGER NOT NULL,
  summary TEXT,
  error TEXT,
  body BLOB
) STRICT;

-- At most one row a job, replaced by the next; its event_id is from the same sequence as
-- that of `events`, so that it can stand in an ETag.
CREATE TABLE progress (
  seq INTEGER PRIMARY KEY,
  event_id INTEGER NOT NULL,
  at INTEGER NOT NULL,
  pct REAL,
  done INTEGER,
  total INTEGER,
  step TEXT,
  step_index INTEGER,
  step_count INTEGER,
  message TEXT
) STRICT;

CREATE TABLE checkpoints (
  seq INTEGER PRIMARY KEY,
  data BLOB NOT NULL
) STRICT;

-- AUTOINCREMENT: an id that was used as Last-Event-ID never names another event.
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  seq INTEGER NOT NULL,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  data TEXT NOT NULL
) STRICT;

CREATE INDEX events_of_job ON events (seq, id);

-- Outlives its job: it holds the job_id, so that a replay can say what is gone.
-- The key leads: a look-up by it alone needs no other index.
CREATE TABLE idempotency (
  key TEXT NOT NULL,
  principal TEXT NOT NULL,
  route TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  seq INTEGER NOT NULL,
  job_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (key, principal, route)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_expiring ON idempotency (expires_at);

CREATE TABLE artifacts (
  seq INTEGER NOT NULL,
  name TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  path TEXT NOT NULL,
  media_type TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  PRIMARY KEY (seq, name, attempt)
) STRICT, WITHOUT ROWID;

-- A queue has a row once somebody has paused it or set its limit; else the settings count.
CREATE TABLE queues (
  name TEXT PRIMARY KEY,
  concurrency INTEGER CHECK (concurrency > 0),
  concurrency_set INTEGER NOT NULL DEFAULT 0,
  paused INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Webhooks: a message is one event of a job, a delivery brings it to one URL.

-- Whose secrets sign what. `default` is there from its first use: it signs the callbacks of
-- a principal's jobs. The previous secret signs too until its time is over.
CREATE TABLE endpoints (
  principal TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  secret TEXT NOT NULL,
  previous_secret TEXT,
  previous_until INTEGER,
  PRIMARY KEY (principal, name),
  CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
) STRICT, WITHOUT ROWID;

-- Receivers that are registered once, beside the callback_url of a job.
-- Few, and all of them in memory beside the writer. `events`, `kinds` and `queues` are JSON
-- lists; NULL: the three ends of a job, and all kinds and queues. The secrets stand last.
CREATE TABLE webhook_endpoints (
  endpoint_id TEXT PRIMARY KEY,
  principal TEXT NOT NULL,
  url TEXT NOT NULL,
  events TEXT,
  kinds TEXT,
  queues TEXT,
  payload TEXT NOT NULL CHECK (payload IN ('notice', 'job')),
  rate_per_s REAL,
  enabled INTEGER NOT NULL,
  paused INTEGER NOT NULL,
  description TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL,
  failing_since INTEGER,
  disabled_at INTEGER,
  disabled_reason TEXT,
  secret TEXT NOT NULL,
  previous_secret TEXT,
  previous_until INTEGER,
  CHECK ((previous_secret IS NULL) = (previous_until IS NULL))
) STRICT, WITHOUT ROWID;

-- Ids are time-ordered, so both tables are appended to. `seq` is the job's; the body is
-- rendered before the first attempt and sent byte for byte by all later ones. A message about
-- no job, or none that is left, has 0; the subject is a job or a batch.
CREATE TABLE messages (
  message_id TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  event_id INTEGER NOT NULL,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  body BLOB,
  subject TEXT,
  -- with the whole job
  job_body BLOB
) STRICT, WITHOUT ROWID;

-- To delete a job's messages with it.
CREATE INDEX messages_of_job ON messages (seq);

CREATE TABLE deliveries (
  delivery_id TEXT PRIMARY KEY,
  message_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  principal TEXT NOT NULL,
  url TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'retrying', 'succeeded', 'dead')),
  attempt_count INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  next_attempt_at INTEGER,
  dead_reason TEXT,
  -- who is dialled: an endpoint, or for a callback_url its origin or socket
  receiver TEXT NOT NULL DEFAULT '',
  endpoint_id TEXT,
  payload TEXT NOT NULL DEFAULT 'notice'
  CHECK (payload IN ('notice', 'job')),
  -- when its schedule began, and how many attempts had been made by then
  begun_at INTEGER NOT NULL DEFAULT 0,
  earlier_attempts INTEGER NOT NULL DEFAULT 0,
  ended_at INTEGER,
  CHECK ((status IN ('pending', 'retrying')) = (next_attempt_at IS NOT NULL)),
  CHECK ((status = 'dead') = (dead_reason IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- What is over is not in it, and each receiver has a part of its own: a claim looks at what
-- is due there and no more.
CREATE INDEX deliveries_due ON deliveries (receiver, next_attempt_at)
WHERE next_attempt_at IS NOT NULL;

-- Those that wait, in the order in which they become too old for another attempt.
CREATE INDEX deliveries_ageing ON deliveries (begun_at) WHERE next_attempt_at IS NOT NULL;

-- For lists, which merge the statuses; ids are in the order of time within each.
CREATE INDEX deliveries_listed ON deliveries (principal, status);
CREATE INDEX deliveries_of_all ON deliveries (status);
CREATE INDEX deliveries_of_receiver ON deliveries (receiver, status);

-- What is about no job, or none that is left: it goes by its own age.
CREATE INDEX deliveries_expiring ON deliveries (ended_at) WHERE seq = 0 AND ended_at IS NOT NULL;
CREATE INDEX deliveries_of_message ON deliveries (message_id) WHERE seq = 0;

-- To delete a job's deliveries with it, and to list them.
CREATE INDEX deliveries_of_job ON deliveries (seq);

CREATE TABLE delivery_attempts (
  delivery_id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  status_code INTEGER,
  error TEXT,
  response_headers TEXT NOT NULL,
  response_excerpt TEXT,
  PRIMARY KEY (delivery_id, attempt)
) STRICT, WITHOUT ROWID;

-- Uploads: files that principals have sent, and the jobs whose args name them.

-- A file has one row for each principal that sent it: only that principal may name it. Its
-- name is the SHA-256 of its content, so the content is on disk once.
CREATE TABLE uploads (
  file_id TEXT NOT NULL,
  principal TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (file_id, principal)
) STRICT, WITHOUT ROWID;

CREATE INDEX uploads_expiring ON uploads (expires_at);

-- Which uploads a job names, through its own principal. The file leads: whether somebody
-- needs it is asked more often than what a job needs.
CREATE TABLE job_files (
  file_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (file_id, seq)
) STRICT, WITHOUT ROWID;

-- To copy a job's references, and to delete them with it.
CREATE INDEX files_of_job ON job_files (seq);

-- Batches: jobs that were submitted together, and how many of them have which status.

-- The counts are kept by a trigger, so that no answer has to count a batch's
-- jobs, some of which may have been deleted. `written` is how many of its first lines are in
-- the file; once the last one is, it is `loaded`.
CREATE TABLE batches (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  batch_id TEXT NOT NULL UNIQUE,
  principal TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  finished_at INTEGER,
  expires_at INTEGER,
  retention_ms INTEGER NOT NULL,
  loaded INTEGER NOT NULL DEFAULT 0,
  written INTEGER NOT NULL DEFAULT 0,
  total INTEGER NOT NULL DEFAULT 0,
  accepted INTEGER NOT NULL DEFAULT 0,
  replayed INTEGER NOT NULL DEFAULT 0,
  scheduled INTEGER NOT NULL DEFAULT 0,
  queued INTEGER NOT NULL DEFAULT 0,
  processing INTEGER NOT NULL DEFAULT 0,
  retrying INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  retry_of TEXT,
  idempotency_key TEXT,
  fingerprint TEXT,
  callback_url TEXT
) STRICT;

CREATE INDEX batches_of_principal ON batches (principal, seq);

CREATE UNIQUE INDEX batches_of_key ON batches (principal, idempotency_key)
WHERE idempotency_key IS NOT NULL;

-- Those whose last job has ended in this transaction: as good as always empty.
CREATE INDEX batches_ended ON batches (loaded)
WHERE finished_at IS NULL AND scheduled + queued + processing + retrying = 0;

-- Those that are being written, or whose writing was broken off.
CREATE INDEX batches_loading ON batches (created_at) WHERE loaded = 0;

CREATE INDEX batches_expiring ON batches (expires_at) WHERE expires_at IS NOT NULL;

-- What became of the first lines, and what was wrong with them, as JSON. Beside the counts:
-- SQLite would write it again at each change of them.
CREATE TABLE batch_reports (
  seq INTEGER PRIMARY KEY,
  job_ids TEXT NOT NULL,
  errors TEXT NOT NULL
) STRICT;

-- Keeps the counts of a batch, in the transaction of each move. That a job of none moves
-- costs a comparison.
CREATE TRIGGER batches_count AFTER UPDATE OF status ON jobs
WHEN NEW.batch_seq IS NOT NULL AND OLD.status <> NEW.status
BEGIN
  UPDATE batches SET
    scheduled = scheduled - (OLD.status = 'scheduled'),
    queued = queued - (OLD.status = 'queued') + (NEW.status = 'queued'),
    processing = processing - (OLD.status = 'processing') + (NEW.status = 'processing'),
    retrying = retrying - (OLD.status = 'retrying') + (NEW.status = 'retrying'),
    completed = completed + (NEW.status = 'completed'),
    failed = failed + (NEW.status = 'failed'),
    cancelled = cancelled + (NEW.status = 'cancelled')
  WHERE seq = NEW.batch_seq;
END;

-- Tokens of principals. Of the token itself only its SHA-256 is kept. `scopes` is a JSON array
-- as it was given.
CREATE TABLE tokens (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  token_id TEXT NOT NULL UNIQUE,
  principal TEXT NOT NULL,
  digest BLOB NOT NULL,
  scopes TEXT NOT NULL,
  description TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER,
  last_used_at INTEGER
) STRICT;
