"""Worker processes: started, handed jobs, watched, ended. All plugin code runs in them.

    settings.py    what the pool is told, and what it tells (Settings, Listener)
    supervisor.py  how many workers there are, which one runs a claim, stop order
    worker.py      one worker as the daemon sees it: its attempts and the kill ladder
    apart.py       claims that may not run in just any worker
    process.py     one child process: its pid, its control stream, its death
    output.py      what a worker writes, line by line; demux.py: which of it is whose
    handover.py    the pair of sockets that jobs go down, and how they are called back
    attempt.py     one running attempt; reports.py: what its end means as an outcome
    tree.py        everything that a worker started, found in /proc and ended
    catalog.py     the catalogue child as the daemon sees it
    protocol.py    what both sides say; inband.py, marker.py, linux.py: what else they share
    child*.py      the worker's own side; plugins.py: entry points, imported only there

No SQL, no HTTP, no retry policy (domain/outcomes.py). The daemon never imports a plugin.
"""
