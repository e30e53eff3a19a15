"""The exercise checks of lesson 03: recall, the partitions to probe, distances by look-up.

Knows: the three exercises and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how an index is built (``ivf_pq``,
whose functions are two of the references).
Used by lesson 03, which imports this module as ``check``.
"""

import numpy as np

from labkit.classroom.checks.check import Case, Cases, exercise
from labkit.store.ivf_pq import ProductQuantizer
from labkit.store.ivf_pq import recall_at_k as recall


@exercise(recall, lambda found, true: {
    "The order does not matter: compare sets, not places.": np.mean(found == true),
    "That counts neighbours. Divide by how many there are to find.":
        recall(found, true) * true.shape[1],
    "One hit is not enough: count the share of each query's neighbours.":
        (found[:, :, None] == true[:, None]).any(axis=(1, 2)).mean(),
    "A neighbour of one query does not help another. Go query by query, then average.":
        np.isin(np.unique(true), found).mean(),
})  # fmt: skip
def recall_at_k() -> Cases:
    """Check lesson 03, exercise 1: the share of the true neighbours that were found."""
    share = "For each query: how many of its true neighbours are among the found ones?"
    order = "The order does not matter: compare sets, not places."
    nothing = "-1 is no row. It must not count as found, and the list is still k long."
    some, true = [[1, 2, 9], [4, -1, -1], [-1, -1, -1]], [[3, 2, 1], [4, 5, 6], [7, 8, 9]]
    for about, found, expected, hint in (
        ("one query, all found in another order", [[3, 1]], [[1, 3]], order),
        ("one query, two of three found", [[3, 9, 1]], [[1, 2, 3]], share),
        ("two queries that find each other's", [[1, 2], [3, 4]], [[3, 4], [1, 2]], share),
        ("three queries, with -1 where nothing was found", some, true, nothing),
    ):
        yield Case(about, (np.array(found), np.array(expected)), hint)


def _probe(query: np.ndarray, centroids: np.ndarray, n_probes: int) -> np.ndarray:
    return np.argsort(np.linalg.norm(centroids - query, axis=1), kind="stable")[:n_probes]


@exercise(_probe, lambda query, centroids, n: {
    "Those are the farthest partitions. A small distance is near.":
        _probe(query, centroids, len(centroids))[::-1][:n],
    "A long centroid has a large dot product wherever it lies. Use the distance.":
        (-centroids @ query).argsort(kind="stable")[:n],
    "Return the partitions' numbers, not their distances.":
        np.sort(((centroids - query) ** 2).sum(axis=1))[:n],
    "That is one partition. Return as many as `n_probes` says.": _probe(query, centroids, 1),
})  # fmt: skip
def partitions_to_probe() -> Cases:
    """Check lesson 03, exercise 2: the numbers of the nearest centroids, nearest first."""
    centroids = np.array([[0.0, 3.0], [1.0, 0.0], [-1.0, 0.0], [4.0, 4.0], [-9.0, -9.0]])
    hint = "Subtract the query from every centroid, square, add up each row, and sort."
    every = "Then all of them, nearest first."
    yield Case("the one nearest partition", (np.array([1.0, 0.1]), centroids, 1), hint)
    yield Case("two partitions", (np.array([0.8, 0.1]), centroids, 2), hint)
    yield Case("three partitions", (np.array([0.4, 1.0]), centroids, 3), hint)
    yield Case("more partitions than there are", (np.array([0.4, 1.0]), centroids, 9), every)


def _parts(query: np.ndarray, codebooks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the squared distances slice by slice, ``(n, m)``."""
    squares = (ProductQuantizer(codebooks).decode(codes) - query) ** 2
    return squares.reshape(len(codes), len(codebooks), -1).sum(axis=2)


def _first_table_only(query: np.ndarray, codebooks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    m, _, width = codebooks.shape
    return _parts(np.tile(query[:width], m), codebooks[:1].repeat(m, axis=0), codes).sum(axis=1)


@exercise(lambda query, codebooks, codes: ProductQuantizer(codebooks).distances(query, codes),
          lambda query, books, codes: {
    "Each slice has a table of its own: slice i looks into row i.":
        _first_table_only(query, books, codes),
    "Leave the distance squared; the order is the same without the root.":
        _parts(query, books, codes).sum(axis=1) ** 0.5,
    "Squared distances add up, distances do not: drop the root.":
        (_parts(query, books, codes) ** 0.5).sum(axis=1),
    "Those are the distances slice by slice. Add them up for each vector.":
        _parts(query, books, codes),
})  # fmt: skip
def lookup_distances() -> Cases:
    """Check lesson 03, exercise 3: squared distances of a query to coded vectors."""
    books = np.array([[[0.0, 0.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 3.0]]])
    twice, three = np.array([[1, 1]], np.uint8), np.array([[0, 0], [1, 0], [0, 1]], np.uint8)
    table = "Make a table (m, c): the squared distance of each slice of the query to each code."
    look_up = "Look up code i of a vector in row i of the table."
    cut = "Cut the query into as many slices as there are codebooks, in order."
    yield Case("one vector with the same code twice", (np.zeros(4), books, twice), table)
    yield Case("three vectors", (np.array([1.0, 0.0, 0.0, 1.0]), books, three), look_up)
    random = np.random.default_rng(0)
    query, books = random.standard_normal(32), random.standard_normal((8, 16, 4))
    codes = random.integers(0, 16, (50, 8)).astype(np.uint8)
    yield Case("random codes, eight slices", (query, books, codes), cut)
