-- name: begin_snapshot
-- By primary key: a read transaction sees what is committed at its first read, and no more.
SELECT value FROM meta WHERE key = 'catalog';

-- name: tally
-- Walks the entries of the four partial indexes that hold the jobs that are not done, and
-- their rows for the principal; the ranges name all there is, so that no plan falls back to
-- the table. Once a start, on a reader.
SELECT status, principal, lane, queue, count(*) AS jobs FROM jobs
WHERE status = 'queued' AND parked_at IS NULL AND lane IN ('cpu', 'io')
GROUP BY principal, lane, queue
UNION ALL
SELECT status, principal, lane, queue, count(*) FROM jobs
WHERE status = 'queued' AND parked_at >= 0
GROUP BY principal, lane, queue
UNION ALL
SELECT status, principal, lane, queue, count(*) FROM jobs
WHERE status = 'processing' AND queue >= ''
GROUP BY principal, lane, queue
UNION ALL
SELECT status, principal, lane, queue, count(*) FROM jobs
WHERE status IN ('scheduled', 'retrying') AND run_at >= 0
GROUP BY status, principal, lane, queue;

-- name: finished
-- The entries of index jobs_expiring: jobs that are over have a time at which they expire.
SELECT count(*) AS jobs FROM jobs WHERE expires_at >= 0;
