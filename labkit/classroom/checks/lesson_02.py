"""The exercise checks of lesson 02: cosine, filtered search, and what a re-ingestion must do.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how the store does the same work.
Used by lesson 02, which imports this module as ``check``.
"""

import numpy as np

from labkit.classroom.checks.check import Case, Cases, exercise

Hashes = dict[str, str]


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0


@exercise(_cosine, lambda a, b: {
    "That is the dot product. Divide it by the product of both lengths.": a @ b,
    "That is the cosine distance. The similarity is 1 minus it.": 1 - _cosine(a, b),
    "That is how far apart the tips are. Compare directions instead.": np.linalg.norm(a - b),
    "Keep the sign: opposite is not the same.": abs(_cosine(a, b)),
    "0 / 0 is not a number. Look at the lengths before you divide.": _cosine(a, b) or np.nan,
})  # fmt: skip
def cosine() -> Cases:
    """Check lesson 02, exercise 1: the cosine similarity of two vectors of any length."""
    a, divide = np.array([1.0, 2.0, 2.0]), "The lengths must not matter: divide by both of them."
    yield Case("two parallel vectors", (np.array([3.0, 4.0]), np.array([6.0, 8.0])), divide)
    yield Case("two vectors at 60 degrees", (np.array([2.0, 0.0]), np.array([1.0, 3**0.5])), divide)
    yield Case("two opposite vectors", (a, -2 * a), "Keep the sign: opposite is not the same.")
    zero = "A vector of zeros has no direction. Return 0.0 before you divide."
    yield Case("a vector of zeros", (np.zeros(3), a), zero)


def _order(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, kind="stable")


def _top_k(scores: np.ndarray, allowed: np.ndarray, k: int) -> np.ndarray:
    rows = np.flatnonzero(allowed)
    return rows[_order(scores[rows])][:k]


@exercise(_top_k, lambda scores, allowed, k: {
    "You ranked first and filtered the winners. Filter first, then rank what is left.":
        [row for row in _order(scores)[:k] if allowed[row]],
    "Those are places among the allowed rows. Translate them back to rows of `scores`.":
        _order(scores[allowed])[:k],
    "Those are the worst rows. A higher score is better.": _top_k(-scores, allowed, k),
    "Rows that are not allowed must never come back, even if fewer than k are left.":
        _order(np.where(allowed, scores, -np.inf))[:k],
    "A forbidden row now scores 0, and 0 beats every negative score. Leave it out.":
        _order(scores * allowed)[:k],
})  # fmt: skip
def filtered_top_k() -> Cases:
    """Check lesson 02, exercise 2: the best rows among those that a filter allows."""
    scores = np.array([0.20, 0.90, 0.50, 0.80, 0.10, 0.70])
    every, some = np.ones(6, bool), np.array([True, False, True, False, True, True])
    yield Case("no filter", (scores, every, 3), "Rank by score, best first.")
    yield Case("a filter that drops the two best rows", (scores, some, 3), "Filter, then rank.")
    two = np.array([False, False, True, False, False, True])
    fewer = "Return the allowed rows only, even if they are fewer than k."
    yield Case("fewer allowed rows than k", (scores, two, 5), fewer)
    below, three = np.array([-0.4, -0.1, -0.3, -0.2]), np.array([True, False, True, True])
    choose = "A cosine may be negative. Choose rows by `allowed`, not by changing their scores."
    yield Case("negative scores", (below, three, 1), choose)
    none = "No row is allowed: return an empty array of row numbers."
    nothing = (scores, np.zeros(6, bool), 3)
    yield Case("a filter that allows nothing", nothing, none, lambda rows: len(rows) == 0)


def _sync_plan(old: Hashes, new: Hashes) -> dict[str, set[str]]:
    both = old.keys() & new.keys()
    unchanged = {name for name in both if old[name] == new[name]}
    return {
        "added": new.keys() - old.keys(),
        "changed": both - unchanged,
        "unchanged": unchanged,
        "removed": old.keys() - new.keys(),
    }


def _by_hash(old: Hashes, new: Hashes) -> dict[str, set[str]]:
    """Compare contents and forget whose they are: a renamed document looks unchanged."""
    kept = {name: text for name, text in old.items() if name in new or text not in new.values()}
    moved = {name: text for name, text in new.items() if text in old.values()}
    return _sync_plan(moved | kept, new)


@exercise(_sync_plan, lambda old, new: {
    "Added and removed are swapped: what only the new scan has is added.": _sync_plan(new, old),
    "Same id is not same text. Compare the hashes too.":
        _sync_plan(dict.fromkeys(old, ""), dict.fromkeys(new, "")),
    "Nothing would ever be unchanged. Compare the hashes first.":
        _sync_plan(dict.fromkeys(old, ""), new),
    "A known text under a new id is a new document: its rows carry the id. Go by id.":
        _by_hash(old, new),
})  # fmt: skip
def sync_plan() -> Cases:
    """Check lesson 02, exercise 3: what a second ingestion has to do."""
    old = {"manual": "a1", "bulletin": "b1", "note": "c1"}
    new = {"manual": "a2", "note": "c1", "x": "d1"}
    shape = 'Return {"added": …, "changed": …, "unchanged": …, "removed": …}, each a set of ids.'
    yield Case("one new, one edited, one gone", (old, new), shape)
    yield Case("nothing new", (old, dict(old)), "Equal ids with equal hashes are unchanged.")
    renamed = "An id that was not there is added, whatever its text."
    yield Case("a renamed document", ({"manual": "a1"}, {"manual-v2": "a1"}), renamed)
    yield Case("an empty store", ({}, old), "Everything is added.")
    yield Case("an empty folder", (old, {}), "Everything is removed.")
