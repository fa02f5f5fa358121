"""The only SQL and the only SQLite in jobd.

One connection writes, checkpoints and migrates; read-only ones read. A transaction is one
function, run whole on the database thread (`Database.run`), never a chain of awaits: a
cancelled caller could leave that half open.

    database.py     the file: open, run, read, close
    wal.py          when the WAL is folded in;  open_files.py: whether the file is still ours
    misread.py      a read that failed, which SQLite calls damage
    schema.py       migrations, guard triggers, identity
    writer.py       the verbs, each one request to
    group_commit.py the one task that writes: takes all that waits (waiting.py), commits, answers;
                    a lock, a full disk (room.py), the end
    batch.py        one commit's worth of work, in its fixed order
    jobs.py         enqueue and settle;  claims.py: claim;  moves.py: cancel, promote, recover
    leases.py       what is remembered of the jobs that run
    ready.py        which queues are served next;  queues.py: pause, limits, what is in them
    waits.py        since when the first job of each queue waits
    parking.py      jobs whose plugin is gone, out of the way of the claims
    deadlines.py    jobs that have waited too long
    tally.py        how many wait, for limits and estimates;  counting.py: from where it starts
    admission.py    whether there is room for more jobs
    attempts.py     progress and checkpoints of a running attempt
    batches.py      jobs that were submitted together
    finished.py     retry and delete;  uploads.py: who has sent which file
    retention.py    what has expired;  named.py: which files on disk the rows name
    space.py        free pages, given back
    outbox.py       messages and their deliveries, written with the events they tell of
    endpoints.py    registered receivers, which stand in memory too
    deliveries.py   what is due at whom and what came of it;  delivery_log.py: as people see it
    readers.py      everything that is read;  listing.py: which jobs a list shows
    schema.sql      the whole schema as the migrations leave it, to be read
    *.sql           the statements, each with its index and the race it closes

Not here: what to write (domain/outcomes.py decides), files (files/).
"""
