"""The store: chunks and their vectors in one LanceDB table.

``database`` opens, versions and tags it; ``schema`` makes the table, ``ingest`` fills it,
``search`` and ``filters`` ask it; ``course`` opens that of the corpus. ``index`` holds bare vectors
and their indexes; ``ivf_pq`` is an index by hand. No other room knows LanceDB.
"""

from labkit.store.course import load_embedder, open_course_store
from labkit.store.database import Store, Version, open_store
from labkit.store.ingest import IngestReport
from labkit.store.schema import StoreError

__all__ = [
    "IngestReport", "Store", "StoreError", "Version", "load_embedder", "open_course_store",
    "open_store",
]  # fmt: skip
