"""The course's own documents and tables, ingested into a database in the cache.

Knows: where the Nordvind corpus lies. Does not know: how ingestion works (``store``).
Used by every lesson that needs the corpus and does not build it on the page.
"""

import hashlib
from pathlib import Path

from labkit import settings
from labkit.embed import load_embedder as load_embedder
from labkit.store.database import Store, open_store
from labkit.types import Embedder


def open_course_store(embedder: Embedder | None = None) -> Store:
    """Return the store of the whole course corpus, up to date with ``data/``.

    The first call embeds about a thousand chunks; later calls find them unchanged.

    Parameters
    ----------
    embedder
        Loaded already, or ``None`` to load the course's default.
    """
    embedder = embedder or load_embedder()
    store = open_store(database_dir(), embedder)
    store.ingest([settings.data_dir() / "documents", settings.data_dir() / "tables"])
    return store


def database_dir() -> Path:
    """Return the folder of the database: two clones of the course share the cache, not this."""
    course = hashlib.sha256(str(settings.data_dir()).encode()).hexdigest()[:8]
    return settings.cache_dir() / f"course-db-{course}"
