-- name: next_receiver
-- The receiver behind one, and when it is due first: one look into index deliveries_due.
SELECT receiver, next_attempt_at FROM deliveries
WHERE receiver > :receiver AND next_attempt_at IS NOT NULL
ORDER BY receiver, next_attempt_at
LIMIT 1;

-- name: due
-- The longest overdue of a receiver, without those under way. Index deliveries_due, in its
-- order; the rest by primary key. What a rendering needs is read only while there is no body.
SELECT
  deliveries.delivery_id, deliveries.message_id, deliveries.principal, deliveries.url,
  deliveries.status, deliveries.attempt_count, deliveries.created_at,
  deliveries.next_attempt_at, deliveries.dead_reason, deliveries.endpoint_id,
  deliveries.receiver, deliveries.payload, deliveries.begun_at, deliveries.earlier_attempts,
  messages.seq, messages.event_id, messages.type, messages.at,
  iif(deliveries.payload = 'job', messages.job_body, messages.body) AS body,
  job_inputs.traceparent, events.attempt, events.data
FROM deliveries
CROSS JOIN messages ON messages.message_id = deliveries.message_id
LEFT JOIN job_inputs ON job_inputs.seq = messages.seq
LEFT JOIN events ON events.id = messages.event_id
  AND iif(deliveries.payload = 'job', messages.job_body, messages.body) IS NULL
WHERE deliveries.receiver = :receiver
  AND deliveries.next_attempt_at <= :now
  AND deliveries.delivery_id NOT IN (SELECT value FROM json_each(:in_flight))
ORDER BY deliveries.next_attempt_at
LIMIT :limit;

-- name: next_due
-- Of each receiver the first entry in index deliveries_due that is not under way.
SELECT
  asked.value,
  (
    SELECT deliveries.next_attempt_at FROM deliveries
    WHERE deliveries.receiver = asked.value
      AND deliveries.next_attempt_at IS NOT NULL
      AND deliveries.delivery_id NOT IN (SELECT value FROM json_each(:in_flight))
    ORDER BY deliveries.next_attempt_at
    LIMIT 1
  )
FROM json_each(:receivers) AS asked;

-- name: oldest
-- The first entry of index deliveries_ageing.
SELECT min(begun_at) FROM deliveries WHERE next_attempt_at IS NOT NULL;

-- name: save_body
-- By primary key. The first rendering stays: it may have been sent already.
UPDATE messages SET body = :body WHERE message_id = :message_id AND body IS NULL;

-- name: save_job_body
-- As save_body.
UPDATE messages SET job_body = :body WHERE message_id = :message_id AND job_body IS NULL;

-- name: record
-- By primary key; only the attempt that follows the last one recorded, so that nothing is
-- recorded twice, nor for a delivery that was deleted or is over.
UPDATE deliveries SET
  status = ended.status,
  attempt_count = ended.attempt,
  next_attempt_at = :now + ended.delay_ms,
  ended_at = iif(ended.delay_ms IS NULL, :now, NULL),
  dead_reason = ended.dead_reason
FROM (
  SELECT
    value ->> 0 AS delivery_id, value ->> 1 AS attempt, value ->> 2 AS status,
    value ->> 3 AS delay_ms, value ->> 4 AS dead_reason
  FROM json_each(:ended)
) AS ended
WHERE deliveries.delivery_id = ended.delivery_id
  AND deliveries.attempt_count = ended.attempt - 1
  AND deliveries.next_attempt_at IS NOT NULL
RETURNING deliveries.delivery_id;

-- name: add_attempts
-- Appends to what the delivery has, in the transaction that recorded it.
INSERT INTO delivery_attempts (
  delivery_id, attempt, started_at, duration_ms, status_code, error, response_headers,
  response_excerpt
)
SELECT
  value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
  value ->> 7
FROM json_each(:attempts);

-- name: waiting
-- A slice of what waits for a receiver: index deliveries_due.
SELECT delivery_id FROM deliveries
WHERE receiver = :receiver
  AND next_attempt_at IS NOT NULL
  AND delivery_id NOT IN (SELECT value FROM json_each(:in_flight))
LIMIT :limit;

-- name: overdue
-- A slice of what waits, the oldest first: index deliveries_ageing.
SELECT delivery_id FROM deliveries
WHERE begun_at <= :begun_by
  AND next_attempt_at IS NOT NULL
  AND delivery_id NOT IN (SELECT value FROM json_each(:in_flight))
ORDER BY begun_at
LIMIT :limit;

-- name: unsaid
-- Of these the messages that have no body yet, with what a rendering needs: by primary key.
SELECT
  messages.message_id, messages.seq, messages.event_id, messages.type, messages.at,
  deliveries.payload, NULL AS body, NULL AS traceparent, events.attempt, events.data
FROM json_each(:delivery_ids) AS named
CROSS JOIN deliveries ON deliveries.delivery_id = named.value
CROSS JOIN messages ON messages.message_id = deliveries.message_id
LEFT JOIN events ON events.id = messages.event_id
WHERE iif(deliveries.payload = 'job', messages.job_body, messages.body) IS NULL;

-- name: kill
-- By primary key. Found by a reader a moment ago: only what still waits.
UPDATE deliveries SET
  status = 'dead', dead_reason = :reason, next_attempt_at = NULL, ended_at = :now
WHERE delivery_id IN (SELECT value FROM json_each(:delivery_ids))
  AND next_attempt_at IS NOT NULL
RETURNING delivery_id, receiver, endpoint_id, principal;

-- name: secrets
-- By primary key.
SELECT principal, secret, previous_secret, previous_until FROM endpoints
WHERE principal IN (SELECT value FROM json_each(:principals)) AND name = 'default';

-- name: add_secrets
-- The first use of `default`; who came first keeps the secret that may have signed already.
INSERT INTO endpoints (principal, name, created_at, secret)
SELECT value ->> 0, 'default', :now, value ->> 1
FROM json_each(:secrets)
WHERE true
ON CONFLICT (principal, name) DO NOTHING;

-- name: rotate
-- By primary key. Only one previous secret is kept, and none if it is to sign no more.
INSERT INTO endpoints (principal, name, created_at, secret)
VALUES (:principal, 'default', :now, :secret)
ON CONFLICT (principal, name) DO UPDATE SET
  previous_secret = iif(:overlap_ms > 0, secret, NULL),
  previous_until = iif(:overlap_ms > 0, :now + :overlap_ms, NULL),
  secret = excluded.secret
RETURNING secret, previous_until;
