-- Webhook endpoints: receivers that are registered once, beside the callback_url of a job.

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

-- What the message is about, a job or a batch; NULL for one that is about none. A message
-- with the whole job has a body of its own.
ALTER TABLE messages ADD COLUMN subject TEXT;
ALTER TABLE messages ADD COLUMN job_body BLOB;

-- Who is dialled: an endpoint, or for a callback_url its origin or socket.
ALTER TABLE deliveries ADD COLUMN receiver TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN endpoint_id TEXT;
ALTER TABLE deliveries ADD COLUMN payload TEXT NOT NULL DEFAULT 'notice'
  CHECK (payload IN ('notice', 'job'));
-- When its schedule began, and how many attempts were made by then: those before the last
-- time that somebody had it delivered once more.
ALTER TABLE deliveries ADD COLUMN begun_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN earlier_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN ended_at INTEGER;

UPDATE deliveries SET
  begun_at = created_at,
  ended_at = iif(next_attempt_at IS NULL, created_at, NULL),
  receiver = CASE
    WHEN url LIKE 'unix:%' THEN substr(url, 6, instr(substr(url, 6), ':') - 1)
    ELSE lower(
      substr(url, 1, instr(url, '://') + 2)
      || substr(
        substr(url, instr(url, '://') + 3), 1,
        instr(replace(substr(url, instr(url, '://') + 3), '?', '/') || '/', '/') - 1
      )
    )
  END;

UPDATE messages SET subject = (SELECT job_id FROM jobs WHERE jobs.seq = messages.seq);

-- What is over is not in it, and each receiver has a part of its own: a claim looks at what
-- is due there and no more.
DROP INDEX deliveries_due;
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
