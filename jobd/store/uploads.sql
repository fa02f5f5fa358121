-- name: add_uploads
-- By primary key; the same content sent again by the same principal is the same upload.
INSERT INTO uploads (file_id, principal, size_bytes, created_at, expires_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
FROM json_each(:uploads)
WHERE true
ON CONFLICT (file_id, principal) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)
RETURNING file_id, principal, size_bytes, created_at, expires_at;

-- name: remove_uploads
-- By primary key. Whether a job needs it is looked up here, in the statement that removes
-- it: a submission that names it is before this or finds it gone.
DELETE FROM uploads
WHERE (file_id, principal) IN (SELECT value ->> 0, value ->> 1 FROM json_each(:asked))
  AND NOT EXISTS (
    SELECT 1 FROM job_files CROSS JOIN jobs ON jobs.seq = job_files.seq
    WHERE job_files.file_id = uploads.file_id
      AND jobs.principal = uploads.principal
      AND jobs.status NOT IN ('completed', 'failed', 'cancelled')
  )
RETURNING file_id, principal;

-- name: retire_uploads
-- By primary key. The time and the jobs that name it are looked at here, in the statement
-- that removes it: it may have been sent or named again since it was found to have expired.
DELETE FROM uploads
WHERE (file_id, principal) IN (SELECT value ->> 0, value ->> 1 FROM json_each(:asked))
  AND expires_at <= :now
  AND NOT EXISTS (
    SELECT 1 FROM job_files CROSS JOIN jobs ON jobs.seq = job_files.seq
    WHERE job_files.file_id = uploads.file_id AND jobs.principal = uploads.principal
  )
RETURNING file_id, principal;

-- name: keep_uploads
-- By primary key: those that jobs name live on as long as the newest of these, for which the
-- head of the key of job_files is walked from its end.
UPDATE uploads SET expires_at = max(
  :at_least,
  coalesce(
    (
      SELECT jobs.expires_at FROM job_files CROSS JOIN jobs ON jobs.seq = job_files.seq
      WHERE job_files.file_id = uploads.file_id AND jobs.principal = uploads.principal
      ORDER BY job_files.seq DESC
      LIMIT 1
    ),
    :unknown
  )
)
WHERE (file_id, principal) IN (SELECT value ->> 0, value ->> 1 FROM json_each(:asked))
  AND expires_at <= :now;

-- name: claims_to
-- Who claims these files now. By the head of the primary key.
SELECT file_id, principal FROM uploads
WHERE file_id IN (SELECT value ->> 0 FROM json_each(:asked));

-- name: files_missing
-- What is named and not the namer's. By primary key, in the transaction of the submission.
SELECT named.value ->> 0, named.value ->> 2 FROM json_each(:named) AS named
WHERE NOT EXISTS (
  SELECT 1 FROM uploads
  WHERE uploads.file_id = named.value ->> 2 AND uploads.principal = named.value ->> 1
);

-- name: add_references
-- By primary key, in the transaction of the job.
INSERT INTO job_files (file_id, seq) SELECT value ->> 0, value ->> 1 FROM json_each(:files);
