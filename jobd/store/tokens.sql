-- name: make_server_key
-- By primary key; made once, with the first start that looks for it.
INSERT INTO meta (key, value) VALUES ('server_key', :key) ON CONFLICT (key) DO NOTHING;

-- name: server_key
-- By primary key.
SELECT value FROM meta WHERE key = 'server_key';

-- name: unrevoked
-- All that may be valid, once at the start. Walks the table: an admin made each row by hand.
SELECT seq, token_id, principal, digest, scopes, description, created_at, expires_at, revoked_at,
  last_used_at
FROM tokens
WHERE revoked_at IS NULL;

-- name: add_token
-- By primary key and the unique index.
INSERT INTO tokens (token_id, principal, digest, scopes, description, created_at, expires_at)
VALUES (:token_id, :principal, :digest, :scopes, :description, :created_at, :expires_at);

-- name: revoke_token
-- By the unique index. One that is revoked already keeps its time.
UPDATE tokens SET revoked_at = coalesce(revoked_at, :now) WHERE token_id = :token_id
RETURNING token_id;

-- name: use_tokens
-- By the unique index, one look-up for each.
UPDATE tokens SET last_used_at = used.at
FROM (SELECT value ->> 0 AS token_id, value ->> 1 AS at FROM json_each(:used)) AS used
WHERE tokens.token_id = used.token_id;

-- name: page_of_tokens
-- The newest first, by primary key.
SELECT seq, token_id, principal, digest, scopes, description, created_at, expires_at, revoked_at,
  last_used_at
FROM tokens
WHERE seq < :before
ORDER BY seq DESC
LIMIT :limit;

-- name: forget_tokens
-- What has not been valid for long. Walks the table, when an admin makes a token.
DELETE FROM tokens WHERE revoked_at < :before OR expires_at < :before;
