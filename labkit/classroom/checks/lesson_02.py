"""The exercise checks of lesson 02: cosine, filtered search, and what a re-ingestion must do.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how the store does the same work.
Used by lesson 02, which imports this module as ``check``.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labkit.classroom.checks.check import Case, Mistake, exercise

if TYPE_CHECKING:
    import numpy as np

SyncPlan = dict[str, set[str]]


def _cosine(a: "np.ndarray", b: "np.ndarray") -> float:
    import numpy as np

    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


def _dot(a: "np.ndarray", b: "np.ndarray") -> float:
    return float(a @ b)


def _euclidean(a: "np.ndarray", b: "np.ndarray") -> float:
    import numpy as np

    return float(np.linalg.norm(a - b))


def _unguarded(a: "np.ndarray", b: "np.ndarray") -> float:
    """Return the cosine, not a number for a zero vector."""
    return _cosine(a, b) if a.any() and b.any() else float("nan")


@exercise(
    _cosine,
    mistakes=(
        Mistake(_dot, "That is the dot product. Divide it by the product of both lengths."),
        Mistake(
            lambda a, b: 1 - _cosine(a, b),
            "That is the cosine distance. The similarity is 1 minus it.",
        ),
        Mistake(_euclidean, "That is how far apart the tips are. Compare directions instead."),
        Mistake(lambda a, b: abs(_cosine(a, b)), "Keep the sign: opposite is not the same."),
        Mistake(_unguarded, "0 / 0 is not a number. Look at the lengths before you divide."),
    ),
)
def cosine() -> Iterator[Case]:
    """Check lesson 02, exercise 1: the cosine similarity of two vectors of any length."""
    import numpy as np

    divide = "The lengths must not matter: divide by both of them."
    yield Case("two parallel vectors", (np.array([3.0, 4.0]), np.array([6.0, 8.0])), divide)
    yield Case("two vectors at 60 degrees", (np.array([2.0, 0.0]), np.array([1.0, 3**0.5])), divide)
    yield Case(
        "two opposite vectors",
        (np.array([1.0, 2.0, 2.0]), np.array([-2.0, -4.0, -4.0])),
        "Keep the sign: opposite is not the same.",
    )
    yield Case(
        "a vector of zeros",
        (np.zeros(3), np.array([1.0, 2.0, 3.0])),
        "A vector of zeros has no direction. Return 0.0 before you divide.",
    )


def _top_k(scores: "np.ndarray", allowed: "np.ndarray", k: int) -> "np.ndarray":
    import numpy as np

    places = np.flatnonzero(allowed)
    return places[np.argsort(-scores[places], kind="stable")][:k]


def _filter_after(scores: "np.ndarray", allowed: "np.ndarray", k: int) -> "np.ndarray":
    best = (-scores).argsort(kind="stable")[:k]
    return best[allowed[best]]


def _places_in_subset(scores: "np.ndarray", allowed: "np.ndarray", k: int) -> "np.ndarray":
    return (-scores[allowed]).argsort(kind="stable")[:k]


def _worst_first(scores: "np.ndarray", allowed: "np.ndarray", k: int) -> "np.ndarray":
    return _top_k(-scores, allowed, k)


def _multiplied(scores: "np.ndarray", allowed: "np.ndarray", k: int) -> "np.ndarray":
    return (-scores * allowed).argsort(kind="stable")[:k]


def _padded(scores: "np.ndarray", allowed: "np.ndarray", k: int) -> "np.ndarray":
    """Sort the forbidden rows last instead of leaving them out."""
    import numpy as np

    return np.argsort(np.where(allowed, -scores, np.inf), kind="stable")[:k]


@exercise(
    _top_k,
    mistakes=(
        Mistake(
            _filter_after,
            "You ranked first and filtered the winners. Filter first, then rank what is left.",
        ),
        Mistake(
            _places_in_subset,
            "Those are places among the allowed rows. Translate them back to rows of `scores`.",
        ),
        Mistake(_worst_first, "Those are the worst rows. A higher score is better."),
        Mistake(
            _padded,
            "Rows that are not allowed must never come back, even if fewer than k are left.",
        ),
        Mistake(
            _multiplied,
            "A forbidden row now scores 0, and 0 beats every negative score. Leave it out.",
        ),
    ),
)
def filtered_top_k() -> Iterator[Case]:
    """Check lesson 02, exercise 2: the best rows among those that a filter allows."""
    import numpy as np

    scores = np.array([0.20, 0.90, 0.50, 0.80, 0.10, 0.70])
    every, some = np.ones(6, bool), np.array([True, False, True, False, True, True])
    yield Case("no filter", (scores, every, 3), "Rank by score, best first.")
    yield Case("a filter that drops the two best rows", (scores, some, 3), "Filter, then rank.")
    yield Case(
        "fewer allowed rows than k",
        (scores, np.array([False, False, True, False, False, True]), 5),
        "Return the allowed rows only, even if they are fewer than k.",
    )
    yield Case(
        "negative scores",
        (np.array([-0.4, -0.1, -0.3, -0.2]), np.array([True, False, True, True]), 1),
        "A cosine may be negative. Choose rows by `allowed`, not by changing their scores.",
    )
    yield Case(
        "a filter that allows nothing",
        (scores, np.zeros(6, bool), 3),
        "No row is allowed: return an empty array of row numbers.",
        accept=lambda result: len(result) == 0,
    )


def _sync_plan(old: dict[str, str], new: dict[str, str]) -> SyncPlan:
    both = old.keys() & new.keys()
    unchanged = {name for name in both if old[name] == new[name]}
    return {
        "added": set(new.keys() - old.keys()),
        "changed": set(both - unchanged),
        "unchanged": unchanged,
        "removed": set(old.keys() - new.keys()),
    }


def _swapped(old: dict[str, str], new: dict[str, str]) -> SyncPlan:
    return _sync_plan(new, old)


def _blind_to_content(old: dict[str, str], new: dict[str, str]) -> SyncPlan:
    plan = _sync_plan(old, new)
    both = plan["changed"] | plan["unchanged"]
    return plan | {"changed": set(), "unchanged": both}


def _always_changed(old: dict[str, str], new: dict[str, str]) -> SyncPlan:
    plan = _sync_plan(old, new)
    both = plan["changed"] | plan["unchanged"]
    return plan | {"changed": both, "unchanged": set()}


def _by_hash(old: dict[str, str], new: dict[str, str]) -> SyncPlan:
    """Compare contents and forget whose they are: a renamed document looks unchanged."""
    plan = _sync_plan(old, new)
    renamed = {name for name in plan["added"] if new[name] in old.values()}
    gone = {name for name in plan["removed"] if old[name] in new.values()}
    return plan | {
        "added": plan["added"] - renamed,
        "unchanged": plan["unchanged"] | renamed,
        "removed": plan["removed"] - gone,
    }


@exercise(
    _sync_plan,
    mistakes=(
        Mistake(_swapped, "Added and removed are swapped: what only the new scan has is added."),
        Mistake(_blind_to_content, "Same id is not same text. Compare the hashes too."),
        Mistake(_always_changed, "Nothing would ever be unchanged. Compare the hashes first."),
        Mistake(
            _by_hash,
            "A known text under a new id is a new document: its rows carry the id. Go by id.",
        ),
    ),
)
def sync_plan() -> Iterator[Case]:
    """Check lesson 02, exercise 3: what a second ingestion has to do."""
    old = {"manual": "a1", "bulletin": "b1", "note": "c1"}
    shape = 'Return {"added": …, "changed": …, "unchanged": …, "removed": …}, each a set of ids.'
    yield Case(
        "one new, one edited, one gone", (old, {"manual": "a2", "note": "c1", "x": "d1"}), shape
    )
    yield Case("nothing new", (old, dict(old)), "Equal ids with equal hashes are unchanged.")
    yield Case(
        "a renamed document",
        ({"manual": "a1"}, {"manual-v2": "a1"}),
        "An id that was not there is added, whatever its text.",
    )
    yield Case("an empty store", ({}, old), "Everything is added.")
    yield Case("an empty folder", (old, {}), "Everything is removed.")
