-- name: asked
-- What a cancel finds. By job_id; the cancel follows in this transaction.
SELECT job_id, seq, status, lease_token, principal, lane, queue FROM jobs
WHERE job_id IN (SELECT value FROM json_each(:job_ids));

-- name: cancel
-- By job_id. One statement for every status, so that a cancel cannot fall between a claim
-- and a settle: a job that waits is cancelled, a running one is marked once.
UPDATE jobs SET
  status = iif(jobs.status = 'processing', jobs.status, 'cancelled'),
  cancel_requested = 1,
  updated_at = :now,
  finished_at = iif(jobs.status = 'processing', finished_at, :now),
  expires_at = iif(jobs.status = 'processing', expires_at, :now + retention_ms),
  event_id = asked.event_id
FROM (SELECT value ->> 0 AS job_id, value ->> 1 AS event_id FROM json_each(:asked)) AS asked
WHERE jobs.job_id = asked.job_id
  AND jobs.status IN ('scheduled', 'queued', 'retrying', 'processing')
  AND jobs.cancel_requested = 0
RETURNING event_id, seq, job_id, status, attempt, expires_at, callback_mask;

-- name: due
-- Index jobs_due, from the longest overdue; the move follows in this transaction.
SELECT seq, status, created_at, start_before, attempt FROM jobs
WHERE status IN ('scheduled', 'retrying') AND run_at <= :now
ORDER BY run_at
LIMIT :limit;

-- name: promote
-- By rowid.
UPDATE jobs SET status = 'queued', updated_at = :now, event_id = due.event_id
FROM (SELECT value ->> 0 AS seq, value ->> 1 AS event_id FROM json_each(:due)) AS due
WHERE jobs.seq = due.seq AND jobs.status IN ('scheduled', 'retrying')
RETURNING event_id, seq, job_id, principal, attempt, lane, queue, callback_mask;

-- name: next_due
-- The first entry of index jobs_due.
SELECT min(run_at) FROM jobs WHERE status IN ('scheduled', 'retrying');

-- name: orphans
-- Index jobs_running: leases that an older start of the daemon has taken.
SELECT seq FROM jobs WHERE status = 'processing' AND queue >= '' AND instance <> :instance;

-- name: recover
-- By rowid; not fenced by token, for whoever held it is dead.
UPDATE jobs SET
  status = CASE
    WHEN cancel_requested THEN 'cancelled'
    WHEN interrupted >= :most THEN 'failed'
    ELSE 'queued'
  END,
  interrupted = interrupted + 1,
  updated_at = :now,
  finished_at = iif(cancel_requested OR interrupted >= :most, :now, NULL),
  expires_at = iif(cancel_requested OR interrupted >= :most, :now + retention_ms, NULL),
  lease_token = NULL,
  instance = NULL,
  event_id = orphans.event_id
FROM (SELECT value ->> 0 AS seq, value ->> 1 AS event_id FROM json_each(:orphans)) AS orphans
WHERE jobs.seq = orphans.seq AND jobs.status = 'processing'
RETURNING
  event_id, seq, job_id, status, attempt, principal, lane, queue, interrupted, expires_at,
  callback_mask;
