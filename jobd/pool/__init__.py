"""Worker processes: started, handed jobs, watched, ended. All plugin code runs in them.

    settings.py    what the pool is told, and what it tells (Settings, AttemptLimits, Listener)
    supervisor.py  which worker runs a claim, stop order; rounds.py, looks.py: looks at what runs
    crew.py        how many workers there are, the spare; recycling.py: when one has served
    worker.py      one worker as the daemon sees it: its attempts and how they end
    timekeeper.py  when limits are reached; shared_loop.py: who keeps an io worker's loop
    line.py        what a worker was handed, in order; paces.py: how much it may be
    ladder.py      from the request to end an attempt to SIGKILL
    inquest.py     what a death is judged by; verdict.py: who is to blame for it
    reports.py     what a report means
    apart.py       claims that may not run in just any worker
    process.py     one child process: its pid, its control stream, its death
    output.py      what a worker writes, line by line; demux.py: which of it is whose
    turns.py       whose turn it is in a cpu worker, and whether a job wrote anything
    handover.py    the pair of sockets that jobs go down, and how they are called back
    briefing.py    what goes down it; checkpoints.py: what comes up and is answered
    attempt.py     one running attempt: its limits, what was heard of it
    tree.py        everything that a worker started, found in /proc and ended
    memory.py      what processes use; cgroup.py: a control group for each worker
    catalog.py     the catalogue child as the daemon sees it
    protocol.py    what both sides say; inband.py, marker.py, linux.py: what else they share
    child*.py      the worker's own side; plugins.py: entry points, imported only there

No SQL, no HTTP, no retry policy (domain/outcomes.py). The daemon never imports a plugin.
"""
