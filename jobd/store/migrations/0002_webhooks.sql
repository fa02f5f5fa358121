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

-- Ids are time-ordered, so both tables are appended to. `seq` is the job's; the body is
-- rendered before the first attempt and sent byte for byte by all later ones.
CREATE TABLE messages (
  message_id TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  event_id INTEGER NOT NULL,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  body BLOB
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
  CHECK ((status IN ('pending', 'retrying')) = (next_attempt_at IS NOT NULL)),
  CHECK ((status = 'dead') = (dead_reason IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- What is over is not in it: a claim looks at what is due and no more.
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

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
