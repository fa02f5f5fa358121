-- name: add_messages
-- In the transaction of the event; several deliveries of one event share its message.
INSERT INTO messages (message_id, seq, event_id, type, at, subject, body)
SELECT
  value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, :body
FROM json_each(:messages)
WHERE true
ON CONFLICT (message_id) DO NOTHING;

-- name: add_deliveries
-- In the transaction of the event; due at once.
INSERT INTO deliveries (
  message_id, delivery_id, seq, status, created_at, next_attempt_at, begun_at, url, principal,
  receiver, endpoint_id, payload
)
SELECT
  value ->> 0, value ->> 1, value ->> 2, 'pending', value ->> 3, value ->> 3, value ->> 3,
  value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8
FROM json_each(:deliveries);

-- name: detach
-- Index deliveries_of_job, in the transaction that deletes the jobs; their messages by primary
-- key. What was never sent has no body, and would need the job for one.
UPDATE deliveries SET seq = 0
WHERE seq IN (SELECT value FROM json_each(:seqs))
  AND status = 'dead' AND ended_at > :since
  AND EXISTS (
    SELECT 1 FROM messages
    WHERE messages.message_id = deliveries.message_id
      AND iif(deliveries.payload = 'job', job_body, body) IS NOT NULL
  )
RETURNING message_id;

-- name: detach_messages
-- By primary key, with their deliveries.
UPDATE messages SET seq = 0
WHERE message_id IN (SELECT value FROM json_each(:message_ids));

-- name: drop_attempts
-- Index deliveries_of_job, then by primary key.
DELETE FROM delivery_attempts WHERE delivery_id IN (
  SELECT delivery_id FROM deliveries WHERE seq IN (SELECT value FROM json_each(:seqs))
);

-- name: drop_deliveries
-- Index deliveries_of_job.
DELETE FROM deliveries WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: drop_messages
-- Index messages_of_job.
DELETE FROM messages WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: drop_expired
-- The longest over, of those about no job. Index deliveries_expiring, in its order; chosen
-- and deleted in one statement, so that one which is delivered once more meanwhile stays.
DELETE FROM deliveries WHERE delivery_id IN (
  SELECT delivery_id FROM deliveries INDEXED BY deliveries_expiring
  WHERE seq = 0 AND ended_at <= :ended_by
  ORDER BY ended_at
  LIMIT :limit
)
RETURNING delivery_id, message_id;

-- name: drop_attempts_of
-- By the head of the primary key.
DELETE FROM delivery_attempts
WHERE delivery_id IN (SELECT value FROM json_each(:delivery_ids));

-- name: drop_untold
-- By primary key; index deliveries_of_message says whether another delivery needs it.
DELETE FROM messages
WHERE message_id IN (SELECT value FROM json_each(:message_ids))
  AND NOT EXISTS (
    SELECT 1 FROM deliveries
    WHERE deliveries.seq = 0 AND deliveries.message_id = messages.message_id
  );
