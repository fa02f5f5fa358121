-- name: put_results
-- By rowid; replaces what an earlier attempt left. Only for jobs that the transaction moved.
-- What is not there comes as '': a None costs more to bind than three other values.
INSERT OR REPLACE INTO job_results (
  seq, media_type, size_bytes, sha256, path, filename, partial, summary, error, body
)
VALUES (
  ?, nullif(?, ''), nullif(?, ''), nullif(?, ''), nullif(?, ''), nullif(?, ''), ?,
  nullif(?, ''), nullif(?, ''), CAST(nullif(?, '') AS BLOB)
);

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
