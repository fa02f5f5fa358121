-- name: queues_with_work
-- One step of a loose scan at the start: the next queue of a lane after :queue. Index
-- jobs_ready; costs one look-up a queue, however many jobs wait.
SELECT queue FROM jobs
WHERE status = 'queued' AND parked_at IS NULL AND lane = :lane AND queue > :queue
ORDER BY queue
LIMIT 1;

-- name: states
-- Whether jobs of some queues may start: by primary key, running ones by index jobs_running,
-- counted only where there is a limit. Read in the transaction of the claim, so that neither
-- a pause nor a limit can fall between. A row's limit stands above that of the settings.
SELECT
  asked.name, coalesce(queues.paused, 0), asked.concurrency,
  iif(
    asked.concurrency IS NULL, 0,
    (SELECT count(*) FROM jobs WHERE jobs.status = 'processing' AND jobs.queue = asked.name)
  )
FROM (
  SELECT
    value ->> 0 AS name,
    iif(own.concurrency_set, own.concurrency, value ->> 1) AS concurrency
  FROM json_each(:names) LEFT JOIN queues AS own ON own.name = value ->> 0
) AS asked
LEFT JOIN queues ON queues.name = asked.name;

-- name: rows
-- By primary key, before a change in the same transaction.
SELECT name, concurrency, concurrency_set, paused FROM queues
WHERE name IN (SELECT value FROM json_each(:names));

-- name: save
-- By primary key. The claim that follows in this transaction goes by it already.
INSERT OR REPLACE INTO queues (name, concurrency, concurrency_set, paused)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(:rows);

-- name: names_with_rows
-- By primary key; a handful.
SELECT name FROM queues WHERE name >= '';

-- name: names_processing
-- Index jobs_running, which has one entry for each running job.
SELECT DISTINCT queue FROM jobs WHERE status = 'processing' AND queue >= '';

-- name: parked
-- Index jobs_parked, on a reader: what waits for plugins that are gone, by queue.
SELECT queue, count(*), min(max(created_at, coalesce(run_at, 0))) FROM jobs
WHERE status = 'queued' AND parked_at >= 0
GROUP BY queue;

-- name: contents
-- How many jobs of some queues wait and run, on a reader: walks the entries of index
-- jobs_ready and jobs_running that are theirs. Of what waits only the first of each lane and
-- priority is looked at for its age.
SELECT
  asked.value,
  (
    SELECT count(*) FROM jobs
    WHERE status = 'queued' AND parked_at IS NULL AND lane IN ('cpu', 'io')
      AND queue = asked.value
  ),
  (SELECT count(*) FROM jobs WHERE status = 'processing' AND queue = asked.value),
  (
    SELECT min(max(head.created_at, coalesce(head.run_at, 0)))
    FROM json_each('["cpu","io"]') AS lanes
    CROSS JOIN json_each('[0,1,2,3,4,5,6,7,8,9]') AS priorities
    CROSS JOIN jobs AS head ON head.seq = (
      SELECT seq FROM jobs
      WHERE status = 'queued' AND parked_at IS NULL AND lane = lanes.value
        AND queue = asked.value AND priority = priorities.value
      ORDER BY seq
      LIMIT 1
    )
  )
FROM json_each(:names) AS asked;
