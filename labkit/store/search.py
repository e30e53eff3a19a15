"""Searching: three ways to find chunks in a LanceDB table, for one question or hundreds.

Knows: vector, text and hybrid search. Does not know: how the table was filled (``ingest``).
Used by every lesson from 02 on through ``Store.search``.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from labkit.store.filters import Where, build_filter
from labkit.types import Embedder, Hit, Mode

# Hybrid fuses this many hits of each side, so that the first k are the same whatever k is.
FUSED_DEPTH = 50
_QUERIES_AT_ONCE = 256
_COLUMNS = "chunk_id document_id title heading text passage date kind metadata".split()


def search_table(
    table: Any, embedder: Embedder, queries: Sequence[str], *, k: int, mode: Mode, where: Where
) -> list[list[Hit]]:
    """Return the best ``k`` hits of each query; ``Store.search_many`` explains the rest."""
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least 1 hit.")
    if mode not in get_args(Mode):
        raise ValueError(f"There is no mode {mode!r}; use one of {', '.join(get_args(Mode))}.")
    # Each look at the schema asks LanceDB again, and costs more than comparing some vectors.
    condition = build_filter(where, table.schema) if where else None
    found: list[list[Hit]] = [[] for _ in queries]
    asked = [number for number, query in enumerate(queries) if query.strip()]
    find, score = {
        "vector": (_by_vector, "_distance"),
        "text": (_by_text, "_score"),
        "hybrid": (_by_both, "_relevance_score"),
    }[mode]
    search = _Search(table, embedder, condition)
    for start in range(0, len(asked), _QUERIES_AT_ONCE):
        numbers = asked[start : start + _QUERIES_AT_ONCE]
        answers = find(search, [queries[number] for number in numbers], k)
        for number, answer in zip(numbers, answers, strict=True):
            found[number] = _hits(answer.slice(0, k), score)
    return found


@dataclass(frozen=True)
class _Search:
    table: Any
    embedder: Embedder
    condition: Any

    def run(self, query: Any, score: str, k: int) -> pa.Table:
        """Return the best ``k`` rows; the condition holds before the search, not after it."""
        column = "vector" if score == "_distance" else None
        search = self.table.search(query, vector_column_name=column)
        search = search.limit(k).with_row_id(True).select([*_COLUMNS, score])
        if score == "_distance":
            search = search.distance_type("cosine")
        if self.condition is not None:
            search = search.where(self.condition)
        return search.to_arrow()


def _by_vector(search: _Search, queries: list[str], k: int) -> Sequence[pa.Table]:
    """Compare with every vector; one call for all questions, for a call costs more than they do."""
    vectors = np.asarray(search.embedder.encode_queries(queries), np.float32)  # (q, d)
    found = search.run(vectors, "_distance", k)
    if len(queries) == 1:
        return [found]  # then LanceDB leaves the column query_index out
    found = found.sort_by([("query_index", "ascending"), ("_distance", "ascending")])
    bounds = np.searchsorted(found["query_index"], np.arange(len(queries) + 1))
    found = found.drop(["query_index"])
    return [found.slice(a, b - a) for a, b in zip(bounds, bounds[1:], strict=False)]


def _by_text(search: _Search, queries: list[str], k: int) -> Sequence[pa.Table]:
    """Rank by BM25; LanceDB takes one question a call, so several calls run side by side."""
    from lancedb.query import MatchQuery

    def one(query: str) -> pa.Table:
        # MatchQuery takes quotes, brackets and AND as words, never as query syntax.
        return search.run(MatchQuery(query, column="passage"), "_score", k)

    with ThreadPoolExecutor(min(8, len(queries))) as pool:
        return list(pool.map(one, queries))


def _by_both(search: _Search, queries: list[str], k: int) -> Sequence[pa.Table]:
    """Fuse both rankings with LanceDB's own reciprocal rank fusion."""
    from lancedb.rerankers import RRFReranker

    depth = max(k, FUSED_DEPTH)
    near = _by_vector(search, queries, depth)
    worded = _by_text(search, queries, depth)
    return list(map(RRFReranker().rerank_hybrid, queries, near, worded))


def _hits(table: pa.Table, score: str) -> list[Hit]:
    hits = []
    for row in table.to_pylist():
        facts = {name: row[name] for name in _COLUMNS if name != "metadata"}
        value = 1.0 - row["_distance"] if score == "_distance" else row[score]
        hits.append(Hit(**facts, metadata=json.loads(row["metadata"]), score=value))
    return hits


def linear(near: Sequence[Hit], worded: Sequence[Hit], *, weight: float, k: int = 5) -> list[Hit]:
    """Return the best ``k`` of two hit lists by ``weight`` · vector + (1 − ``weight``) · text.

    Each list's scores are spread from 0 (its last hit) to 1 (its first); a chunk that one list
    lacks gets 0 there. Unlike rank fusion this keeps how far apart the scores were, and so it has a
    weight to tune.

    Parameters
    ----------
    near, worded
        Hits of the modes ``"vector"`` and ``"text"``, best first; 50 each is plenty.
    weight
        Between 0 (text alone) and 1 (vector alone).

    Raises
    ------
    ValueError
        If ``weight`` is outside 0 to 1.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight is {weight}; choose one between 0 (text) and 1 (vector).")
    by_id = {hit.chunk_id: hit for hit in (*worded, *near)}
    scores = dict.fromkeys(by_id, 0.0)
    for share, hits in ((weight, near), (1 - weight, worded)):
        for hit, value in zip(hits, spread([hit.score for hit in hits]), strict=True):
            scores[hit.chunk_id] += share * value
    best = sorted(scores, key=lambda name: -scores[name])[:k]
    return [replace(by_id[name], score=scores[name]) for name in best]


def spread(scores: Sequence[float]) -> list[float]:
    """Return the scores on a scale from 0 (lowest) to 1 (highest); all 1 if they are equal.

    Examples
    --------
    >>> spread([7.0, 5.0, 3.0])
    [1.0, 0.5, 0.0]
    """
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]
