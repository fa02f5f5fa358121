-- name: add_events
-- Append-only; ids are given out by the writer, so they grow in commit order and a reader's
-- snapshot never shows one without those before it.
INSERT INTO events (id, seq, type, at, attempt, data) VALUES (?, ?, ?, ?, ?, ?);

-- name: moved
-- Which of these moves were made, in the transaction that tried to: by rowid, and only a row
-- that was changed has the id of the move's event.
SELECT jobs.event_id
FROM json_each(:moves) AS move
CROSS JOIN jobs ON jobs.seq = move.value ->> 0 AND jobs.event_id = move.value ->> 1;

-- name: told
-- What says whom the events of these jobs are told to. By rowid, in the transaction of the
-- events; asked only for those that a callback or some endpoint is told of.
SELECT jobs.seq, jobs.principal, jobs.kind, jobs.queue, job_inputs.callback_url
FROM jobs CROSS JOIN job_inputs ON job_inputs.seq = jobs.seq
WHERE jobs.seq IN (SELECT value FROM json_each(:seqs));
