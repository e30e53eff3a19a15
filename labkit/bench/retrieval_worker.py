"""One step of ``bench retrieval`` in a process of its own: build an index, or ask it.

Knows: how seconds and bytes of one step are taken. Does not know: which steps there are
(``retrieval``), which sets this process's threads before it starts.
Used by ``retrieval`` only.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from labkit import measure
from labkit.bench import ann_rivals
from labkit.bench import retrieval as bench_retrieval
from labkit.store import index as ann_tables
from labkit.store.ivf_pq import recall_at_k

N_WARM_UP = 10
N_TIMED = 100
LONG_ENOUGH_S = 20.0
N_BATCHES = 3
LANCE = "LanceDB "


def build(kind: str, scratch: Path, folder: Path, n_threads: int) -> dict:
    """Build one index in ``folder`` and return seconds, peak memory and bytes on disk."""
    import_library(kind)
    before = measure.peak_rss_bytes()
    table_s = 0.0
    if kind.startswith(LANCE):
        start = time.perf_counter()
        vectors = np.load(scratch / "vectors.npy", mmap_mode="r")
        table = ann_tables.create_table(folder, vectors)
        table_s = time.perf_counter() - start
        options = bench_retrieval.LANCE_KINDS[kind.removeprefix(LANCE)]
        options = {"kind": kind.removeprefix(LANCE), **options}
        action = partial(ann_tables.build_index, table, **options)
    else:
        vectors = np.load(scratch / "vectors.npy")
        action = partial(ann_rivals.build, kind, vectors, folder, n_threads=n_threads)
    start = time.perf_counter()
    action()
    build_s = time.perf_counter() - start
    if kind.startswith(LANCE):
        sizes = ann_tables.bytes_on_disk(folder)
    else:
        size = sum(path.stat().st_size for path in folder.iterdir())
        sizes = {"index_bytes": size, "data_bytes": 0}
    peak = measure.peak_rss_bytes() - before
    return {"table_s": table_s, "build_s": build_s, "build_peak_bytes": peak, **sizes}


def ask(kind: str, scratch: Path, folder: Path, n_threads: int) -> list[dict]:
    """Open one index, ask it with each of its settings, and return what each took.

    The first searches are not timed: they load the index. ``resident_bytes`` is what the process
    holds after all searches of a setting more than before it opened the index, libraries apart.
    """
    import_library(kind)
    queries = np.load(scratch / "queries.npy")
    truth = np.load(scratch / "truth.npy")
    before = measure.rss_bytes()
    if kind.startswith(LANCE):
        search: Callable[..., np.ndarray] = _lance_search(folder)
    else:
        search = ann_rivals.open_search(kind, folder, queries.shape[1], n_threads=n_threads)
    return [
        {
            "n_threads": n_threads,
            "settings": told,
            **_measure(partial(search, k=bench_retrieval.K, **told), queries, truth),
            "resident_bytes": measure.rss_bytes() - before,
        }
        for told in bench_retrieval.settings_of(kind)
    ]


def import_library(kind: str) -> None:
    """Load the library of a kind, so that its own bytes are not counted as the index's.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed.
    """
    if kind.startswith(LANCE):
        import lancedb  # noqa: F401
    elif kind.startswith("faiss"):
        import faiss  # noqa: F401
    elif kind == "hnswlib":
        import hnswlib  # noqa: F401
    elif kind == "usearch":
        import usearch.index  # noqa: F401


def _lance_search(folder: Path) -> Callable[..., np.ndarray]:
    table = ann_tables.open_table(folder)

    def search(queries: np.ndarray, k: int, **told: Any) -> np.ndarray:
        if "n_candidates" in told:
            return ann_tables.search_and_refine(table, queries, k, **told)
        return ann_tables.search_ids(table, queries, k, **told)

    return search


def _measure(
    search: Callable[[np.ndarray], np.ndarray], queries: np.ndarray, truth: np.ndarray
) -> dict:
    for query in queries[:N_WARM_UP]:
        search(query[None])
    times = []
    for query in queries[:N_TIMED]:
        start = time.perf_counter()
        search(query[None])
        times.append(time.perf_counter() - start)
    in_one_call = search(queries)
    batches, cpu_s = [], time.process_time()
    for _ in range(N_BATCHES):
        start = time.perf_counter()
        search(queries)
        batches.append(time.perf_counter() - start)
        if sum(batches) > LONG_ENOUGH_S:
            break
    cpu_s = time.process_time() - cpu_s  # of all threads; hardly changes when others are busy
    return {
        "recall": recall_at_k(in_one_call, truth),
        "p50_s": float(np.median(times)),
        "p95_s": float(np.quantile(times, 0.95)),
        "best_s": min(times),
        "batch_s": float(np.median(batches)) / len(queries),
        "batch_cpu_s": cpu_s / len(batches) / len(queries),
    }


def work_in_json(step: str, kind: str, scratch: str, folder: str, n_threads: int) -> Any:
    """Do one step; a library that is not installed is named in the answer."""
    try:
        return {"build": build, "ask": ask}[step](kind, Path(scratch), Path(folder), n_threads)
    except ModuleNotFoundError as error:
        return {"missing": f"{error}; install it with: pip install -e '.[bench]'"}
