"""The exercise checks of lesson 03: recall, the partitions to probe, distances by look-up.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor the package's own index
(``vector_index``). Used by lesson 03.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labkit.classroom.checks.check import Case, Mistake, exercise

if TYPE_CHECKING:
    import numpy as np


def _recall(found: "np.ndarray", true: "np.ndarray") -> float:
    pairs = zip(found.tolist(), true.tolist(), strict=True)
    shares = [len(set(a) & set(b)) / len(b) for a, b in pairs]
    return sum(shares) / len(shares)


def _same_places(found: "np.ndarray", true: "np.ndarray") -> float:
    return float((found == true).mean())


def _total(found: "np.ndarray", true: "np.ndarray") -> float:
    return _recall(found, true) * true.shape[1]


def _any_hit(found: "np.ndarray", true: "np.ndarray") -> float:
    return sum(bool(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist())) / len(true)  # noqa: B905


def _all_queries_together(found: "np.ndarray", true: "np.ndarray") -> float:
    wanted = set(true.ravel().tolist())
    return len(wanted & set(found.ravel().tolist())) / len(wanted)


@exercise(
    _recall,
    mistakes=(
        Mistake(_same_places, "The order does not matter: compare sets, not places."),
        Mistake(_total, "That counts neighbours. Divide by how many there are to find."),
        Mistake(_any_hit, "One hit is not enough: count the share of each query's neighbours."),
        Mistake(
            _all_queries_together,
            "A neighbour of one query does not help another. Go query by query, then average.",
        ),
    ),
)
def recall_at_k() -> Iterator[Case]:
    """Check lesson 03, exercise 1: the share of the true neighbours that were found."""
    import numpy as np

    share = "For each query: how many of its true neighbours are among the found ones?"
    yield Case("one query, all found in another order", (np.array([[3, 1]]), np.array([[1, 3]])),
               "The order does not matter: compare sets, not places.")  # fmt: skip
    yield Case(
        "one query, two of three found", (np.array([[3, 9, 1]]), np.array([[1, 2, 3]])), share
    )
    yield Case(
        "two queries that find each other's neighbours",
        (np.array([[1, 2], [3, 4]]), np.array([[3, 4], [1, 2]])),
        share,
    )
    yield Case(
        "three queries, with -1 where nothing was found",
        (np.array([[1, 2, 9], [4, -1, -1], [-1, -1, -1]]),
         np.array([[3, 2, 1], [4, 5, 6], [7, 8, 9]])),
        "-1 is no row. It must not count as found, and the list is still k long.",
    )  # fmt: skip


def _probe(query: "np.ndarray", centroids: "np.ndarray", n_probes: int) -> "np.ndarray":
    import numpy as np

    return np.argsort(((centroids - query) ** 2).sum(axis=1), kind="stable")[:n_probes]


def _farthest(query: "np.ndarray", centroids: "np.ndarray", n_probes: int) -> "np.ndarray":
    return _probe(query, centroids, len(centroids))[::-1][:n_probes]


def _largest_dot(query: "np.ndarray", centroids: "np.ndarray", n_probes: int) -> "np.ndarray":
    return (-(centroids @ query)).argsort(kind="stable")[:n_probes]


def _distances_themselves(
    query: "np.ndarray", centroids: "np.ndarray", n_probes: int
) -> "np.ndarray":
    import numpy as np

    return np.sort(((centroids - query) ** 2).sum(axis=1))[:n_probes]


def _one(query: "np.ndarray", centroids: "np.ndarray", n_probes: int) -> "np.ndarray":
    return _probe(query, centroids, 1)


@exercise(
    _probe,
    mistakes=(
        Mistake(_farthest, "Those are the farthest partitions. A small distance is near."),
        Mistake(
            _largest_dot,
            "A long centroid has a large dot product wherever it lies. Use the distance.",
        ),
        Mistake(_distances_themselves, "Return the partitions' numbers, not their distances."),
        Mistake(_one, "That is one partition. Return as many as `n_probes` says."),
    ),
)
def partitions_to_probe() -> Iterator[Case]:
    """Check lesson 03, exercise 2: the numbers of the nearest centroids, nearest first."""
    import numpy as np

    centroids = np.array([[0.0, 3.0], [1.0, 0.0], [-1.0, 0.0], [4.0, 4.0], [-9.0, -9.0]])
    hint = "Subtract the query from every centroid, square, add up each row, and sort."
    yield Case("the one nearest partition", (np.array([1.0, 0.1]), centroids, 1), hint)
    yield Case("two partitions", (np.array([0.8, 0.1]), centroids, 2), hint)
    yield Case("three partitions", (np.array([0.4, 1.0]), centroids, 3), hint)
    yield Case(
        "more partitions than there are",
        (np.array([0.4, 1.0]), centroids, 9),
        "Then all of them, nearest first.",
    )


def _lookup(query: "np.ndarray", codebooks: "np.ndarray", codes: "np.ndarray") -> "np.ndarray":
    import numpy as np

    slices = query.reshape(len(codebooks), 1, -1)
    table = ((codebooks - slices) ** 2).sum(axis=2)  # (m, c)
    return table[np.arange(len(table)), codes].sum(axis=1)


def _first_table_only(
    query: "np.ndarray", codebooks: "np.ndarray", codes: "np.ndarray"
) -> "np.ndarray":
    slices = query.reshape(len(codebooks), 1, -1)
    return ((codebooks - slices) ** 2).sum(axis=2)[0][codes].sum(axis=1)


def _rooted(query: "np.ndarray", codebooks: "np.ndarray", codes: "np.ndarray") -> "np.ndarray":
    return _lookup(query, codebooks, codes) ** 0.5


def _sum_of_roots(
    query: "np.ndarray", codebooks: "np.ndarray", codes: "np.ndarray"
) -> "np.ndarray":
    import numpy as np

    slices = query.reshape(len(codebooks), 1, -1)
    table = ((codebooks - slices) ** 2).sum(axis=2) ** 0.5
    return table[np.arange(len(table)), codes].sum(axis=1)


def _not_added(query: "np.ndarray", codebooks: "np.ndarray", codes: "np.ndarray") -> "np.ndarray":
    import numpy as np

    table = ((codebooks - query.reshape(len(codebooks), 1, -1)) ** 2).sum(axis=2)
    return table[np.arange(len(table)), codes]


@exercise(
    _lookup,
    mistakes=(
        Mistake(_first_table_only, "Each slice has a table of its own: slice i looks into row i."),
        Mistake(_rooted, "Leave the distance squared; the order is the same without the root."),
        Mistake(_sum_of_roots, "Squared distances add up, distances do not: drop the root."),
        Mistake(_not_added, "Those are the distances slice by slice. Add them up for each vector."),
    ),
)
def lookup_distances() -> Iterator[Case]:
    """Check lesson 03, exercise 3: squared distances of a query to coded vectors."""
    import numpy as np

    books = np.array([[[0.0, 0.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 3.0]]])
    hint = "Make a table (m, c): the squared distance of each slice of the query to each code."
    yield Case(
        "one vector with the same code twice",
        (np.array([0.0, 0.0, 0.0, 0.0]), books, np.array([[1, 1]], np.uint8)),
        hint,
    )
    yield Case(
        "three vectors",
        (np.array([1.0, 0.0, 0.0, 1.0]), books, np.array([[0, 0], [1, 0], [0, 1]], np.uint8)),
        "Look up code i of a vector in row i of the table.",
    )
    random = np.random.default_rng(0)
    yield Case(
        "random codes, eight slices",
        (
            random.standard_normal(32),
            random.standard_normal((8, 16, 4)),
            random.integers(0, 16, (50, 8)).astype(np.uint8),
        ),
        "Cut the query into as many slices as there are codebooks, in order.",
    )
