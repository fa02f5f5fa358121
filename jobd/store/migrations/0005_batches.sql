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

ALTER TABLE jobs ADD COLUMN batch_index INTEGER;

-- Appended to, as seqs only grow; a change of status leaves it as it is.
CREATE INDEX jobs_of_batch ON jobs (batch_seq) WHERE batch_seq IS NOT NULL;

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
