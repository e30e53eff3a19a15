"""Approximate search from scratch: k-means, an inverted file, product quantization.

Knows: NumPy and the two ideas behind most vector indexes: look at a part of the vectors only
(IVF), and keep each vector in a few bytes (PQ).
Does not know: files, updates or LanceDB (``index``).
Used by lesson 03, which builds the same on the page, and as the truth in ``bench.retrieval``.
"""

from dataclasses import dataclass

import numpy as np

_ROWS_AT_ONCE = 65_536


def exact_neighbours(queries: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """Return the rows of the ``k`` largest dot products of each query, best first.

    Parameters
    ----------
    queries, vectors
        ``(q, d)`` and ``(n, d)``; for unit vectors the dot product is the cosine.
    k
        Between 1 and n.

    Returns
    -------
    numpy.ndarray
        ``(q, k) int64``.

    Raises
    ------
    ValueError
        If the shapes do not fit or ``k`` is out of range.
    """
    _require_matrix(vectors, queries.shape[-1])
    if not 1 <= k <= len(vectors):
        raise ValueError(f"k is {k}; {len(vectors)} vectors have 1 to {len(vectors)} neighbours.")
    best: np.ndarray = np.zeros((len(queries), 0), np.float32)
    rows: np.ndarray = np.zeros((len(queries), 0), np.int64)
    for start in range(0, len(vectors), _ROWS_AT_ONCE):  # so that memory stays small for any n
        scores = queries @ vectors[start : start + _ROWS_AT_ONCE].T  # (q, block)
        near = np.argpartition(-scores, min(k, scores.shape[1]) - 1, axis=1)[:, :k]
        rows = np.hstack([rows, near + start])
        best = np.hstack([best, np.take_along_axis(scores, near, axis=1)])
        order = np.argsort(-best, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(best, order, axis=1)
        rows = np.take_along_axis(rows, order, axis=1)
    return rows


def recall_at_k(found_ids: np.ndarray, true_ids: np.ndarray) -> float:
    """Return the mean share of each query's true neighbours that were found.

    Parameters
    ----------
    found_ids, true_ids
        ``(q, k)`` and ``(q, k)``; order does not matter, and -1 stands for "nothing found".

    Raises
    ------
    ValueError
        If the numbers of queries differ or there are none.
    """
    if len(found_ids) != len(true_ids) or len(true_ids) == 0:
        raise ValueError(
            f"{len(found_ids)} lists were found for {len(true_ids)} queries; give one list each, "
            "and at least one."
        )
    pairs = zip(found_ids, true_ids, strict=True)
    return float(np.mean([np.isin(true, found).mean() for found, true in pairs]))


def kmeans(
    vectors: np.ndarray, n: int, *, n_iterations: int = 10, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``n`` centroids and the number of the nearest one to each vector (Lloyd's algorithm).

    Parameters
    ----------
    vectors
        ``(m, d) float32`` with m of n or more.
    n
        Centroids.
    n_iterations
        Rounds of "assign, then average"; each round costs m * n * d multiplications.
    seed
        Of the rows that the centroids start from.

    Returns
    -------
    tuple of numpy.ndarray
        Centroids ``(n, d) float32`` and assignment ``(m,) int64``.

    Raises
    ------
    ValueError
        If there are fewer vectors than centroids.
    """
    _require_matrix(vectors, vectors.shape[-1])
    if not 1 <= n <= len(vectors):
        raise ValueError(f"{len(vectors)} vectors cannot have {n} centroids; use 1 to that many.")
    start = np.random.default_rng(seed).choice(len(vectors), n, replace=False)
    centroids = vectors[start].astype(np.float32)
    nearest = _nearest(vectors, centroids)
    for _ in range(n_iterations):
        counts = np.bincount(nearest, minlength=n)
        sums = np.zeros_like(centroids)
        np.add.at(sums, nearest, vectors)
        filled = counts > 0  # an empty centroid stays where it is
        centroids[filled] = sums[filled] / counts[filled, None]
        nearest = _nearest(vectors, centroids)
    return centroids, nearest


@dataclass(frozen=True)
class InvertedFile:
    """Vectors in partitions: a search looks into the nearest few only.

    Attributes
    ----------
    centroids : numpy.ndarray
        ``(p, d)``, one a partition.
    members : list of numpy.ndarray
        The rows of each partition.
    """

    centroids: np.ndarray
    members: list[np.ndarray]

    def probed(self, query: np.ndarray, n_probes: int) -> np.ndarray:
        """Return the numbers of the ``n_probes`` partitions nearest to ``query`` ``(d,)``."""
        if n_probes < 1:
            raise ValueError(f"n_probes is {n_probes}; look into at least 1 partition.")
        return np.argsort(_squared_distances(query[None], self.centroids)[0])[:n_probes]

    def search(
        self, query: np.ndarray, vectors: np.ndarray, k: int, *, n_probes: int
    ) -> np.ndarray:
        """Return up to ``k`` rows of ``vectors`` with the largest dot products, best first."""
        rows = np.concatenate([self.members[p] for p in self.probed(query, n_probes)])
        return rows[np.argsort(-(vectors[rows] @ query), kind="stable")[:k]]


def build_ivf(
    vectors: np.ndarray, n_partitions: int, *, n_iterations: int = 10, seed: int = 0
) -> InvertedFile:
    """Divide ``vectors`` ``(n, d)`` into partitions around the centroids of k-means.

    Source: Sivic and Zisserman, "Video Google", 2003.
    """
    centroids, nearest = kmeans(vectors, n_partitions, n_iterations=n_iterations, seed=seed)
    return InvertedFile(centroids, [np.flatnonzero(nearest == p) for p in range(n_partitions)])


@dataclass(frozen=True)
class ProductQuantizer:
    """A codebook for each slice of a vector: a vector becomes one small number a slice.

    Attributes
    ----------
    codebooks : numpy.ndarray
        ``(m, c, d / m) float32``: m slices, c centroids each.
    """

    codebooks: np.ndarray

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """Return the nearest centroid of every slice, ``(n, m) uint8``."""
        slices = _slices(vectors, len(self.codebooks))
        pairs = zip(slices, self.codebooks, strict=True)
        return np.stack([_nearest(part, book) for part, book in pairs], axis=1).astype(np.uint8)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the vectors ``(n, d)`` that codes ``(n, m)`` stand for."""
        return np.hstack([book[codes[:, i]] for i, book in enumerate(self.codebooks)])

    def distances(self, query: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return the squared distances ``(n,)`` of ``query`` ``(d,)`` to coded vectors.

        The query stays exact ("asymmetric"): one table of m * c distances, then m look-ups a
        vector and no multiplication.
        """
        slices = _slices(query[None], len(self.codebooks))
        pairs = zip(slices, self.codebooks, strict=True)
        table = np.stack([_squared_distances(part, book)[0] for part, book in pairs])  # (m, c)
        return table[np.arange(len(table)), codes].sum(axis=1)


def train_pq(
    vectors: np.ndarray, n_slices: int, *, n_codes: int = 256, n_iterations: int = 10, seed: int = 0
) -> ProductQuantizer:
    """Learn a codebook of ``n_codes`` for each of ``n_slices`` slices of the vectors.

    Parameters
    ----------
    vectors
        ``(n, d) float32`` with n of ``n_codes`` or more.
    n_slices
        Bytes a vector; must divide d. More slices: more bytes, less error.
    n_codes
        2 to 256, so that a code fits in a byte.
    n_iterations, seed
        Of k-means.

    Raises
    ------
    ValueError
        If ``n_slices`` does not divide d, or ``n_codes`` does not fit in a byte.

    Source: Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", 2011.
    """
    if not 2 <= n_codes <= 256:
        raise ValueError(f"{n_codes} codes do not fit in a byte; use 2 to 256.")
    books = [
        kmeans(part, n_codes, n_iterations=n_iterations, seed=seed)[0]
        for part in _slices(vectors, n_slices)
    ]
    return ProductQuantizer(np.stack(books))


@dataclass(frozen=True)
class CodedInvertedFile:
    """An inverted file whose vectors are kept as codes of their distance from the centroid."""

    ivf: InvertedFile
    quantizer: ProductQuantizer
    codes: np.ndarray

    def search(self, query: np.ndarray, k: int, *, n_probes: int) -> np.ndarray:
        """Return up to ``k`` rows by the distance of their codes to ``query`` ``(d,)``, best first.

        Codes blur the order: take more rows than you need, and rank them by their true vectors.
        """
        probed = self.ivf.probed(query, n_probes)
        rows = [self.ivf.members[p] for p in probed]
        residuals = query - self.ivf.centroids[probed]
        distances = [
            self.quantizer.distances(residual, self.codes[members])
            for residual, members in zip(residuals, rows, strict=True)
        ]
        best = np.argsort(np.concatenate(distances), kind="stable")[:k]
        return np.concatenate(rows)[best]


def build_ivf_pq(
    vectors: np.ndarray, n_partitions: int, n_slices: int, *, n_codes: int = 256, seed: int = 0
) -> CodedInvertedFile:
    """Divide ``vectors`` into partitions and code what separates each from its centroid."""
    ivf = build_ivf(vectors, n_partitions, seed=seed)
    residuals = vectors.copy()
    for centroid, rows in zip(ivf.centroids, ivf.members, strict=True):
        residuals[rows] -= centroid
    quantizer = train_pq(residuals, n_slices, n_codes=n_codes, seed=seed)
    return CodedInvertedFile(ivf, quantizer, quantizer.encode(residuals))


def _nearest(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    starts = range(0, len(vectors), _ROWS_AT_ONCE)
    blocks = (vectors[start : start + _ROWS_AT_ONCE] for start in starts)
    return np.concatenate([_squared_distances(b, centroids).argmin(axis=1) for b in blocks])


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``(len(a), len(b))`` through |a - b|² = |a|² - 2ab + |b|²."""
    return (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)


def _slices(vectors: np.ndarray, n_slices: int) -> list[np.ndarray]:
    _require_matrix(vectors, vectors.shape[-1])
    if n_slices < 1 or vectors.shape[1] % n_slices:
        raise ValueError(f"{n_slices} slices do not divide {vectors.shape[1]} numbers evenly.")
    return np.split(vectors, n_slices, axis=1)


def _require_matrix(vectors: np.ndarray, dimension: int) -> None:
    if vectors.ndim != 2 or len(vectors) == 0 or vectors.shape[1] != dimension:
        raise ValueError(
            f"The vectors have the shape {vectors.shape}; expected (n, {dimension}) with n of 1 "
            "or more."
        )
