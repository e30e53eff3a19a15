"""The exercise checks of lesson 05: nDCG, a paired test, and the rule that newer wins.

Knows: the three exercises and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor the metrics of whole exams
(``retrieval_metrics`` and ``rerank``, whose functions are two of the references).
Used by lesson 05, which imports this module as ``check``.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from labkit import rerank, retrieval_metrics
from labkit.classroom.checks.check import Case, Cases, exercise
from labkit.types import Hit

Found = list[dict[str, Any]]


def _ndcg(relevant: Sequence[int], n_relevant: int, k: int) -> float:
    found = [{rank} if is_relevant else set() for rank, is_relevant in enumerate(relevant)]
    return retrieval_metrics.ndcg_at_k(found, k, n_relevant)


def _gain(relevant: Sequence[int], k: int) -> float:
    return sum(r / math.log2(rank + 1) for rank, r in enumerate(relevant[:k], 1))


@exercise(_ndcg, lambda found, n, k: {
    "The perfect ranking holds all `n_relevant` passages, found or not.":
        _gain(found, k) / (_gain(sorted(found)[::-1], k) or 1),
    "Every rank counts the same in yours. Divide by log2(rank + 1).":
        sum(found[:k]) / min(k, n),
    "That is the gain. Divide it by the gain of a perfect ranking.": _gain(found, k),
    "Only the first k ranks count.": _gain(found, len(found)) / _gain([1] * n, k),
    "The perfect ranking has only `n_relevant` relevant passages, however large k is.":
        _gain(found, k) / _gain([1] * k, k),
    "The perfect ranking is cut at k too.": _gain(found, k) / _gain([1] * n, n),
})  # fmt: skip
def ndcg() -> Cases:
    """Check lesson 05, exercise 1: the normalised discounted cumulative gain."""
    discount = "The gain of rank r is 1 / log2(r + 1)."
    yield Case("a perfect ranking", ([1, 0, 0], 1, 3), discount)
    yield Case("the evidence at rank 3", ([0, 0, 1], 1, 3), discount)
    yield Case("two of two, one of them late", ([1, 0, 0, 1], 2, 4), discount)
    yield Case("one of two found", ([0, 1, 0], 2, 3), "Think of what a perfect ranking would hold.")
    yield Case("evidence below k", ([0, 1, 0, 1], 2, 3), "Cut the ranking at k.")
    yield Case("more evidence than places", ([1, 0], 5, 2), "Cut the perfect ranking at k as well.")
    yield Case("nothing found", ([0, 0], 1, 2), "Nothing found is worth 0.")


def _sign_flip(a: np.ndarray, b: np.ndarray, signs: np.ndarray) -> float:
    return float(np.mean(abs(signs @ (a - b)) >= abs((a - b).sum()) - 1e-9))


@exercise(_sign_flip, lambda a, b, signs: {
    "Chance can favour either system: compare sizes, without the sign.":
        np.mean(signs @ (a - b) >= (a - b).sum() - 1e-9),
    "A flip that gets exactly as far counts too: use >=.":
        np.mean(abs(signs @ (a - b)) > abs((a - b).sum()) + 1e-9),
    "Count the flips that get as far as the data, not those that fall short.":
        np.mean(abs(signs @ (a - b)) <= abs((a - b).sum()) + 1e-9),
    "Flip the differences, not ones: questions where both agree add 0.":
        np.mean(abs(signs.sum(axis=1)) >= abs((a - b).sum()) - 1e-9),
    "That is the difference itself. How often do the flips get as far from 0?": abs((a - b).mean()),
})  # fmt: skip
def sign_flip() -> Cases:
    """Check lesson 05, exercise 2: the share of sign flips that get as far from zero."""
    every = np.array([[1 if i >> j & 1 else -1 for j in range(5)] for i in range(32)])
    right = "Multiply the differences by each row of signs, and compare the sizes of the sums."
    for about, a, b in (
        ("a system that wins three and loses one", [1, 1, 1, 0, 1], [0, 0, 0, 1, 1]),
        ("a system that always wins", [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]),
        ("graded scores", [0.5, 1, 0.2, 0.9, 0.4], [0.4, 0.3, 0.6, 0.1, 0.4]),
        ("two equal systems", [1, 0, 1, 0, 1], [1, 0, 1, 0, 1]),
    ):
        yield Case(about, (np.array(a, float), np.array(b, float), every), right)


def _newer_wins(found: Found) -> list[str]:
    hits = [
        Hit(h["id"], h["document"], "", "", "", "", 0.0, None, "", {"supersedes": h["supersedes"]})
        for h in found
    ]
    return [hit.chunk_id for hit in rerank.newer_wins(hits)]


def _ids(hits: Found) -> list[str]:
    return [hit["id"] for hit in hits]


def _gone(hits: Found) -> set[str]:
    return {hit["supersedes"] for hit in hits}


def _swaps(hits: Found) -> list[str]:
    ordered = list(hits)
    for j, newer in enumerate(hits):
        for i, older in enumerate(ordered[:j]):
            if newer["supersedes"] == older["document"]:
                ordered[i], ordered[j] = ordered[j], ordered[i]
                break
    return _ids(ordered)


@exercise(_newer_wins, lambda hits: {
    "You changed nothing. Look for a hit that supersedes one above it.": _ids(hits),
    "New is not better in itself: only what supersedes may overtake.":
        _ids(sorted(hits, key=lambda hit: hit["date"], reverse=True)),
    "Take the place of what is superseded, not the first place.":
        _ids(sorted(hits, key=lambda hit: not hit["supersedes"])),
    "Keep the older hit: most of its document is still true.":
        [hit["id"] for hit in hits if hit["document"] not in _gone(hits)],
    "Do not send the older hit to the end: it follows the newer one.":
        _ids(sorted(hits, key=lambda hit: hit["document"] in _gone(hits))),
    "You swapped the two. Move the newer one up; the others keep their order.": _swaps(hits),
})  # fmt: skip
def newer_wins() -> Cases:
    """Check lesson 05, exercise 3: the ids with every newer hit before what it supersedes."""
    manual, twin, note, bulletin, second = (
        {"id": name, "document": document, "supersedes": supersedes, "date": date}
        for name, document, supersedes, date in (
            ("manual#3", "SM-90-PIT", None, "2011-09-14"),
            ("twin#3", "SM-117-PIT", None, "2014-02-01"),
            ("note#1", "ON-02", None, "2024-05-05"),
            ("bulletin#1", "SB-2019-04", "SM-90-PIT", "2019-09-12"),
            ("bulletin#7", "SB-2021-01", "SM-90-YAW", "2021-01-30"),
        )
    )
    move = "Move the newer hit to where the older one stands."
    none = "It supersedes none of these: leave it in its place."
    yield Case("a bulletin right below its manual", ([manual, bulletin],), move)
    yield Case("a bulletin further down", ([manual, twin, note, bulletin],), move)
    yield Case("a manual that is not first", ([twin, manual, note, bulletin],), move)
    yield Case("a bulletin above its manual", ([bulletin, note, manual],), "Leave it in its place.")
    yield Case("a bulletin for a document that was not found", ([manual, twin, second],), none)
    yield Case("no bulletin at all", ([note, manual],), "Leave the order as it is.")
