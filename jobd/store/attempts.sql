-- name: put_progress
-- By rowid; fenced: the row is joined to the lease that reports it. Replaces the last report.
INSERT INTO progress (
  seq, event_id, at, pct, done, total, step, step_index, step_count, message
)
SELECT
  jobs.seq, update_.value ->> 2, :now, update_.value ->> 3, update_.value ->> 4,
  update_.value ->> 5, update_.value ->> 6, update_.value ->> 7, update_.value ->> 8,
  update_.value ->> 9
FROM json_each(:updates) AS update_
CROSS JOIN jobs
  ON jobs.seq = update_.value ->> 0
  AND jobs.lease_token = update_.value ->> 1
  AND jobs.status = 'processing'
WHERE true
ON CONFLICT (seq) DO UPDATE SET
  event_id = excluded.event_id,
  at = excluded.at,
  pct = excluded.pct,
  done = excluded.done,
  total = excluded.total,
  step = excluded.step,
  step_index = excluded.step_index,
  step_count = excluded.step_count,
  message = excluded.message
RETURNING
  event_id, seq,
  (SELECT job_id FROM jobs WHERE jobs.seq = progress.seq),
  (SELECT attempt FROM jobs WHERE jobs.seq = progress.seq);

-- name: leases_held
-- Which of these tokens are leases now. By rowid, in the transaction that writes under them.
SELECT jobs.lease_token
FROM json_each(:leases) AS lease
CROSS JOIN jobs
  ON jobs.seq = lease.value ->> 0
  AND jobs.lease_token = lease.value ->> 1
  AND jobs.status = 'processing';

-- name: put_checkpoint
-- By rowid; bound row by row, as it may be large and is not text.
INSERT INTO checkpoints (seq, data) VALUES (?, ?)
ON CONFLICT (seq) DO UPDATE SET data = excluded.data;
