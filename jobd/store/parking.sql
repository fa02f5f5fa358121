-- name: head
-- The first jobs of a queue, as index jobs_ready has them, with what decides whether they can
-- run; the rows by rowid. Bounded, and run only when a claim met one that cannot.
SELECT seq, kind, created_at, start_before, attempt FROM jobs
WHERE status = 'queued' AND parked_at IS NULL AND lane = :lane AND queue = :queue
ORDER BY priority, seq
LIMIT :limit;

-- name: park
-- By rowid. Takes jobs out of the index of the claims; nobody else writes between the look
-- and this.
UPDATE jobs SET parked_at = :now
WHERE seq IN (SELECT value FROM json_each(:seqs)) AND status = 'queued' AND parked_at IS NULL;

-- name: move
-- By rowid. Puts jobs into the lane of their kind, where a claim finds them; a job that was
-- cancelled or failed meanwhile is not queued any more.
UPDATE jobs SET lane = asked.lane, parked_at = NULL
FROM (SELECT value ->> 0 AS seq, value ->> 1 AS lane FROM json_each(:moves)) AS asked
WHERE jobs.seq = asked.seq AND jobs.status = 'queued'
RETURNING jobs.seq, principal, jobs.lane, queue;

-- name: parked
-- Index jobs_parked, in its order from where the last page ended: jobs that stay parked are
-- walked once for each new catalogue, not once for each page.
SELECT parked_at, seq, kind, lane FROM jobs
WHERE status = 'queued' AND parked_at >= :at AND (parked_at > :at OR seq > :seq)
ORDER BY parked_at, seq
LIMIT :limit;
