"""The store: chunks and their vectors in one LanceDB table.

Knows: how the table is opened, versioned and tagged. ``schema`` makes it, ``ingest`` fills it,
``search`` and ``filters`` ask it; no other room knows LanceDB.
Does not know: how files become chunks (``corpus``), how texts become vectors (``embed``) or what
is done with a hit (``rag``).
Used by every lesson from 02 on.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.store.filters import Where
from labkit.store.ingest import Ingestion, IngestReport, pending_passages
from labkit.store.schema import (
    TABLE,
    connect,
    explained,
    open_or_create,
    require_same_embedder,
    writer_lock,
)
from labkit.store.search import search_table
from labkit.types import AnyPath, Embedder, Hit, Mode


@dataclass(frozen=True)
class Version:
    """One committed state of the table."""

    version: int
    created: str
    n_chunks: int
    tags: tuple[str, ...]


class Store:
    """Chunks, vectors and metadata in one table; open it with ``open_store``.

    There is no vector index. Comparing with every vector finds the true neighbours, and for tens of
    thousands of chunks takes less time than embedding the question does; an index is faster beyond
    that, and misses some neighbours (lesson 03).
    """

    def __init__(
        self, connection: Any, table: Any, embedder: Embedder, *, read_only: bool = False
    ) -> None:
        self._connection = connection
        self._lock = writer_lock(connection.uri)
        self._table = table
        self._embedder = embedder
        self.embedder_name = embedder.name
        self._read_only = read_only

    def ingest(
        self,
        paths: Iterable[AnyPath] | AnyPath,
        *,
        max_words: int = 60,
        overlap: int = 0,
        headings: bool = True,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> IngestReport:
        """Make the store mirror some files and folders, embedding only what changed.

        Documents that are gone from these folders, or cannot be read any more, leave the store;
        documents of other folders stay. It may be killed at any moment: what is committed stays
        whole, and the next run does the rest. A second process that ingests here waits its turn.

        Parameters
        ----------
        paths
            Files and folders.
        max_words, overlap, headings
            How documents are cut (``chunk_document``); another cut embeds everything again.
        on_progress
            Called as ``on_progress(files_read, files_in_total)``.

        Raises
        ------
        FileNotFoundError
            If a path does not exist; nothing is removed then.
        """
        self._require_writable()
        with self._lock, self._explained():
            cut = {"max_words": max_words, "overlap": overlap, "headings": headings}
            ingestion = Ingestion(self._table, self._embedder, **cut)
            return ingestion.run(paths, on_progress)

    def pending_passages(
        self, paths: Iterable[AnyPath] | AnyPath, *, max_words: int = 60
    ) -> Iterator[str]:
        """Yield what ``ingest`` would embed; nothing is embedded or written."""
        cut = {"max_words": max_words, "overlap": 0, "headings": True}
        return pending_passages(self._table, paths, **cut)

    def search(
        self, query: str, *, k: int = 5, mode: Mode = "hybrid", where: Where = None
    ) -> list[Hit]:
        """Return the best ``k`` hits of one question, best first; see ``search_many``."""
        return self.search_many([query], k=k, mode=mode, where=where)[0]

    def search_many(
        self, queries: Sequence[str], *, k: int = 5, mode: Mode = "hybrid", where: Where = None
    ) -> list[list[Hit]]:
        """Return the best ``k`` hits of each question; one call embeds and searches them all.

        Parameters
        ----------
        queries
            Questions in plain words; an empty one has no hits.
        k
            Hits a question.
        mode
            ``"vector"``: score is the cosine similarity. ``"text"``: BM25 over the same words,
            exact for part numbers and blind to synonyms. ``"hybrid"``: reciprocal rank fusion.
        where
            Conditions as data, applied before the search; see ``filters.build_filter``.

        Raises
        ------
        ValueError
            If ``k`` is below 1, the mode or a column of ``where`` unknown.
        """
        with self._explained():
            return search_table(self._table, self._embedder, queries, k=k, mode=mode, where=where)

    def count(self) -> int:
        """Return the number of chunks."""
        with self._explained():
            return self._table.count_rows()

    def versions(self) -> list[Version]:
        """Return every committed state, oldest first; one ingestion makes several."""
        tagged = sorted((name, tag["version"]) for name, tag in self._table.tags.list().items())
        return [
            Version(
                version=entry["version"],
                created=entry["timestamp"].isoformat(timespec="seconds"),
                n_chunks=int(entry["metadata"]["total_rows"]),
                tags=tuple(name for name, version in tagged if version == entry["version"]),
            )
            for entry in self._table.list_versions()
        ]

    def at_version(self, version: int | str) -> "Store":
        """Return a read-only store that shows the table as it was at a version or tag."""
        with self._explained():
            table = self._connection.open_table(TABLE)
            table.checkout(self._known_version(version))
        return Store(self._connection, table, self._embedder, read_only=True)

    def tag(self, name: str, *, version: int | None = None) -> None:
        """Give a version (the current one by default) a name; an existing name moves there."""
        self._require_writable()
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"{name!r} cannot be a tag; use letters, digits, '.', '-' and '_'.")
        number = self._known_version(self._table.version if version is None else version)
        exists = name in self._table.tags.list()
        (self._table.tags.update if exists else self._table.tags.create)(name, number)

    def _known_version(self, version: int | str) -> int:
        states = self.versions()
        for state in states:
            if version == state.version or version in state.tags:
                return state.version
        tags = ", ".join(sorted(tag for state in states for tag in state.tags)) or "none"
        raise ValueError(
            f"There is no version or tag {version!r}; versions go from {states[0].version} to "
            f"{states[-1].version}, tags are: {tags}."
        )

    def _explained(self) -> AbstractContextManager[None]:
        return explained(self._connection.uri)

    def _require_writable(self) -> None:
        if self._read_only:
            raise ValueError(
                "This store shows an earlier version and cannot be changed; change the store "
                "that you opened."
            )


def open_store(db_dir: AnyPath, embedder: Embedder, *, create: bool = True) -> Store:
    """Open the store in a folder, made if it is missing.

    Parameters
    ----------
    db_dir
        A local folder.
    embedder
        Must be the model that embedded what is stored.
    create
        ``False`` refuses a folder without a store, where a new one would only hide a typing error.

    Raises
    ------
    ValueError
        If the store was made with another embedding model.
    FileNotFoundError
        If there is no store and ``create`` is false.
    StoreError
        If the disk is full or the files are damaged; so do the store's methods.
    """
    folder = Path(db_dir).resolve()
    if not create and not (folder / f"{TABLE}.lance").is_dir():
        raise FileNotFoundError(
            f"There is no store in {str(db_dir)!r}. Make one with: "
            f"python -m labkit ingest FOLDER --db {db_dir}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    connection = connect(folder)
    with explained(db_dir):
        table = open_or_create(connection, embedder)
    require_same_embedder(table, embedder, db_dir)
    return Store(connection, table, embedder)
