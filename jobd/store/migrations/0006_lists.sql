-- What a caller called its request; nothing for most. Behind the wide args, as it is read with
-- them only.
ALTER TABLE job_inputs ADD COLUMN request_id TEXT;

-- Indexes behind the lists of jobs: each is in the order of seq within a group, and a list
-- merges the groups that it shows.

-- Every job. Nothing in it changes while the job lives: one append for each.
CREATE INDEX jobs_listed ON jobs (principal, queue, kind);

-- What neither waits for a slot nor runs: once for most jobs, when they are over. Those two
-- have indexes of their own, and would come and go here.
CREATE INDEX jobs_settled ON jobs (principal, status, queue, kind)
WHERE status IN ('scheduled', 'retrying', 'completed', 'failed', 'cancelled');

CREATE INDEX jobs_parked_listed ON jobs (seq)
WHERE status = 'queued' AND parked_at IS NOT NULL;
