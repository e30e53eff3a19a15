"""The rivals of ``bench retrieval``: NumPy, faiss, hnswlib and usearch behind one pair of calls.

Knows: how each library builds an index into a folder, and opens and asks it again.
Does not know: LanceDB (``store.index``) or how anything is measured (``retrieval``).
Used by ``python -m labkit bench retrieval``. The libraries are the optional extra ``bench``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Search = Callable[..., np.ndarray]

GRAPH_DEGREE = 16
GRAPH_EF_BUILD = 100
N_SUBVECTORS = 48


def build(kind: str, vectors: np.ndarray, folder: Path, *, n_threads: int) -> None:
    """Build the index ``kind`` of unit vectors ``(n, d) float32`` and write it to ``folder``.

    Raises
    ------
    ModuleNotFoundError
        If the library is not installed.
    """
    _BUILDERS[kind](vectors, folder / "index", n_threads)


def open_search(kind: str, folder: Path, dimension: int, *, n_threads: int) -> Search:
    """Return ``search(queries, k, **settings) -> ids (q, k)`` of an index that ``build`` wrote."""
    return _OPENERS[kind](folder / "index", dimension, n_threads)


def _build_numpy(vectors: np.ndarray, path: Path, n_threads: int) -> None:
    np.save(path.with_suffix(".npy"), vectors)


def _open_numpy(path: Path, dimension: int, n_threads: int) -> Search:
    from labkit.store.ivf_pq import exact_neighbours

    vectors = np.load(path.with_suffix(".npy"))
    return lambda queries, k: exact_neighbours(queries, vectors, k)


def _build_faiss(make: Callable[[Any, int, int], Any]) -> Callable[[np.ndarray, Path, int], None]:
    def build_it(vectors: np.ndarray, path: Path, n_threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(n_threads)
        index = make(faiss, vectors.shape[1], len(vectors))
        index.train(vectors)
        index.add(vectors)
        faiss.write_index(index, str(path))

    return build_it


def _open_faiss(path: Path, dimension: int, n_threads: int) -> Search:
    import faiss

    faiss.omp_set_num_threads(n_threads)
    index: Any = faiss.read_index(str(path))

    def search(queries: np.ndarray, k: int, *, ef: int = 0, nprobes: int = 0) -> np.ndarray:
        if ef:
            index.hnsw.efSearch = ef
        if nprobes:
            index.nprobe = nprobes
        return index.search(queries, k)[1]

    return search


def _faiss_hnsw(faiss: Any, dimension: int, n: int) -> Any:
    index = faiss.IndexHNSWFlat(dimension, GRAPH_DEGREE, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = GRAPH_EF_BUILD
    return index


def _faiss_ivf_pq(faiss: Any, dimension: int, n: int) -> Any:
    index = faiss.index_factory(
        dimension, f"IVF{round(n**0.5)},PQ{N_SUBVECTORS}x8", faiss.METRIC_INNER_PRODUCT
    )
    index.cp.niter = 25
    return index


def _build_hnswlib(vectors: np.ndarray, path: Path, n_threads: int) -> None:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(len(vectors), M=GRAPH_DEGREE, ef_construction=GRAPH_EF_BUILD, random_seed=0)
    index.add_items(vectors, num_threads=n_threads)
    index.save_index(str(path))


def _open_hnswlib(path: Path, dimension: int, n_threads: int) -> Search:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=dimension)
    index.load_index(str(path))

    def search(queries: np.ndarray, k: int, *, ef: int) -> np.ndarray:
        index.set_ef(max(ef, k))
        return index.knn_query(queries, k=k, num_threads=n_threads)[0]

    return search


def _build_usearch(vectors: np.ndarray, path: Path, n_threads: int) -> None:
    index = _usearch_index(vectors.shape[1])
    index.add(np.arange(len(vectors)), vectors, threads=n_threads)
    index.save(str(path))


def _open_usearch(path: Path, dimension: int, n_threads: int) -> Search:
    index = _usearch_index(dimension)
    index.load(str(path))

    def search(queries: np.ndarray, k: int, *, ef: int) -> np.ndarray:
        index.expansion_search = ef
        found = index.search(queries, k, threads=n_threads).keys
        return np.asarray(found).astype(np.int64).reshape(len(queries), -1)

    return search


def _usearch_index(dimension: int) -> Any:
    from usearch.index import Index

    return Index(
        ndim=dimension,
        metric="ip",
        dtype="f32",
        connectivity=GRAPH_DEGREE,
        expansion_add=GRAPH_EF_BUILD,
    )


_BUILDERS: dict[str, Callable[[np.ndarray, Path, int], None]] = {
    "NumPy exact": _build_numpy,
    "faiss flat": _build_faiss(lambda faiss, dimension, n: faiss.IndexFlatIP(dimension)),
    "faiss HNSW": _build_faiss(_faiss_hnsw),
    "faiss IVF_PQ": _build_faiss(_faiss_ivf_pq),
    "hnswlib": _build_hnswlib,
    "usearch": _build_usearch,
}
_OPENERS: dict[str, Callable[[Path, int, int], Search]] = {
    "NumPy exact": _open_numpy,
    "faiss flat": _open_faiss,
    "faiss HNSW": _open_faiss,
    "faiss IVF_PQ": _open_faiss,
    "hnswlib": _open_hnswlib,
    "usearch": _open_usearch,
}
KINDS = tuple(_BUILDERS)
