"""The daemon: the composition root. Not imported by any client command.

serve.py    one call, from the settings to the exit status
run.py      what is built, in which order it starts, in which order it stops
confines.py what the system lets its process do
listening.py where it listens, and when it must not
rooms.py    how single rooms are built from the settings
views.py    what the API shows of the pool and of readiness
"""

from jobd.daemon.serve import serve

__all__ = ["serve"]
