-- name: put_results
-- By rowid; replaces what an earlier attempt left. Only for jobs that the transaction moved.
INSERT OR REPLACE INTO job_results (
  seq, media_type, size_bytes, sha256, path, filename, partial, summary, error, body
)
SELECT
  value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
  value ->> 7, value ->> 8, CAST(value ->> 9 AS BLOB)
FROM json_each(:results);

-- name: put_large_result
-- The same for a body that is cheaper to bind than to pass through JSON.
INSERT OR REPLACE INTO job_results (
  seq, media_type, size_bytes, sha256, path, filename, partial, summary, error, body
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_artifacts
-- By primary key; two files of one name in one attempt would be one file on disk.
INSERT OR REPLACE INTO artifacts (seq, name, attempt, path, media_type, size_bytes, sha256)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
FROM json_each(:artifacts);

-- name: drop_progress
-- By rowid: the attempt is over.
DELETE FROM progress WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: drop_checkpoints
-- By rowid: no later attempt will resume.
DELETE FROM checkpoints WHERE seq IN (SELECT value FROM json_each(:seqs));
