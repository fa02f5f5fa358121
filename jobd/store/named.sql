-- name: jobs
-- By job_id.
SELECT job_id FROM jobs WHERE job_id IN (SELECT value FROM json_each(:job_ids));

-- name: attempts
-- Leases of these jobs and files that their attempts have left, in one snapshot: an attempt
-- gives its lease up in the transaction that stores its files. By job_id, rowid and the head
-- of the key of artifacts.
SELECT jobs.job_id || '/' || jobs.lease_token FROM jobs
WHERE jobs.job_id IN (SELECT value FROM json_each(:job_ids)) AND jobs.lease_token IS NOT NULL
UNION
SELECT artifacts.path FROM jobs CROSS JOIN artifacts ON artifacts.seq = jobs.seq
WHERE jobs.job_id IN (SELECT value FROM json_each(:job_ids))
UNION
SELECT job_results.path FROM jobs CROSS JOIN job_results ON job_results.seq = jobs.seq
WHERE jobs.job_id IN (SELECT value FROM json_each(:job_ids)) AND job_results.path IS NOT NULL;

-- name: leases
-- Index jobs_running.
SELECT lease_token FROM jobs WHERE status = 'processing' AND queue >= '';

-- name: uploads
-- By the head of the primary key.
SELECT file_id FROM uploads WHERE file_id IN (SELECT value FROM json_each(:file_ids));
