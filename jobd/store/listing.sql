-- part: asked
-- What a list may ask for besides what its index is of. The row is looked up only for what
-- is asked for.
jobs.seq BETWEEN :from_seq AND :to_seq
  AND (:kind IS NULL OR jobs.kind = :kind)
  AND (:queue IS NULL OR jobs.queue = :queue)
  AND (:principal IS NULL OR jobs.principal = :principal)
  AND (:created_after IS NULL OR jobs.created_at > :created_after)
  AND (:created_before IS NULL OR jobs.created_at < :created_before)

-- part: born
-- When jobs of a group were made, which is in no index.
seq BETWEEN :from_seq AND :to_seq
  AND (:created_after IS NULL OR created_at > :created_after)
  AND (:created_before IS NULL OR created_at < :created_before)

-- part: with_status
-- For lists of few jobs, of which any status may be wanted.
(:statuses IS NULL OR jobs.status IN (SELECT value FROM json_each(:statuses)))

-- name: bounds
-- The first and the last rowid; no jobs, no bounds.
SELECT (SELECT min(seq) FROM jobs), (SELECT max(seq) FROM jobs);

-- name: samples
-- When the jobs at these places, or the next behind them, were made. By rowid.
SELECT
  value,
  (SELECT created_at FROM jobs WHERE jobs.seq >= value ORDER BY jobs.seq LIMIT 1)
FROM json_each(:seqs);

-- name: next_group
-- The group behind another: of its queue, else of its principal, else at all. Index jobs_listed,
-- one entry of each. Not as (principal, queue, kind) > (…): SQLite begins that at the group
-- itself and walks through all of it.
SELECT * FROM (
  SELECT principal, queue, kind FROM jobs
  WHERE principal = :principal AND queue = :queue AND kind > :kind
  ORDER BY kind
  LIMIT 1
)
UNION ALL
SELECT * FROM (
  SELECT principal, queue, kind FROM jobs
  WHERE principal = :principal AND queue > :queue
  ORDER BY queue, kind
  LIMIT 1
)
UNION ALL
SELECT * FROM (
  SELECT principal, queue, kind FROM jobs
  WHERE principal > :principal
  ORDER BY principal, queue, kind
  LIMIT 1
)
LIMIT 1;

-- name: of_group
-- Index jobs_listed, downwards.
SELECT seq FROM jobs
WHERE principal = :principal AND queue = :queue AND kind = :kind
  AND {born}
ORDER BY seq DESC
LIMIT :limit;

-- name: of_group_floor
-- How far down so many entries of index jobs_listed reach.
SELECT seq FROM jobs INDEXED BY jobs_listed
WHERE principal = :principal AND queue = :queue AND kind = :kind
  AND seq BETWEEN :from_seq AND :to_seq
ORDER BY seq DESC
LIMIT 1 OFFSET :visited;

-- name: queued_of_group
-- Index jobs_listed, downwards; the status by the row.
SELECT seq FROM jobs INDEXED BY jobs_listed
WHERE principal = :principal AND queue = :queue AND kind = :kind AND status = 'queued'
  AND {born}
ORDER BY seq DESC
LIMIT :limit;

-- name: settled_of_group
-- Index jobs_settled, downwards.
SELECT seq FROM jobs
WHERE status IN ('scheduled', 'retrying', 'completed', 'failed', 'cancelled')
  AND principal = :principal AND status = :status AND queue = :queue AND kind = :kind
  AND {born}
ORDER BY seq DESC
LIMIT :limit;

-- name: next_ready
-- The jobs of one lane, queue and priority behind those of another, found as `next_group` is.
-- Index jobs_ready, one entry of each.
SELECT * FROM (
  SELECT lane, queue, priority FROM jobs
  WHERE status = 'queued' AND parked_at IS NULL
    AND lane = :lane AND queue = :queue AND priority > :priority
  ORDER BY priority
  LIMIT 1
)
UNION ALL
SELECT * FROM (
  SELECT lane, queue, priority FROM jobs
  WHERE status = 'queued' AND parked_at IS NULL AND lane = :lane AND queue > :queue
  ORDER BY queue, priority
  LIMIT 1
)
UNION ALL
SELECT * FROM (
  SELECT lane, queue, priority FROM jobs
  WHERE status = 'queued' AND parked_at IS NULL AND lane > :lane
  ORDER BY lane, queue, priority
  LIMIT 1
)
LIMIT 1;

-- name: ready
-- Index jobs_ready, downwards; kind and principal by the row.
SELECT seq FROM jobs
WHERE status = 'queued' AND parked_at IS NULL
  AND lane = :lane AND jobs.queue = :of_queue AND priority = :priority
  AND {asked}
ORDER BY seq DESC
LIMIT :limit;

-- name: ready_floor
-- How far down so many entries of index jobs_ready reach.
SELECT seq FROM jobs
WHERE status = 'queued' AND parked_at IS NULL
  AND lane = :lane AND queue = :of_queue AND priority = :priority
  AND seq BETWEEN :from_seq AND :to_seq
ORDER BY seq DESC
LIMIT 1 OFFSET :visited;

-- name: parked
-- Index jobs_parked_listed, downwards; the rest by the row.
SELECT seq FROM jobs INDEXED BY jobs_parked_listed
WHERE status = 'queued' AND parked_at IS NOT NULL
  AND {asked}
ORDER BY seq DESC
LIMIT :limit;

-- name: parked_floor
-- How far down so many entries of index jobs_parked_listed reach.
SELECT seq FROM jobs INDEXED BY jobs_parked_listed
WHERE status = 'queued' AND parked_at IS NOT NULL
  AND seq BETWEEN :from_seq AND :to_seq
ORDER BY seq DESC
LIMIT 1 OFFSET :visited;

-- name: running
-- Index jobs_running: never more than there are slots, so that sorting them is nothing.
SELECT seq FROM jobs INDEXED BY jobs_running
WHERE status = 'processing' AND jobs.queue >= ''
  AND {asked}
ORDER BY seq DESC
LIMIT :limit;

-- name: of_key
-- By the head of the primary key, jobs by rowid: one key may be used by several principals
-- and routes.
SELECT jobs.seq FROM idempotency
CROSS JOIN jobs ON jobs.seq = idempotency.seq
WHERE idempotency.key = :key AND (:principal IS NULL OR idempotency.principal = :principal)
  AND (
    :batch_id IS NULL
    OR jobs.batch_seq = (SELECT seq FROM batches WHERE batches.batch_id = :batch_id)
  )
  AND {with_status}
  AND {asked}
ORDER BY jobs.seq DESC
LIMIT :limit;

-- name: of_batch
-- The batch by its id, its jobs by index jobs_of_batch: never more than a batch may have.
SELECT jobs.seq FROM batches
CROSS JOIN jobs ON jobs.batch_seq = batches.seq
WHERE batches.batch_id = :batch_id
  AND {with_status}
  AND {asked}
ORDER BY jobs.seq DESC
LIMIT :limit;

-- name: any
-- By rowid, downwards.
SELECT seq FROM jobs
WHERE {with_status}
  AND {asked}
ORDER BY seq DESC
LIMIT :limit;

-- name: any_floor
-- How far down so many rows reach.
SELECT seq FROM jobs WHERE seq BETWEEN :from_seq AND :to_seq
ORDER BY seq DESC
LIMIT 1 OFFSET :visited;
