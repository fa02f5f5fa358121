-- name: add_events
-- Append-only; ids are given out by the writer, so they grow in commit order and a reader's
-- snapshot never shows one without those before it.
INSERT INTO events (id, seq, type, at, attempt, data)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
FROM json_each(:events);
