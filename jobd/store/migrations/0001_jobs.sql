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
  CHECK ((status = 'processing') = (lease_token IS NOT NULL)),
  CHECK (status NOT IN ('scheduled', 'retrying') OR run_at IS NOT NULL)
) STRICT;

-- Jobs that are not due are in an index of their own: inside this one a claim would walk them.
CREATE INDEX jobs_ready ON jobs (lane, queue, priority, seq) WHERE status = 'queued';

-- The status only makes counting by it a matter of the index alone.
CREATE INDEX jobs_due ON jobs (run_at, status) WHERE status IN ('scheduled', 'retrying');

CREATE INDEX jobs_running ON jobs (queue) WHERE status = 'processing';

CREATE TABLE job_inputs (
  seq INTEGER PRIMARY KEY,
  metadata TEXT NOT NULL,
  traceparent TEXT,
  callback_url TEXT,
  args BLOB NOT NULL
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
