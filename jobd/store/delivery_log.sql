-- name: of_principal
-- A page of one status, newest first: index deliveries_listed, in its order.
SELECT delivery_id FROM deliveries
WHERE principal = :principal AND status = :status
  AND delivery_id < :before AND delivery_id >= :since_id
  AND created_at >= :since
ORDER BY delivery_id DESC
LIMIT :limit;

-- name: of_all
-- A page of one status, newest first: index deliveries_of_all, in its order.
SELECT delivery_id FROM deliveries
WHERE status = :status
  AND delivery_id < :before AND delivery_id >= :since_id
  AND created_at >= :since
ORDER BY delivery_id DESC
LIMIT :limit;

-- name: owner
-- Whose an endpoint is or was: that of any of what was for it, by index deliveries_of_receiver.
SELECT principal FROM deliveries WHERE receiver = :receiver LIMIT 1;

-- name: of_receiver
-- A page of one status, newest first: index deliveries_of_receiver, in its order. What is for
-- an endpoint is all its owner's.
SELECT delivery_id FROM deliveries
WHERE receiver = :receiver AND status = :status
  AND delivery_id < :before AND delivery_id >= :since_id
  AND created_at >= :since
ORDER BY delivery_id DESC
LIMIT :limit;

-- name: of_job
-- Few, newest first: by job_id, then index deliveries_of_job, in its order.
SELECT delivery_id FROM deliveries
WHERE seq = (SELECT seq FROM jobs WHERE job_id = :job_id)
  AND delivery_id < :before
  AND created_at >= :since AND (:principal IS NULL OR principal = :principal)
  AND status IN (SELECT value FROM json_each(:statuses))
  AND (:endpoint_id IS NULL OR endpoint_id = :endpoint_id)
ORDER BY delivery_id DESC
LIMIT :limit;

-- name: deliveries
-- By primary key, as their messages and endpoints. One goes where its endpoint is by now.
SELECT
  deliveries.delivery_id, deliveries.message_id, deliveries.principal,
  ifnull(webhook_endpoints.url, deliveries.url) AS url,
  deliveries.status, deliveries.attempt_count, deliveries.created_at,
  deliveries.next_attempt_at, deliveries.dead_reason, deliveries.endpoint_id,
  deliveries.receiver, deliveries.begun_at, deliveries.earlier_attempts,
  messages.type, messages.subject
FROM deliveries
CROSS JOIN messages ON messages.message_id = deliveries.message_id
LEFT JOIN webhook_endpoints ON webhook_endpoints.endpoint_id = deliveries.endpoint_id
WHERE deliveries.delivery_id IN (SELECT value FROM json_each(:delivery_ids));

-- name: attempts
-- By the head of the primary key, in its order.
SELECT
  delivery_id, attempt, started_at, duration_ms, status_code, error, response_headers,
  response_excerpt
FROM delivery_attempts
WHERE delivery_id IN (SELECT value FROM json_each(:delivery_ids))
ORDER BY delivery_id, attempt;

-- name: last_attempts
-- By primary key: the last one has the number of attempts as its own.
SELECT
  delivery_id, attempt, started_at, duration_ms, status_code, error, response_headers,
  response_excerpt
FROM delivery_attempts
WHERE (delivery_id, attempt) IN (
  SELECT delivery_id, attempt_count FROM deliveries
  WHERE delivery_id IN (SELECT value FROM json_each(:delivery_ids))
);

-- name: has_endpoint
-- By primary key.
SELECT 1 FROM webhook_endpoints WHERE endpoint_id = :endpoint_id;

-- name: redeliver
-- By primary key. Found by a reader a moment ago: only what is still over. Whose endpoint is
-- gone or disabled would be dead again at once.
UPDATE deliveries SET
  status = 'pending', dead_reason = NULL, ended_at = NULL,
  next_attempt_at = :now, begun_at = :now, earlier_attempts = attempt_count
WHERE delivery_id IN (SELECT value FROM json_each(:delivery_ids))
  AND next_attempt_at IS NULL
  AND (
    endpoint_id IS NULL
    OR EXISTS (
      SELECT 1 FROM webhook_endpoints
      WHERE webhook_endpoints.endpoint_id = deliveries.endpoint_id AND enabled = 1
    )
  )
RETURNING receiver;
