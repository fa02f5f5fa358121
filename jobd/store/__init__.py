"""The only SQL and the only SQLite in jobd.

One connection writes, checkpoints and migrates; read-only ones read. A transaction is one
function, run whole on the database thread (`Database.run`), never a chain of awaits: a
cancelled caller could leave that half open.

    database.py     the file: open, run, read, close
    schema.py       migrations, guard triggers, identity
    writer.py       the one task that writes: takes all that waits, commits, answers
    batch.py        one commit's worth of work, in its fixed order
    jobs.py         enqueue and settle;  claims.py: claim;  moves.py: cancel, promote, recover
    attempts.py     progress and checkpoints of a running attempt
    finished.py     retry and delete;  uploads.py: who has sent which file
    deliveries.py   messages of callbacks, written with the events they tell of
    readers.py      everything that is read
    *.sql           the statements, each with its index and the race it closes

Not here: what to write (domain/outcomes.py decides), files (files/).
"""
