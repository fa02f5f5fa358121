-- name: heads
-- Since when the first in line of some queues is due, on a reader: one entry of index
-- jobs_ready for each lane and priority. A paused queue has none that could start.
SELECT
  asked.value,
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
FROM json_each(:names) AS asked
WHERE NOT EXISTS (SELECT 1 FROM queues WHERE name = asked.value AND paused);
