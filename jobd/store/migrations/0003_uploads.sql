-- Uploads: files that principals have sent, and the jobs whose args name them.

-- A file has one row for each principal that sent it: only that principal may name it. Its
-- name is the SHA-256 of its content, so the content is on disk once.
CREATE TABLE uploads (
  file_id TEXT NOT NULL,
  principal TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (file_id, principal)
) STRICT, WITHOUT ROWID;

-- Which uploads a job names, through its own principal. The file leads: whether somebody
-- needs it is asked more often than what a job needs.
CREATE TABLE job_files (
  file_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (file_id, seq)
) STRICT, WITHOUT ROWID;

-- To copy a job's references, and to delete them with it.
CREATE INDEX files_of_job ON job_files (seq);
