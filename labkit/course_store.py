"""The course's own documents and tables, ingested into a database in the cache.

Knows: where the Nordvind corpus lies. Does not know: how ingestion works (``store``).
Used by every lesson that needs the corpus and does not build it on the page.
"""

from labkit import settings
from labkit.embed import Embedder, load_embedder
from labkit.store import Store, open_store


def open_course_store(embedder: Embedder | None = None) -> Store:
    """Return the store of the whole course corpus, up to date with ``data/``.

    The first call embeds about a thousand chunks; later calls find them unchanged.

    Parameters
    ----------
    embedder
        Loaded already, or ``None`` to load the course's default.
    """
    embedder = embedder or load_embedder()
    store = open_store(settings.cache_dir() / "course-db", embedder)
    store.ingest([settings.data_dir() / "documents", settings.data_dir() / "tables"])
    return store
