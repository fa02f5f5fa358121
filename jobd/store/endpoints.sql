-- part: columns
-- In the order of domain/endpoints.py's Endpoint.
endpoint_id, principal, url, events, kinds, queues, payload, rate_per_s, enabled, paused,
description, created_at, updated_at, version, failing_since, disabled_at, disabled_reason,
secret, previous_secret, previous_until

-- name: endpoints
-- All of them, by primary key: once, at the start.
SELECT
{columns}
FROM webhook_endpoints
WHERE endpoint_id > '';

-- name: endpoint
-- By primary key.
SELECT
{columns}
FROM webhook_endpoints
WHERE endpoint_id = :endpoint_id;

-- name: put
-- By primary key. What stands in memory is what is stored: only the writer changes either.
INSERT INTO webhook_endpoints (
{columns}
)
VALUES (
  :row ->> 0, :row ->> 1, :row ->> 2, :row ->> 3, :row ->> 4, :row ->> 5, :row ->> 6, :row ->>
  7, :row ->> 8, :row ->> 9, :row ->> 10, :row ->> 11, :row ->> 12, :row ->> 13, :row ->> 14,
  :row ->> 15, :row ->> 16, :row ->> 17, :row ->> 18, :row ->> 19
)
ON CONFLICT (endpoint_id) DO UPDATE SET
  url = excluded.url,
  events = excluded.events,
  kinds = excluded.kinds,
  queues = excluded.queues,
  payload = excluded.payload,
  rate_per_s = excluded.rate_per_s,
  enabled = excluded.enabled,
  paused = excluded.paused,
  description = excluded.description,
  updated_at = excluded.updated_at,
  version = excluded.version,
  failing_since = excluded.failing_since,
  disabled_at = excluded.disabled_at,
  disabled_reason = excluded.disabled_reason,
  secret = excluded.secret,
  previous_secret = excluded.previous_secret,
  previous_until = excluded.previous_until;

-- name: remove
-- By primary key.
DELETE FROM webhook_endpoints WHERE endpoint_id = :endpoint_id;
