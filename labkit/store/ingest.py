"""Ingestion: make a table mirror some folders, embedding only what changed.

Knows: which documents are new, changed, unchanged or gone, and how they are committed.
Does not know: how files are read (``corpus``) or how chunks are searched (``search``).
Used by lessons 02, 04, 05 and 12 through ``Store.ingest``.
"""

import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from labkit.chunking import chunk_document
from labkit.corpus import as_paths, read_documents
from labkit.measure import give_back_freed_memory
from labkit.store.filters import LeftOut, arrow_field, kind_of, metadata_columns, metadata_values
from labkit.types import AnyPath, Document, Embedder, Unreadable

# Chunks embedded and committed together: large enough that a commit costs little beside the
# embedding, small enough that a kill loses seconds of work and memory stays flat.
BATCH_CHUNKS = 256
FTS_COLUMN = "passage"
# LanceDB would forget versions after 7 days, and refuse to optimize once one of them has a tag.
_KEEP_VERSIONS = timedelta(days=36_500)


@dataclass(frozen=True)
class IngestReport:
    """What one ingestion did, in documents; ``version`` is the table's afterwards."""

    added: int
    changed: int
    unchanged: int
    removed: int
    chunks_embedded: int
    unreadable: tuple[Unreadable, ...]
    wall_s: float
    version: int


class Ingestion:
    """One run over some folders; holds the current batch and the ids it has not met yet.

    ``cut`` goes to ``chunk_document``.
    """

    def __init__(self, table: Any, embedder: Embedder, **cut: Any) -> None:
        self._table = table
        self._embedder = embedder
        self._cut = cut
        self._columns = metadata_columns(table.schema)
        self._known = stored_documents(table)
        self._rows: list[dict[str, Any]] = []
        self._replaced: list[str] = []
        self._counts: Counter[str] = Counter()

    def run(
        self, paths: Iterable[AnyPath] | AnyPath, on_file: Callable[[int, int], None] | None
    ) -> IngestReport:
        """Read, embed and commit everything; then drop what is gone and update the text index."""
        started = time.perf_counter()
        folders = as_paths(paths)
        roots = [os.path.realpath(folder) for folder in folders]
        unreadable: list[Unreadable] = []
        for document in read_documents(folders, unreadable=unreadable, on_file=on_file):
            try:
                self._take(document, roots)
            except LeftOut as error:
                reason = f"document {document.id!r} is left out: {error}"
                unreadable.append(Unreadable(document.path, reason))
            if len(self._rows) >= BATCH_CHUNKS:
                self._commit()
        self._commit()
        self._remove_vanished(roots)
        self._update_index()
        return IngestReport(
            **{name: self._counts[name] for name in _COUNTED},
            unreadable=tuple(unreadable),
            wall_s=time.perf_counter() - started,
            version=self._table.version,
        )

    def _take(self, document: Document, roots: list[str]) -> None:
        """Put a new or changed document into the batch; all its chunks go into one commit."""
        source = os.path.realpath(document.path)
        mark = fingerprint(document, source, **self._cut)
        old_mark, old_source = self._known.get(document.id, (None, source))
        if old_mark == mark:
            self._known.pop(document.id)
            self._counts["unchanged"] += 1
            return
        if not _is_below(old_source, roots) and os.path.exists(old_source):
            raise LeftOut(f"its id is already used by {old_source}")
        values = self._typed(document)
        if old_mark is not None:
            self._known.pop(document.id)
            self._replaced.append(document_key(document.id))
        self._counts["added" if old_mark is None else "changed"] += 1
        shared = {
            "document_key": document_key(document.id),
            "fingerprint": mark,
            "source": source,
            "kind": document.kind,
            "date": document.date,
            "metadata": json.dumps(document.metadata, ensure_ascii=False),
        }
        for chunk in chunk_document(document, **self._cut):
            own = {name: getattr(chunk, name) for name in _OF_CHUNK}
            self._rows.append({"chunk_id": chunk.id} | own | shared | values)

    def _typed(self, document: Document) -> dict[str, Any]:
        values = metadata_values(document.metadata)
        for name, value in values.items():
            if self._columns.get(name, kind_of(value)) != kind_of(value):
                raise LeftOut(
                    f"the column {name!r} holds {self._columns[name]} in other documents, "
                    f"{value!r} here; change it, or ingest into a new database"
                )
        self._columns |= {name: kind_of(value) for name, value in values.items()}
        return values

    def _commit(self) -> None:
        """Embed the batch and write it in one transaction: a kill leaves all of it or nothing."""
        from lancedb.expr import col, lit

        if not self._rows:
            return
        vectors = embedded(self._embedder, [row["passage"] for row in self._rows])
        new = sorted(self._columns.keys() - set(self._table.schema.names))
        if new:
            self._table.add_columns([arrow_field(name, self._columns[name]) for name in new])
        schema = self._table.schema
        batch = pa.Table.from_pylist(self._rows, schema=schema)
        position = schema.get_field_index("vector")
        batch = batch.set_column(position, schema.field("vector"), vectors)
        # Matching by chunk id makes a repeated write harmless.
        merge = self._table.merge_insert("chunk_id").when_matched_update_all()
        merge = merge.when_not_matched_insert_all()
        if self._replaced:
            # A shorter text has fewer chunks: drop those that the new one no longer has.
            ours = col("document_key").isin([lit(key) for key in self._replaced])
            merge = merge.when_not_matched_by_source_delete(ours)
        merge.execute(batch)
        give_back_freed_memory()
        self._counts["chunks_embedded"] += len(self._rows)
        self._rows, self._replaced = [], []

    def _remove_vanished(self, roots: list[str]) -> None:
        from lancedb.expr import col, lit

        gone = [id for id, (_, source) in self._known.items() if _is_below(source, roots)]
        for start in range(0, len(gone), 1000):
            keys = [lit(document_key(id)) for id in gone[start : start + 1000]]
            self._table.delete(col("document_key").isin(keys))
        self._counts["removed"] = len(gone)

    def _update_index(self) -> None:
        """Add new rows to the text index and join small files; also what a kill left undone."""
        if self._table.index_stats(f"{FTS_COLUMN}_idx").num_unindexed_rows > 0:
            self._table.optimize(cleanup_older_than=_KEEP_VERSIONS)


def document_key(document_id: str) -> str:
    """Return a hexadecimal name of a document, so that no file name ever reaches a condition."""
    return hashlib.sha256(document_id.encode()).hexdigest()[:32]


def fingerprint(document: Document, source: str, **cut: Any) -> str:
    """Return what must stay the same for a document's chunks to stay: content, place, cut."""
    packed = json.dumps([document.content_hash, source, cut])
    return hashlib.sha256(packed.encode()).hexdigest()


def stored_documents(table: Any) -> dict[str, tuple[str, str]]:
    """Return fingerprint and source of every document in the table; every one has a chunk 0."""
    from lancedb.expr import col, lit

    names = ["document_id", "fingerprint", "source"]
    known: dict[str, tuple[str, str]] = {}
    for batch in table.search().where(col("position") == lit(0)).select(names).to_batches():
        ids, marks, sources = (batch[name].to_pylist() for name in names)
        # The rows of one table share a source: keep one copy of it.
        pairs = zip(marks, map(sys.intern, sources), strict=True)
        known.update(zip(ids, pairs, strict=True))
    return known


def pending_passages(table: Any, paths: Iterable[AnyPath] | AnyPath, **cut: Any) -> Iterator[str]:
    """Yield the passages that an ingestion of these paths would embed; for a price in advance."""
    known = stored_documents(table)
    for document in read_documents(paths, unreadable=[]):
        mark = fingerprint(document, os.path.realpath(document.path), **cut)
        if known.get(document.id, ("", ""))[0] != mark:
            chunks = chunk_document(document, **cut)
            yield from (chunk.passage for chunk in chunks)


def embedded(embedder: Embedder, texts: list[str]) -> pa.Array:
    """Return the vectors of passages as the table's column type.

    Raises
    ------
    ValueError
        If the embedder returns another shape than it promised.
    """
    vectors = np.ascontiguousarray(embedder.encode_documents(texts), np.float32)  # (n, d)
    if vectors.shape != (len(texts), embedder.dimension) or not np.isfinite(vectors).all():
        raise ValueError(
            f"{embedder.name} returned {vectors.shape} for {len(texts)} texts, or values that are "
            f"no numbers; ({len(texts)}, {embedder.dimension}) finite values were due."
        )
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), embedder.dimension)


_COUNTED = ("added", "changed", "unchanged", "removed", "chunks_embedded")
_OF_CHUNK = ("document_id", "title", "heading", "position", "text", "passage")


def _is_below(source: str, roots: list[str]) -> bool:
    return any(source == root or source.startswith(root.rstrip(os.sep) + os.sep) for root in roots)
