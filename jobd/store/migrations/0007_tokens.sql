-- Tokens of principals. Of the token itself only its SHA-256 is kept. `scopes` is a JSON array
-- as it was given.
CREATE TABLE tokens (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  token_id TEXT NOT NULL UNIQUE,
  principal TEXT NOT NULL,
  digest BLOB NOT NULL,
  scopes TEXT NOT NULL,
  description TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER,
  last_used_at INTEGER
) STRICT;
