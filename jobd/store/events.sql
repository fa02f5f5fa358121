-- name: add_events
-- Append-only; ids are given out by the writer, so they grow in commit order and a reader's
-- snapshot never shows one without those before it.
INSERT INTO events (id, seq, type, at, attempt, data)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
FROM json_each(:events);

-- name: callbacks
-- Whom the events of these jobs are told to. By rowid, in the transaction of the events;
-- asked only for jobs whose mask has the event.
SELECT jobs.seq, jobs.principal, job_inputs.callback_url
FROM jobs CROSS JOIN job_inputs ON job_inputs.seq = jobs.seq
WHERE jobs.seq IN (SELECT value FROM json_each(:seqs));
