-- name: mark_retried
-- By job_id. Status, the earlier retry and the uploads are looked at in the statement that
-- gives the job away, so that of two who ask one gets it.
UPDATE jobs SET retried_as = asked.new_id, updated_at = :now, event_id = asked.event_id
FROM (
  SELECT value ->> 0 AS job_id, value ->> 1 AS new_id, value ->> 2 AS event_id
  FROM json_each(:asked)
) AS asked
WHERE jobs.job_id = asked.job_id
  AND jobs.status IN ('failed', 'cancelled')
  AND jobs.retried_as IS NULL
  AND NOT EXISTS (
    SELECT 1 FROM job_files WHERE job_files.seq = jobs.seq AND NOT EXISTS (
      SELECT 1 FROM uploads
      WHERE uploads.file_id = job_files.file_id AND uploads.principal = jobs.principal
    )
  )
RETURNING retried_as, seq;

-- name: copy_jobs
-- Appends; the originals by rowid. A deadline for the start that is over is not copied: the
-- copy could never meet it.
INSERT INTO jobs (
  seq, job_id, principal, kind, queue, lane, priority, status, created_at, updated_at,
  start_before, max_attempts, timeout_ms, retention_ms, retry_of, callback_mask, event_id
)
SELECT
  copy.value ->> 0, copy.value ->> 2, old.principal, old.kind, old.queue, old.lane,
  old.priority, 'queued', :now, :now, iif(old.start_before > :now, old.start_before, NULL),
  old.max_attempts, old.timeout_ms, old.retention_ms, old.job_id, old.callback_mask,
  copy.value ->> 3
FROM json_each(:copies) AS copy
CROSS JOIN jobs AS old ON old.seq = copy.value ->> 1
RETURNING event_id, seq, job_id, principal, lane, queue, start_before, callback_mask;

-- name: copy_inputs
-- By rowid; returns what was written, for it may be large.
INSERT INTO job_inputs (seq, metadata, traceparent, callback_url, args)
SELECT copy.value ->> 0, metadata, traceparent, callback_url, args
FROM json_each(:copies) AS copy
CROSS JOIN job_inputs ON job_inputs.seq = copy.value ->> 1
RETURNING length(args);

-- name: copy_references
-- Index files_of_job.
INSERT INTO job_files (file_id, seq)
SELECT file_id, copy.value ->> 0
FROM json_each(:copies) AS copy
CROSS JOIN job_files ON job_files.seq = copy.value ->> 1;

-- name: unchanged
-- Why these are not changed. By job_id, in the transaction that leaves them as they are.
SELECT job_id, status, retried_as, principal FROM jobs
WHERE job_id IN (SELECT value FROM json_each(:job_ids));

-- name: delete_jobs
-- By job_id; the status is looked at in the statement that deletes.
DELETE FROM jobs
WHERE job_id IN (SELECT value FROM json_each(:job_ids))
  AND status IN ('completed', 'failed', 'cancelled')
RETURNING job_id, seq, principal, lane, queue, status;

-- name: drop_inputs
-- By rowid.
DELETE FROM job_inputs WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: drop_results
-- By rowid.
DELETE FROM job_results WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: drop_events
-- Index events_of_job.
DELETE FROM events WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: drop_artifacts
-- By the head of the primary key.
DELETE FROM artifacts WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: drop_references
-- Index files_of_job.
DELETE FROM job_files WHERE seq IN (SELECT value FROM json_each(:seqs));
