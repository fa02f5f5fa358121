-- Queues, and the indexes behind deadlines and retention.

-- A queue has a row once somebody has paused it or set its limit; else the settings count.
CREATE TABLE queues (
  name TEXT PRIMARY KEY,
  concurrency INTEGER CHECK (concurrency > 0),
  concurrency_set INTEGER NOT NULL DEFAULT 0,
  paused INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Since when a queued job waits for a plugin that is not there; such a job is out of the
-- index of the claims, which would walk over it again and again.
ALTER TABLE jobs ADD COLUMN parked_at INTEGER;

DROP INDEX jobs_ready;

CREATE INDEX jobs_ready ON jobs (lane, queue, priority, seq)
WHERE status = 'queued' AND parked_at IS NULL;

CREATE INDEX jobs_parked ON jobs (parked_at) WHERE status = 'queued' AND parked_at IS NOT NULL;

CREATE INDEX jobs_parked_age ON jobs (created_at)
WHERE status = 'queued' AND parked_at IS NOT NULL;

-- Few jobs have a deadline for their start: an index of these alone costs the others nothing.
CREATE INDEX jobs_start_before ON jobs (start_before)
WHERE status = 'queued' AND attempt = 0 AND start_before IS NOT NULL;

-- What is over, in the order in which retention takes it.
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX idempotency_expiring ON idempotency (expires_at);

CREATE INDEX uploads_expiring ON uploads (expires_at);
