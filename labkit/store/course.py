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


def open_course_store(embedder: Embedder | None = None, *, industry: str = "") -> Store:
    """Return the store of the whole course corpus, up to date with ``data/``.

    The first call embeds about a thousand chunks; later calls find them unchanged.

    Parameters
    ----------
    embedder
        Loaded already, or ``None`` to load the course's default.
    industry
        A folder of ``data/industries`` instead of the wind turbines.
    """
    store = open_store(database_dir(industry), embedder or load_embedder())
    folder = corpus_dir(industry)
    store.ingest([folder / "documents", folder / "tables"])
    return store


def corpus_dir(industry: str = "") -> Path:
    """Return the folder of the course's corpus, or of another industry's.

    Raises
    ------
    ValueError
        If there is no such industry.
    """
    if industry and industry not in industries():
        known = ", ".join(industries())
        raise ValueError(f"There is no industry {industry!r}; choose one of {known}.")
    return settings.data_dir() / "industries" / industry if industry else settings.data_dir()


def industries() -> list[str]:
    """Return the other industries that the course holds documents and questions of."""
    return sorted(path.name for path in (settings.data_dir() / "industries").iterdir())


def database_dir(industry: str = "") -> Path:
    """Return the folder of the database: two clones of the course share the cache, not this."""
    course = hashlib.sha256(str(settings.data_dir()).encode()).hexdigest()[:8]
    return settings.cache_dir() / "-".join(filter(None, ["course-db", course, industry]))
