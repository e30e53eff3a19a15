"""The store: chunks and their vectors in one LanceDB table.

``database`` opens, versions and tags it; ``schema`` makes the table, ``ingest`` fills it,
``search`` and ``filters`` ask it. ``index`` holds bare vectors and their indexes; ``ivf_pq`` is an
index by hand. No other room knows LanceDB.
"""

from labkit.store.database import Store, Version, open_store
from labkit.store.ingest import IngestReport
from labkit.store.schema import StoreError

__all__ = ["IngestReport", "Store", "StoreError", "Version", "open_store"]
