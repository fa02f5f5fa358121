-- name: fail
-- By rowid. Only in the status that the job was found in: of a claim, a cancel and a deadline
-- in one transaction the first wins.
UPDATE jobs SET
  status = 'failed',
  updated_at = :now,
  finished_at = :now,
  expires_at = :now + retention_ms,
  event_id = doomed.event_id
FROM (
  SELECT value ->> 0 AS event_id, value ->> 1 AS seq, value ->> 2 AS status
  FROM json_each(:doomed)
) AS doomed
WHERE jobs.seq = doomed.seq
  AND jobs.status = doomed.status
  AND jobs.status IN ('scheduled', 'queued', 'retrying')
RETURNING
  event_id, seq, job_id, kind, principal, lane, queue, attempt, expires_at, callback_mask;

-- name: next_head
-- One step of a loose scan over index jobs_ready: the first job of the next lane, queue and
-- priority. With > and the last one's priority SQLite would walk all of its jobs.
SELECT lane, queue, priority, created_at FROM jobs
WHERE status = 'queued' AND parked_at IS NULL
  AND (lane, queue, priority) >= (:lane, :queue, :from_priority)
ORDER BY lane, queue, priority, seq
LIMIT 1;

-- name: old_queued
-- What is too old among the first jobs of one lane, queue and priority. Index jobs_ready, in
-- its order; as created_at grows with seq, but for a clock that was set back, the overdue
-- ones are the first, and no more than :limit are looked at.
SELECT seq FROM (
  SELECT seq, created_at FROM jobs
  WHERE status = 'queued' AND parked_at IS NULL
    AND lane = :lane AND queue = :queue AND priority = :priority
  ORDER BY seq
  LIMIT :limit
)
WHERE created_at <= :born_by;

-- name: old_parked
-- The same among parked jobs. Index jobs_parked_age, from the oldest.
SELECT seq FROM jobs
WHERE status = 'queued' AND parked_at IS NOT NULL AND created_at <= :born_by
ORDER BY created_at
LIMIT :limit;

-- name: long_parked
-- Index jobs_parked, from the longest parked.
SELECT seq FROM jobs
WHERE status = 'queued' AND parked_at IS NOT NULL AND parked_at <= :parked_by
ORDER BY parked_at
LIMIT :limit;

-- name: not_started
-- Index jobs_start_before, from the longest overdue.
SELECT seq FROM jobs
WHERE status = 'queued' AND attempt = 0 AND start_before IS NOT NULL AND start_before <= :now
ORDER BY start_before
LIMIT :limit;

-- name: next_deadlines
-- The first entries of the indexes jobs_start_before, jobs_parked and jobs_parked_age.
SELECT
  (
    SELECT min(start_before) FROM jobs
    WHERE status = 'queued' AND attempt = 0 AND start_before IS NOT NULL
  ),
  (SELECT min(parked_at) FROM jobs WHERE status = 'queued' AND parked_at IS NOT NULL),
  (SELECT min(created_at) FROM jobs WHERE status = 'queued' AND parked_at IS NOT NULL);
