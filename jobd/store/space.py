"""The room that the database takes, and giving back what it does not need any more.

Free pages are used again by what is written next, so a few are kept: giving them back
moves others, and the file would only grow again.

Not here: how pages are given back (database.py), when (engine/retention.py).
"""

from jobd.store.database import Database

PAGES_AT_ONCE = 400
"""About 6 ms of the writing connection's time."""

GIVE_BACK_ABOVE, KEEP = 0.2, 0.1
"""Shares of the file that are free."""

LEAST_PAGES = 1000


async def live_bytes(database: Database) -> int:
    """Return what the database takes, without its free pages."""
    sizes = await database.sizes()
    return (sizes.page_count - sizes.freelist_count) * sizes.page_size


async def give_back(database: Database) -> int:
    """Give pages back if much of the file is free; return how many it were.

    In small parts, each a transaction of its own with others in between. Stops early when
    there is no room to write.
    """
    sizes = await database.sizes()
    free, live = sizes.freelist_count, sizes.page_count - sizes.freelist_count
    if free < max(LEAST_PAGES, sizes.page_count * GIVE_BACK_ABOVE):
        return 0
    wanted = free - round(live * KEEP)
    given = 0
    while given < wanted:
        freed = await database.vacuum(min(PAGES_AT_ONCE, wanted - given))
        if not freed:
            break
        given += freed
    return given
