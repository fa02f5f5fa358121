-- name: pick
-- The most urgent jobs of one queue, then the oldest, with what a worker needs. Index
-- jobs_ready, in its order: a backlog is not walked. The lease follows in this transaction,
-- and nobody else writes.
SELECT
  jobs.created_at, jobs.start_before, jobs.attempt, jobs.kind, jobs.seq, jobs.job_id,
  jobs.max_attempts, jobs.timeout_ms, jobs.failures, jobs.crashes, jobs.interrupted,
  jobs.released, jobs.snoozes, job_inputs.args, job_inputs.metadata, job_inputs.traceparent,
  checkpoints.data, jobs.principal, jobs.callback_mask, jobs.retention_ms
FROM jobs
CROSS JOIN job_inputs ON job_inputs.seq = jobs.seq
LEFT JOIN checkpoints ON checkpoints.seq = jobs.seq
WHERE jobs.status = 'queued' AND jobs.parked_at IS NULL
  AND jobs.lane = :lane AND jobs.queue = :queue
ORDER BY jobs.priority, jobs.seq
LIMIT :wanted;

-- name: lease
-- The only way to `processing`. By rowid; the status is looked at again, so that a job has
-- one lease whatever picked it.
UPDATE jobs SET
  status = 'processing',
  attempt = attempt + 1,
  lease_token = leased.token,
  instance = :instance,
  started_at = :now,
  updated_at = :now,
  event_id = leased.event_id
FROM (
  SELECT value ->> 0 AS seq, value ->> 1 AS token, value ->> 2 AS event_id
  FROM json_each(:moves)
) AS leased
WHERE jobs.seq = leased.seq AND jobs.status = 'queued';
