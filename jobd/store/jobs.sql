-- name: take_keys
-- Gives each key to the first who names it; a key is free again when it has expired and its
-- job is gone. By primary key, jobs by rowid. The same key twice in one batch: the second
-- finds the first's row, which has not expired. A key that is not returned belongs to another.
INSERT INTO idempotency (key, principal, route, fingerprint, seq, job_id, expires_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
FROM json_each(:keys)
WHERE true
ON CONFLICT (key, principal, route) DO UPDATE SET
  fingerprint = excluded.fingerprint,
  seq = excluded.seq,
  job_id = excluded.job_id,
  expires_at = excluded.expires_at
WHERE idempotency.expires_at <= :now
  AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.seq = idempotency.seq)
RETURNING seq;

-- name: give_back_keys
-- Undoes the taking of keys for jobs that are not inserted. By primary key, in the
-- transaction that took them.
DELETE FROM idempotency
WHERE (key, principal, route) IN (
  SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:keys)
);

-- name: owners_of_keys
-- Whose the taken keys are, in the transaction that found them taken. By primary key, jobs
-- by rowid; no event_id means that the job is gone.
SELECT
  asked.value ->> 4, idempotency.fingerprint, idempotency.job_id, idempotency.seq, jobs.event_id
FROM json_each(:keys) AS asked
CROSS JOIN idempotency
  ON idempotency.key = asked.value ->> 0
  AND idempotency.principal = asked.value ->> 1
  AND idempotency.route = asked.value ->> 2
LEFT JOIN jobs ON jobs.seq = idempotency.seq;

-- name: add_jobs
-- Appends to the table and, as ids are time-ordered, to the index on job_id. What is not
-- there comes as '': a None costs more to bind than three other values.
INSERT INTO jobs (
  seq, job_id, principal, kind, queue, lane, priority, status, run_at, created_at, updated_at,
  start_before, max_attempts, timeout_ms, retention_ms, retry_of, callback_mask, event_id,
  batch_seq, batch_index
)
VALUES (
  ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), ?, ?, nullif(?, ''), ?, ?, ?, nullif(?, ''), ?, ?,
  nullif(?, ''), nullif(?, '')
);

-- name: add_inputs
-- By rowid, in the transaction of its job.
INSERT INTO job_inputs (seq, metadata, traceparent, callback_url, request_id, args)
VALUES (?, ?, nullif(?, ''), nullif(?, ''), nullif(?, ''), CAST(? AS BLOB));

-- part: fence
-- Settles are by rowid, and fenced by token and status, so that a worker that overslept
-- cannot write over its successor.
jobs.seq = ended.seq AND jobs.lease_token = ended.token AND jobs.status = 'processing'

-- name: complete
-- Ends attempts whose handlers returned. A cancel that was committed after the outcome had
-- been decided does not win: the result is there.
UPDATE jobs SET
  status = 'completed',
  updated_at = :now,
  finished_at = :now,
  expires_at = :now + retention_ms,
  lease_token = NULL,
  instance = NULL,
  event_id = ended.event_id
FROM (
  SELECT value ->> 0 AS seq, value ->> 1 AS token, value ->> 2 AS event_id
  FROM json_each(:moves)
) AS ended
WHERE {fence};

-- name: settle
-- Ends attempts in whatever way. A cancel that was committed after the outcome had been
-- decided wins here: the job must not run again. Nothing is due later than the end of the
-- job's age, at which it is failed.
UPDATE jobs SET
  status = iif(jobs.cancel_requested AND ended.again, 'cancelled', ended.status),
  run_at = iif(
    ended.delay_ms IS NULL OR jobs.cancel_requested,
    run_at,
    max(:now, min(:now + ended.delay_ms, created_at + :max_age))
  ),
  updated_at = :now,
  finished_at = iif(ended.again AND NOT jobs.cancel_requested, NULL, :now),
  expires_at = iif(ended.again AND NOT jobs.cancel_requested, NULL, :now + retention_ms),
  attempt = attempt + ended.attempt_delta,
  failures = failures + ended.failures_delta,
  crashes = crashes + ended.crashes_delta,
  interrupted = interrupted + ended.interrupted_delta,
  released = released + ended.released_delta,
  snoozes = snoozes + ended.snoozes_delta,
  lease_token = NULL,
  instance = NULL,
  event_id = ended.event_id
FROM (
  SELECT
    value ->> 0 AS seq, value ->> 1 AS token, value ->> 2 AS status, value ->> 3 AS again,
    value ->> 4 AS delay_ms, value ->> 5 AS event_id, value ->> 6 AS attempt_delta,
    value ->> 7 AS failures_delta, value ->> 8 AS crashes_delta,
    value ->> 9 AS interrupted_delta, value ->> 10 AS released_delta,
    value ->> 11 AS snoozes_delta
  FROM json_each(:ended)
) AS ended
WHERE {fence}
RETURNING
  event_id, seq, job_id, status, lane, queue, attempt, run_at, expires_at, failures, crashes,
  interrupted, released, snoozes, callback_mask, principal;
