"""The rivals of ``bench retrieval``: NumPy, faiss, hnswlib and usearch behind one pair of calls.

Knows: how each library builds an index into a folder, and opens and asks it again.
Does not know: LanceDB (``store.index``) or how anything is measured (``retrieval``).
Used by ``python -m labkit bench retrieval``. The libraries are the optional extra ``bench``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from labkit.store.ivf_pq import exact_neighbours

Search = Callable[..., np.ndarray]

GRAPH_DEGREE = 16
GRAPH_EF_BUILD = 100
_FAISS_RECIPES = {
    "faiss flat": "Flat",
    "faiss HNSW": f"HNSW{GRAPH_DEGREE},Flat",
    "faiss IVF_PQ": "IVF{n_partitions},PQ48x8",
}


def build(kind: str, vectors: np.ndarray, folder: Path, *, n_threads: int) -> None:
    """Build the index ``kind`` of unit vectors ``(n, d) float32`` and write it to ``folder``.

    Parameters
    ----------
    n_threads
        For hnswlib and usearch; faiss takes what the variable ``OMP_NUM_THREADS`` says.
    """
    _LIBRARIES[kind.split()[0]][0](kind, vectors, folder / "index.npy", n_threads)


def open_search(kind: str, folder: Path, dimension: int, *, n_threads: int) -> Search:
    """Return ``search(queries, k, **settings) -> ids (q, k)`` of an index that ``build`` wrote."""
    return _LIBRARIES[kind.split()[0]][1](folder / "index.npy", dimension, n_threads)


def _build_numpy(kind: str, vectors: np.ndarray, path: Path, n_threads: int) -> None:
    np.save(path, vectors)


def _open_numpy(path: Path, dimension: int, n_threads: int) -> Search:
    vectors = np.load(path)
    return lambda queries, k: exact_neighbours(queries, vectors, k)


def _build_faiss(kind: str, vectors: np.ndarray, path: Path, n_threads: int) -> None:
    import faiss

    n, dimension = vectors.shape
    recipe = _FAISS_RECIPES[kind].format(n_partitions=round(n**0.5))
    index = faiss.index_factory(dimension, recipe, faiss.METRIC_INNER_PRODUCT)
    if kind == "faiss HNSW":
        index.hnsw.efConstruction = GRAPH_EF_BUILD
    if kind == "faiss IVF_PQ":
        index.cp.niter = 25
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(path))


def _open_faiss(path: Path, dimension: int, n_threads: int) -> Search:
    import faiss

    index: Any = faiss.read_index(str(path))

    def search(queries: np.ndarray, k: int, *, ef: int = 0, nprobes: int = 0) -> np.ndarray:
        if ef:
            index.hnsw.efSearch = ef
        if nprobes:
            index.nprobe = nprobes
        return index.search(queries, k)[1]

    return search


def _build_hnswlib(kind: str, vectors: np.ndarray, path: Path, n_threads: int) -> None:
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


def _build_usearch(kind: str, vectors: np.ndarray, path: Path, n_threads: int) -> None:
    from usearch.index import Index

    graph = {"connectivity": GRAPH_DEGREE, "expansion_add": GRAPH_EF_BUILD}
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", **graph)
    index.add(np.arange(len(vectors)), vectors, threads=n_threads)
    index.save(str(path))


def _open_usearch(path: Path, dimension: int, n_threads: int) -> Search:
    from usearch.index import Index

    index: Any = Index.restore(str(path))

    def search(queries: np.ndarray, k: int, *, ef: int) -> np.ndarray:
        index.expansion_search = ef
        found = index.search(queries, k, threads=n_threads).keys
        return np.asarray(found).astype(np.int64).reshape(len(queries), -1)

    return search


_LIBRARIES: dict[str, tuple[Callable[..., None], Callable[[Path, int, int], Search]]] = {
    "NumPy": (_build_numpy, _open_numpy),
    "faiss": (_build_faiss, _open_faiss),
    "hnswlib": (_build_hnswlib, _open_hnswlib),
    "usearch": (_build_usearch, _open_usearch),
}
