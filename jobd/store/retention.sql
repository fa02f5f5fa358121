-- name: expiring
-- Jobs that are over, the first to expire first, from behind a place on. Index
-- jobs_expiring, in its order; unsettled deliveries by index deliveries_of_job.
SELECT
  seq, job_id, expires_at,
  EXISTS (
    SELECT 1 FROM deliveries
    WHERE deliveries.seq = jobs.seq AND deliveries.next_attempt_at IS NOT NULL
  )
FROM jobs
WHERE expires_at IS NOT NULL AND (expires_at, seq) > (:after_ms, :after_seq)
ORDER BY expires_at, seq
LIMIT :limit;

-- name: retire_jobs
-- By rowid. Chosen by a reader a moment ago: it may have been deleted since, or somebody may
-- have had its messages delivered once more.
DELETE FROM jobs
WHERE seq IN (SELECT value FROM json_each(:seqs))
  AND status IN ('completed', 'failed', 'cancelled')
  AND NOT EXISTS (
    SELECT 1 FROM deliveries
    WHERE deliveries.seq = jobs.seq AND deliveries.next_attempt_at IS NOT NULL
  )
RETURNING job_id, seq, principal, lane, queue, status;

-- name: expired_keys
-- The longest expired. Index idempotency_expiring, in its order; their jobs by rowid.
SELECT
  idempotency.key, idempotency.principal, idempotency.route, jobs.seq IS NOT NULL,
  jobs.expires_at
FROM idempotency
LEFT JOIN jobs ON jobs.seq = idempotency.seq
WHERE idempotency.expires_at <= :now
ORDER BY idempotency.expires_at
LIMIT :limit;

-- name: retire_keys
-- By primary key, in the transaction that found their jobs gone.
DELETE FROM idempotency
WHERE (key, principal, route) IN (
  SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:keys)
);

-- name: keep_keys
-- By primary key: out of the way until their jobs go, or each look would walk over them.
UPDATE idempotency SET expires_at = kept.expires_at
FROM (
  SELECT
    value ->> 0 AS key, value ->> 1 AS principal, value ->> 2 AS route,
    value ->> 3 AS expires_at
  FROM json_each(:keys)
) AS kept
WHERE idempotency.key = kept.key
  AND idempotency.principal = kept.principal
  AND idempotency.route = kept.route;

-- name: expired_uploads
-- The longest expired. Index uploads_expiring, in its order.
SELECT file_id, principal FROM uploads
WHERE expires_at <= :now
ORDER BY expires_at
LIMIT :limit;

-- name: next_expiry
-- The first entry of each index idempotency_expiring, uploads_expiring, deliveries_expiring.
SELECT
  (SELECT min(expires_at) FROM idempotency),
  (SELECT min(expires_at) FROM uploads),
  (
    SELECT min(ended_at) FROM deliveries INDEXED BY deliveries_expiring
    WHERE seq = 0 AND ended_at IS NOT NULL
  );
