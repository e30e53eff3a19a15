"""Embeddings kept on disk: the same text is never embedded twice by the same model.

Knows: one SQLite file a model, keyed by the text's hash. Does not know: models or stores.
Used by ``bench_rag``, whose variants share most of their passages.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from labkit.embed import Embedder


class CachedEmbedder:
    """An embedder that remembers; what was computed before a kill is not computed again.

    Parameters
    ----------
    embedder
        Computes what is missing.
    path
        The file, made if it is missing; one for each model.
    """

    def __init__(self, embedder: Embedder, path: Path) -> None:
        self.name = embedder.name
        self.dimension = embedder.dimension
        self._embedder = embedder
        self._file = sqlite3.connect(path)
        self._file.execute("CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB)")

    def encode_documents(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of passages, ``(n, d) float32``."""
        return self._encode(texts, "document", self._embedder.encode_documents)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of questions, ``(n, d) float32``."""
        return self._encode(texts, "query", self._embedder.encode_queries)

    def _encode(
        self, texts: Sequence[str], side: str, encode: Callable[[Sequence[str]], np.ndarray]
    ) -> np.ndarray:
        keys = [hashlib.sha256(f"{side} {text}".encode()).hexdigest() for text in texts]
        known = {key: vector for key in keys if (vector := self._look_up(key)) is not None}
        missing = {k: t for k, t in zip(keys, texts, strict=True) if k not in known}
        if missing:
            vectors = np.asarray(encode(list(missing.values())), np.float32)
            known |= dict(zip(missing, vectors, strict=True))
            rows = [(key, known[key].tobytes()) for key in missing]
            with self._file:
                self._file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        return np.array([known[key] for key in keys], np.float32).reshape(-1, self.dimension)

    def _look_up(self, key: str) -> np.ndarray | None:
        row = self._file.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        return np.frombuffer(row[0], np.float32) if row else None
