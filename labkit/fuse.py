"""Linear fusion: one ranking from a vector search and a text search, by a weighted sum.

Knows: how scores of two kinds are put on one scale. Does not know: how hits were found; rank
fusion, which needs no scale, is the store's mode ``"hybrid"``.
Used by lesson 05 and ``bench_rag``.
"""

from collections.abc import Sequence
from dataclasses import replace

from labkit.types import Hit


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
