"""The exercise checks of lesson 05: nDCG, a paired test, and the rule that newer wins.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how labkit does the same work.
Used by lesson 05, which imports this module as ``check``.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from labkit.classroom.checks.check import Case, Mistake, exercise

if TYPE_CHECKING:
    import numpy as np

Found = list[dict[str, Any]]


def _gain(relevant: Sequence[int], k: int) -> float:
    return sum(r / math.log2(rank + 1) for rank, r in enumerate(relevant[:k], 1))


def _ndcg(relevant: Sequence[int], n_relevant: int, k: int) -> float:
    return _gain(relevant, k) / _gain([1] * n_relevant, k)


def _undiscounted(relevant: Sequence[int], n_relevant: int, k: int) -> float:
    return sum(relevant[:k]) / min(k, n_relevant)


def _best_order_found(relevant: Sequence[int], n_relevant: int, k: int) -> float:
    return _gain(relevant, k) / (_gain(sorted(relevant, reverse=True), k) or 1)


def _uncut_ideal(relevant: Sequence[int], n_relevant: int, k: int) -> float:
    return _gain(relevant, k) / _gain([1] * n_relevant, n_relevant)


@exercise(
    _ndcg,
    mistakes=(
        Mistake(
            _best_order_found,
            "The perfect ranking holds all `n_relevant` passages, found or not.",
        ),
        Mistake(_undiscounted, "Every rank counts the same in yours. Divide by log2(rank + 1)."),
        Mistake(
            lambda relevant, n_relevant, k: _gain(relevant, k),
            "That is the gain. Divide it by the gain of a perfect ranking.",
        ),
        Mistake(
            lambda relevant, n_relevant, k: (
                _gain(relevant, len(relevant)) / _gain([1] * n_relevant, k)
            ),
            "Only the first k ranks count.",
        ),
        Mistake(
            lambda relevant, n_relevant, k: _gain(relevant, k) / _gain([1] * k, k),
            "The perfect ranking has only `n_relevant` relevant passages, however large k is.",
        ),
        Mistake(_uncut_ideal, "The perfect ranking is cut at k too."),
    ),
)
def ndcg() -> Iterator[Case]:
    """Check lesson 05, exercise 1: the normalised discounted cumulative gain."""
    discount = "The gain of rank r is 1 / log2(r + 1)."
    yield Case("a perfect ranking", ([1, 0, 0], 1, 3), discount)
    yield Case("the proof at rank 3", ([0, 0, 1], 1, 3), discount)
    yield Case("two of two, one of them late", ([1, 0, 0, 1], 2, 4), discount)
    yield Case("one of two found", ([0, 1, 0], 2, 3), "Think of what a perfect ranking would hold.")
    yield Case("a proof below k", ([0, 1, 0, 1], 2, 3), "Cut the ranking at k.")
    yield Case("more proofs than places", ([1, 0], 5, 2), "Cut the perfect ranking at k as well.")
    yield Case("nothing found", ([0, 0], 1, 2), "Nothing found is worth 0.")


def _sign_flip(a: "np.ndarray", b: "np.ndarray", signs: "np.ndarray") -> float:
    import numpy as np

    changes = np.asarray(a) - np.asarray(b)
    return float(np.mean(np.abs(signs @ changes) >= abs(changes.sum()) - 1e-9))


def _one_sided(a: "np.ndarray", b: "np.ndarray", signs: "np.ndarray") -> float:
    import numpy as np

    changes = np.asarray(a) - np.asarray(b)
    return float(np.mean(signs @ changes >= changes.sum() - 1e-9))


def _strictly(a: "np.ndarray", b: "np.ndarray", signs: "np.ndarray") -> float:
    import numpy as np

    changes = np.asarray(a) - np.asarray(b)
    return float(np.mean(np.abs(signs @ changes) > abs(changes.sum()) + 1e-9))


def _all_change(a: "np.ndarray", b: "np.ndarray", signs: "np.ndarray") -> float:
    import numpy as np

    total = abs((np.asarray(a) - np.asarray(b)).sum())
    return float(np.mean(np.abs(signs.sum(axis=1)) >= total - 1e-9))


@exercise(
    _sign_flip,
    mistakes=(
        Mistake(_one_sided, "Chance can favour either system: compare sizes, without the sign."),
        Mistake(_strictly, "A flip that gets exactly as far counts too: use >=."),
        Mistake(
            lambda a, b, signs: 1 - _strictly(a, b, signs),
            "Count the flips that get as far as the data, not those that fall short.",
        ),
        Mistake(_all_change, "Flip the differences, not ones: questions where both agree add 0."),
        Mistake(
            lambda a, b, signs: float(abs((a - b).mean())),
            "That is the difference itself. How often do the flips get as far from 0?",
        ),
    ),
)
def sign_flip() -> Iterator[Case]:
    """Check lesson 05, exercise 2: the share of sign flips that get as far from zero."""
    import numpy as np

    every = np.array([[1 if i >> j & 1 else -1 for j in range(5)] for i in range(32)])
    right = "Multiply the differences by each row of signs, and compare the sizes of the sums."
    for about, a, b in (
        ("a system that wins three and loses one", [1, 1, 1, 0, 1], [0, 0, 0, 1, 1]),
        ("a system that always wins", [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]),
        ("graded scores", [0.5, 1, 0.2, 0.9, 0.4], [0.4, 0.3, 0.6, 0.1, 0.4]),
        ("two equal systems", [1, 0, 1, 0, 1], [1, 0, 1, 0, 1]),
    ):
        yield Case(about, (np.array(a, float), np.array(b, float), every), right)


def _newer_wins(hits: Found) -> list[str]:
    ordered = list(hits)
    for newer in hits:
        at = ordered.index(newer)
        documents = [hit["document"] for hit in ordered[:at]]
        if newer["supersedes"] in documents:
            ordered.insert(documents.index(newer["supersedes"]), ordered.pop(at))
    return [hit["id"] for hit in ordered]


def _by_date(hits: Found) -> list[str]:
    return [hit["id"] for hit in sorted(hits, key=lambda hit: hit["date"], reverse=True)]


def _to_the_top(hits: Found) -> list[str]:
    return [h["id"] for h in sorted(hits, key=lambda h: not h["supersedes"])]


def _drops_the_old(hits: Found) -> list[str]:
    gone = {hit["supersedes"] for hit in hits}
    return [hit["id"] for hit in hits if hit["document"] not in gone]


def _old_to_the_end(hits: Found) -> list[str]:
    gone = {hit["supersedes"] for hit in hits}
    return [hit["id"] for hit in sorted(hits, key=lambda hit: hit["document"] in gone)]


def _swaps(hits: Found) -> list[str]:
    ordered = list(hits)
    for j, newer in enumerate(hits):
        for i, older in enumerate(ordered[:j]):
            if newer["supersedes"] == older["document"]:
                ordered[i], ordered[j] = ordered[j], ordered[i]
                break
    return [hit["id"] for hit in ordered]


@exercise(
    _newer_wins,
    mistakes=(
        Mistake(
            lambda hits: [hit["id"] for hit in hits],
            "You changed nothing. Look for a hit that supersedes one above it.",
        ),
        Mistake(_by_date, "New is not better in itself: only what supersedes may overtake."),
        Mistake(_to_the_top, "Take the place of what is superseded, not the first place."),
        Mistake(_drops_the_old, "Keep the older hit: most of its document is still true."),
        Mistake(_old_to_the_end, "Do not send the older hit to the end: it follows the newer one."),
        Mistake(_swaps, "You swapped the two. Move the newer one up; the others keep their order."),
    ),
)
def newer_wins() -> Iterator[Case]:
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
    yield Case("a bulletin right below its manual", ([manual, bulletin],), move)
    yield Case("a bulletin further down", ([manual, twin, note, bulletin],), move)
    yield Case("a manual that is not first", ([twin, manual, note, bulletin],), move)
    yield Case("a bulletin above its manual", ([bulletin, note, manual],), "Leave it in its place.")
    yield Case(
        "a bulletin for a document that was not found",
        ([manual, twin, second],),
        "It supersedes none of these: leave it in its place.",
    )
    yield Case("no bulletin at all", ([note, manual],), "Leave the order as it is.")
