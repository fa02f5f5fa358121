-- name: begin_batch
-- Appends. A key that is taken fails the transaction: whoever asks has looked before.
INSERT INTO batches (
  batch_id, principal, created_at, retention_ms, retry_of, callback_url, idempotency_key,
  fingerprint
)
VALUES (
  :batch_id, :principal, :created_at, :retention_ms, :retry_of, :callback_url,
  :idempotency_key, :fingerprint
)
RETURNING seq;

-- name: add_counts
-- By rowid, in the transaction that has inserted the jobs: of inserts no trigger counts.
UPDATE batches SET
  scheduled = scheduled + :scheduled, queued = queued + :queued, written = :written
WHERE seq = :seq;

-- name: join_batch
-- By rowid: copies that this transaction has made.
UPDATE jobs SET batch_seq = :batch_seq, batch_index = copy.batch_index
FROM (
  SELECT value ->> 0 AS seq, value ->> 1 AS batch_index FROM json_each(:copies)
) AS copy
WHERE jobs.seq = copy.seq;

-- name: load_batch
-- By rowid; a batch is loaded once.
UPDATE batches SET loaded = 1, total = :total, accepted = :accepted, replayed = :replayed
WHERE seq = :seq AND loaded = 0
RETURNING seq;

-- name: load_broken_off
-- Index batches_loading: what was broken off has the jobs that are there. One with a key is
-- left for whoever sends it again, for as long as the key is kept.
UPDATE batches SET
  loaded = 1,
  total = written,
  accepted = scheduled + queued + processing + retrying + completed + failed + cancelled
WHERE loaded = 0 AND created_at <= :by AND (idempotency_key IS NULL OR created_at <= :keys_by);

-- name: add_report
-- By rowid.
INSERT INTO batch_reports (seq, job_ids, errors) VALUES (:seq, :job_ids, :errors);

-- name: drop_empty
-- By rowid: of a batch of which no line was accepted nothing stays.
DELETE FROM batches
WHERE seq = :seq AND loaded = 0
  AND scheduled + queued + processing + retrying + completed + failed + cancelled = 0;

-- name: finish_batches
-- Index batches_ended, which holds what has ended in this very transaction. A key is kept as
-- long as the batch is.
UPDATE batches SET
  finished_at = :now,
  expires_at = max(:now + retention_ms, created_at + iif(idempotency_key IS NULL, 0, :key_kept))
WHERE loaded = 1 AND finished_at IS NULL AND scheduled + queued + processing + retrying = 0
RETURNING seq, batch_id, principal, callback_url;

-- name: retire_batches
-- Index batches_expiring, the longest expired first; their jobs by index jobs_of_batch, what
-- their callbacks have not been told by index deliveries_of_job.
DELETE FROM batches WHERE seq IN (
  SELECT seq FROM batches
  WHERE expires_at <= :now
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.batch_seq = batches.seq)
    AND NOT EXISTS (
      SELECT 1 FROM deliveries
      WHERE deliveries.seq = -batches.seq AND deliveries.next_attempt_at IS NOT NULL
    )
  ORDER BY expires_at
  LIMIT :limit
)
RETURNING seq;

-- name: retire_reports
-- By rowid.
DELETE FROM batch_reports WHERE seq IN (SELECT value FROM json_each(:seqs));

-- part: batch
-- Under the names of domain.batches.Batch.
SELECT
  batches.seq, batch_id, principal, created_at AS created_at_ms, finished_at AS finished_at_ms,
  expires_at AS expires_at_ms, loaded, written, total, accepted, replayed, scheduled, queued,
  processing, retrying, completed, failed, cancelled, retry_of, callback_url, fingerprint,
  batch_reports.job_ids, batch_reports.errors
FROM batches
LEFT JOIN batch_reports ON batch_reports.seq = batches.seq AND :detail

-- name: get_batch
-- By batch_id.
{batch}
WHERE batch_id = :batch_id;

-- name: batch_by_seq
-- By rowid.
{batch}
WHERE batches.seq = :seq;

-- name: batch_of_key
-- Index batches_of_key.
{batch}
WHERE principal = :principal AND idempotency_key = :key;

-- name: list_batches
-- Index batches_of_principal, downwards from a bound.
{batch}
WHERE principal = :principal AND batches.seq < :before_seq
ORDER BY batches.seq DESC
LIMIT :limit;

-- name: list_all_batches
-- By rowid, downwards from a bound.
{batch}
WHERE batches.seq < :before_seq
ORDER BY batches.seq DESC
LIMIT :limit;

-- name: jobs_of_batch
-- Index jobs_of_batch, in its order, from behind a job on.
SELECT seq, job_id, batch_index, status FROM jobs
WHERE batch_seq = :batch_seq AND seq > :after
ORDER BY seq
LIMIT :limit;
