"""The kinds that can run, from the last start's catalogue until this start's is there.

Ready waits for no plugin's import. Not here: how the catalogue is made (pool/catalog.py).
"""

import logging

import msgspec

from jobd.domain.catalog import Catalog
from jobd.engine.kinds import Kinds, decode_catalog
from jobd.engine.queues import unpark
from jobd.pool.catalog import CatalogFailed, load_catalog
from jobd.pool.settings import Settings
from jobd.store.readers import Readers
from jobd.store.writer import Writer

log = logging.getLogger(__name__)


async def use_stored(kinds: Kinds, readers: Readers) -> None:
    """Know the kinds of the last start, if it has stored them."""
    stored = await readers.catalog()
    catalog = decode_catalog(stored) if stored else None
    if catalog is not None:
        kinds.install(catalog)


async def load(kinds: Kinds, writer: Writer, settings: Settings, workers_lock: int) -> None:
    """Look the handlers up, keep what was found, and let jobs go on that waited for them.

    When that is impossible the kinds of the last start stay known. Writes only after it has
    looked: a full disk holds up nothing but that.
    """
    try:
        catalog = await load_catalog(settings.mark, workers_lock, config=settings.plugin_config)
    except (CatalogFailed, OSError) as failure:
        log.critical(
            "The handlers could not be looked up: those of the last start stay known.",
            extra={"reason": str(failure)},
        )
    else:
        _install(kinds, catalog, settings)
        await writer.save_catalog(msgspec.json.encode(catalog))
    await unpark(writer)


def _install(kinds: Kinds, catalog: Catalog, settings: Settings) -> None:
    kinds.install(catalog)
    for error in catalog.errors.values():
        about = {"kind": error.kind, "distribution": error.distribution}
        log.warning("A handler did not load.", extra=about | {"reason": error.message})
    for table in catalog.unclaimed(settings.plugin_config):
        log.warning("No installed plugin has these settings.", extra={"table": table})
