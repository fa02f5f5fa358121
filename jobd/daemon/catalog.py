"""The kinds that can run: from the last start's catalogue until this start's is there, and anew.

Ready waits for no plugin's import. Not here: how the catalogue is made (pool/catalog.py).
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from jobd.domain.catalog import Catalog
from jobd.domain.errors import Unavailable
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


class Handlers:
    """Looks up which kinds are installed and can run: at the start, and when asked again."""

    def __init__(
        self,
        kinds: Kinds,
        writer: Writer,
        settings: Settings,
        *,
        workers_lock: int,
        renew_workers: Callable[[], None],
    ) -> None:
        self._kinds, self._writer, self._settings = kinds, writer, settings
        self._workers_lock, self._renew_workers = workers_lock, renew_workers
        self._turn = asyncio.Lock()

    async def load(self) -> None:
        """Look them up, keep what was found, and let jobs go on that waited for them.

        When that is impossible the kinds of the last start stay known. Writes only after it
        has looked: a full disk holds up nothing but that.
        """
        async with self._turn:
            try:
                await self._keep(await self._look())
            except (CatalogFailed, OSError) as failure:
                log.critical(
                    "The handlers could not be looked up: those of the last start stay known.",
                    extra={"reason": str(failure)},
                )
            await unpark(self._writer)

    async def reload(self) -> None:
        """Look them up again; what starts from now on runs in new workers, with new code.

        What runs ends in the workers that it has. Raises Unavailable when it is impossible to
        look: then nothing has changed. May take as long as the plugins' imports.
        """
        async with self._turn:
            try:
                catalog = await self._look()
            except (CatalogFailed, OSError) as failure:
                raise Unavailable("handlers_not_loaded", str(failure), retryable=True) from failure
            self._renew_workers()
            await self._keep(catalog)
            await unpark(self._writer)
        log.info("The handlers were loaded again.", extra={"kinds": len(catalog.handlers)})

    async def _look(self) -> Catalog:
        settings = self._settings
        return await load_catalog(settings.mark, self._workers_lock, config=settings.plugin_config)

    async def _keep(self, catalog: Catalog) -> None:
        self._kinds.install(catalog)
        for error in catalog.errors.values():
            about = {"kind": error.kind, "distribution": error.distribution}
            log.warning("A handler did not load.", extra=about | {"reason": error.message})
        for table in catalog.unclaimed(self._settings.plugin_config):
            log.warning("No installed plugin has these settings.", extra={"table": table})
        await self._writer.save_catalog(msgspec.json.encode(catalog))
