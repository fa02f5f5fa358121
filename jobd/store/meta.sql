-- name: triggers
-- The guards in the file, to compare with those of this program.
SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'jobs\_guard\_%' ESCAPE '\';

-- name: first_meta
-- What a new file gets once; a later start changes none of it.
INSERT INTO meta (key, value)
VALUES ('database_id', :id), ('epoch', :epoch), ('start_number', 0)
ON CONFLICT (key) DO NOTHING;

-- name: count_start
-- Every start has a number of its own: workers carry it, leases are marked with it.
UPDATE meta SET value = value + 1 WHERE key = 'start_number' RETURNING value;

-- name: meta
-- By primary key.
SELECT value FROM meta WHERE key = :key;

-- name: save_meta
-- By primary key.
INSERT INTO meta (key, value) VALUES (:key, :value)
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: last_ids
-- The newest seq and event id that may ever have been given out. sqlite_sequence remembers
-- deleted rows too; progress takes ids that never reach `events` (one row a running job).
SELECT
  coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'jobs'), 0),
  max(
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0),
    coalesce((SELECT max(event_id) FROM progress), 0),
    (SELECT value << 40 FROM meta WHERE key = 'epoch')
  );
