-- part: job
-- One job a row, under the names of domain.jobs.Job. The error is that of the newest ended
-- attempt, so it is not shown while a later one waits or runs. Inputs and the result's body
-- only when asked for: they may be large, and SQLite reads no column that is not wanted.
SELECT
  jobs.seq, jobs.job_id, jobs.principal, jobs.kind, jobs.queue, jobs.lane, jobs.priority,
  jobs.status, jobs.created_at AS created_at_ms, jobs.run_at AS run_at_ms,
  jobs.started_at AS started_at_ms, jobs.finished_at AS finished_at_ms,
  jobs.expires_at AS expires_at_ms, jobs.start_before AS start_before_ms, jobs.attempt,
  jobs.failures, jobs.crashes, jobs.interrupted, jobs.released, jobs.snoozes,
  jobs.max_attempts, jobs.timeout_ms, jobs.retention_ms, jobs.cancel_requested,
  jobs.retry_of, jobs.retried_as, jobs.batch_index, batches.batch_id,
  max(jobs.updated_at, coalesce(progress.at, 0)) AS updated_at_ms,
  max(jobs.event_id, coalesce(progress.event_id, 0)) AS event_id,
  job_inputs.metadata, job_inputs.traceparent, job_inputs.callback_url,
  iif(:detail, job_inputs.args, NULL) AS args,
  iif(:detail, job_inputs.request_id, NULL) AS request_id,
  iif(jobs.status IN ('retrying', 'failed', 'cancelled'), job_results.error, NULL) AS error,
  job_results.summary, job_results.partial, job_results.media_type, job_results.size_bytes,
  job_results.sha256, job_results.path, job_results.filename,
  iif(:detail, job_results.body, NULL) AS body,
  progress.seq AS reported, progress.pct, progress.done, progress.total, progress.step,
  progress.step_index, progress.step_count, progress.message
FROM jobs
CROSS JOIN job_inputs ON job_inputs.seq = jobs.seq
LEFT JOIN job_results ON job_results.seq = jobs.seq
LEFT JOIN progress ON progress.seq = jobs.seq
LEFT JOIN batches ON batches.seq = jobs.batch_seq

-- name: get
-- By job_id.
{job}
WHERE jobs.job_id = :job_id;

-- name: get_many
-- By rowid.
{job}
WHERE jobs.seq IN (SELECT value FROM json_each(:seqs));

-- name: artifacts
-- By primary key; of each name the file of the newest attempt.
SELECT artifacts.name, path, media_type, size_bytes, sha256, max(artifacts.attempt) AS attempt
FROM jobs CROSS JOIN artifacts ON artifacts.seq = jobs.seq
WHERE jobs.job_id = :job_id
GROUP BY artifacts.name
ORDER BY artifacts.name;

-- part: event
-- The job_id is that of the job's row: events are deleted with their job.
SELECT events.id, events.seq, jobs.job_id, events.type, events.at, events.attempt, events.data
FROM events CROSS JOIN jobs ON jobs.seq = events.seq

-- name: events
-- Index events_of_job, in its order.
{event}
WHERE events.seq = :seq AND events.id > :after
ORDER BY events.id
LIMIT :limit;

-- name: events_of_all
-- By rowid, from a bound upwards.
{event}
WHERE events.id > :after
ORDER BY events.id
LIMIT :limit;

-- name: newest_event_id
-- sqlite_sequence has the newest of the events, deleted ones too; progress has ids of the
-- same sequence in one row for each running job.
SELECT max(
  coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0),
  coalesce((SELECT max(event_id) FROM progress), 0)
);

-- name: upload
-- By primary key.
SELECT file_id, principal, size_bytes, created_at, expires_at FROM uploads
WHERE file_id = :file_id AND principal = :principal;

-- name: counts
-- Walks the entries of the four partial indexes, which hold the jobs that are not done; the
-- ranges name all there is, so that no plan falls back to the table.
SELECT status, count(*) AS jobs FROM jobs
WHERE status = 'queued' AND parked_at IS NULL AND lane IN ('cpu', 'io')
UNION ALL
SELECT status, count(*) FROM jobs
WHERE status = 'queued' AND parked_at >= 0
UNION ALL
SELECT status, count(*) FROM jobs
WHERE status = 'processing' AND queue >= ''
UNION ALL
SELECT status, count(*) FROM jobs
WHERE status IN ('scheduled', 'retrying') AND run_at >= 0
GROUP BY status;

-- name: recent_runs
-- Index jobs_expiring, from its end: about the jobs that ended last, however long it holds
-- those that ended before.
SELECT kind, lane, started_at, finished_at FROM (
  SELECT kind, lane, status, started_at, finished_at FROM jobs
  WHERE expires_at >= 0
  ORDER BY expires_at DESC
  LIMIT :limit
)
WHERE status = 'completed';

-- name: position
-- How many jobs of its queue go before a queued one, and whether it is parked. Itself by
-- rowid, those ahead by index jobs_ready, in its order and no more than :limit of them.
SELECT
  jobs.parked_at,
  (
    SELECT count(*) FROM (
      SELECT 1 FROM jobs AS ahead
      WHERE ahead.status = 'queued' AND ahead.parked_at IS NULL
        AND ahead.lane = jobs.lane AND ahead.queue = jobs.queue
        AND (ahead.priority, ahead.seq) < (jobs.priority, jobs.seq)
      LIMIT :limit
    )
  ) AS ahead
FROM jobs
WHERE jobs.seq = :seq AND jobs.status = 'queued';

-- name: catalog
-- By primary key.
SELECT value FROM meta WHERE key = 'catalog';
