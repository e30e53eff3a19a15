"""Benchmark of vector search: LanceDB's kinds beside NumPy, faiss, hnswlib and usearch.

Knows: which kinds run at which size, with which settings; that each index is built in one process
and asked in another, so that peak and resident memory are its own; how seconds and bytes of one
step are taken; how to go on after a kill.
Does not know: how an index works (``store.index``, ``ann_rivals``).
Used by ``python -m labkit bench retrieval``; lesson 03 shows the recorded runs.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from labkit import measure, results
from labkit.bench import ann_rivals, runner
from labkit.bench import vectors as bench_vectors
from labkit.bench.ann_rivals import Search
from labkit.store import index as ann_tables
from labkit.store.ivf_pq import exact_neighbours, recall_at_k

SIZES = (10_000, 100_000)
K = 10
N_THREADS = 2
N_WARM_UP = 10
N_TIMED = 100
LONG_ENOUGH_S = 20.0
N_BATCHES = 3
A_MILLION = 1_000_000
LANCE = "LanceDB "
_ENVIRONMENT = {"RUST_LOG": "error", "LANCE_LOG": "error"}
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS RAYON_NUM_THREADS "
    "LANCE_CPU_THREADS TOKIO_WORKER_THREADS"
).split()


def _tried(setting: str, *values: int, **others: int) -> list[dict[str, int]]:
    return [{**others, setting: value} for value in values]


_GRAPH = _tried("ef", 16, 32, 64, 128)
_FINE_CODES = [
    *_tried("nprobes", 5, 20, 40),
    {"nprobes": 40, "refine_factor": 2},
    {"nprobes": 40, "n_candidates": 2 * K},
]
_COARSE_CODES = [
    {"nprobes": 20},
    *_tried("refine_factor", 2, 5, nprobes=20),
    {"nprobes": 40, "refine_factor": 10},
    *_tried("n_candidates", 2 * K, 4 * K, nprobes=20),
    {"nprobes": 40, "n_candidates": 6 * K},
]
# Each kind with the settings that it is asked with, from fast to thorough.
SETTINGS: dict[str, list[dict[str, int]]] = {
    "NumPy exact": [{}],
    "hnswlib": _GRAPH,
    "LanceDB flat": [{}],
    "LanceDB IVF_RQ": _COARSE_CODES,
    "LanceDB IVF_SQ": _FINE_CODES,
    "LanceDB IVF_HNSW_SQ": [*_tried("ef", 16, 64), {"ef": 64, "refine_factor": 2}],
    "LanceDB IVF_FLAT": _tried("nprobes", 2, 5, 10, 20, 40),
    "LanceDB IVF_RQ 5 bits": _FINE_CODES,
    "LanceDB IVF_RQ 3 bits": _COARSE_CODES,
    "LanceDB IVF_PQ": _COARSE_CODES,
    "faiss HNSW": _GRAPH,
    "usearch": _GRAPH,
    "faiss flat": [{}],
    "faiss IVF_PQ": _tried("nprobes", 5, 20, 40),
}
# At a million rows: what two cores build in minutes, asked with all threads only.
_LANCE_AT_A_MILLION = ("flat", "IVF_RQ", "IVF_RQ 5 bits", "IVF_SQ")
KINDS_AT_A_MILLION = ("NumPy exact", *(LANCE + kind for kind in _LANCE_AT_A_MILLION))


def run(*, sizes: tuple[int, ...] = SIZES, folder: Path | None = None) -> list[dict]:
    """Measure every kind at every size, record after each, and return the figures by size.

    A kind that is in the record already, measured with the same configuration, is not measured
    again; delete the record to start anew.
    """
    return [_run_size(n, folder) for n in sizes]


def record_name(n: int) -> str:
    """Return the name of the recorded run of that size."""
    return f"bench-retrieval-{n}"


def _run_size(n: int, folder: Path | None) -> dict:
    config = {
        "command": f"python -m labkit bench retrieval --sizes {n}",
        "n": n,
        "k": K,
        "n_queries": bench_vectors.N_QUERIES,
        "build_threads": N_THREADS,
        "resident": "after malloc_trim",
    }
    figures = {"runs": {}} | runner.recorded(record_name(n), config, folder=folder)
    figures["skipped"] = {}
    kinds = KINDS_AT_A_MILLION if n >= A_MILLION else SETTINGS
    todo = [kind for kind in kinds if kind not in figures["runs"]]
    if not todo:
        return figures
    threads = [N_THREADS] if n >= A_MILLION else range(N_THREADS, 0, -1)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        figures["vectors"] = _write_vectors(Path(scratch), n)
        for kind in todo:
            _run_kind(kind, scratch, figures, threads)
            path = results.record(record_name(n), figures, config=config, folder=folder)
            origin = f"Written from `{path.name}`, which holds hardware, versions and date."
            page = f"# Search in {n:,} vectors\n\n{origin}\n\n{render(figures)}\n"
            results.write_atomically(path.with_suffix(".md"), page)
    return figures


def _write_vectors(scratch: Path, n: int) -> str:
    made = bench_vectors.make(n)
    np.save(scratch / "vectors.npy", made.vectors)
    np.save(scratch / "queries.npy", made.queries)
    np.save(scratch / "truth.npy", exact_neighbours(made.queries, made.vectors, K))
    return made.label


def _run_kind(kind: str, scratch: str, figures: dict, threads: Sequence[int]) -> None:
    """Build and ask one kind in processes of their own; a missing library is noted as skipped."""
    library = _library_of(kind)
    if find_spec(library) is None:
        reason = f"No module named {library!r}; install it with: pip install -e '.[bench]'"
        figures["skipped"][kind] = reason
        return

    def in_own_process(step: str, n_threads: int) -> Any:
        variables = _ENVIRONMENT | dict.fromkeys(_THREAD_VARIABLES, str(n_threads))
        told = (f"{__name__}:{step}", kind, scratch, index, n_threads)
        return runner.in_own_process(*told, environment=variables)

    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as index:
        built = in_own_process("build", N_THREADS)
        asked = [search for n in threads for search in in_own_process("ask", n)]
    figures["runs"][kind] = {**built, "load_average": os.getloadavg()[0], "searches": asked}


def _library_of(kind: str) -> str:
    return kind.split()[0].lower()


def build(kind: str, scratch: str, index: str, n_threads: int) -> dict:
    """Build one index in the folder ``index``; return seconds, peak memory and bytes on disk."""
    import_module(_library_of(kind))  # so that its own bytes are not counted as the index's
    folder, path = Path(index), Path(scratch) / "vectors.npy"
    before = measure.peak_rss_bytes()
    table_s = 0.0
    if kind.startswith(LANCE):
        table_s = _seconds(ann_tables.create_table, folder, np.load(path, mmap_mode="r"))
        _, name, *bits = kind.split()  # "LanceDB IVF_RQ 5 bits"
        options = {"n_bits": int(bits[0])} if bits else {}
        build_s = _seconds(ann_tables.build_index, ann_tables.open_table(folder), name, **options)
        sizes = ann_tables.bytes_on_disk(folder)
    else:
        vectors = np.load(path)
        build_s = _seconds(ann_rivals.build, kind, vectors, folder, n_threads=n_threads)
        whole = sum(ann_tables.bytes_on_disk(folder).values())
        sizes = {"index_bytes": whole, "data_bytes": 0}
    peak = measure.peak_rss_bytes() - before
    return {"table_s": table_s, "build_s": build_s, "build_peak_bytes": peak, **sizes}


def ask(kind: str, scratch: str, index: str, n_threads: int) -> list[dict]:
    """Open one index, ask it with each of its settings, and return what each took.

    The first searches are not timed: they load the index. ``resident_bytes`` is what the process
    holds after all searches of a setting more than before it opened the index, libraries apart.
    """
    import_module(_library_of(kind))
    queries, truth = (np.load(Path(scratch) / f"{name}.npy") for name in ("queries", "truth"))
    before = measure.rss_bytes()
    if kind.startswith(LANCE):
        search: Search = partial(_search_lance, ann_tables.open_table(Path(index)))
    else:
        dimension = queries.shape[1]
        search = ann_rivals.open_search(kind, Path(index), dimension, n_threads=n_threads)
    return [
        {
            "n_threads": n_threads,
            "settings": told,
            **_measure(partial(search, k=K, **told), queries, truth),
            "resident_bytes": measure.rss_bytes() - before,
        }
        for told in SETTINGS[kind]
    ]


def _search_lance(table: Any, queries: np.ndarray, k: int, **told: Any) -> np.ndarray:
    if "n_candidates" in told:
        return ann_tables.search_and_refine(table, queries, k, **told)
    return ann_tables.search_ids(table, queries, k, **told)


def _measure(search: Search, queries: np.ndarray, truth: np.ndarray) -> dict:
    for query in queries[:N_WARM_UP]:
        search(query[None])
    times = [_seconds(search, query[None]) for query in queries[:N_TIMED]]
    in_one_call = search(queries)
    batches: list[float] = []
    cpu_s = time.process_time()
    while len(batches) < N_BATCHES and sum(batches) <= LONG_ENOUGH_S:
        batches.append(_seconds(search, queries))
    cpu_s = time.process_time() - cpu_s  # of all threads; hardly changes when others are busy
    return {
        "recall": recall_at_k(in_one_call, truth),
        "p50_s": float(np.median(times)),
        "p95_s": float(np.quantile(times, 0.95)),
        "best_s": min(times),
        "batch_s": float(np.median(batches)) / len(queries),
        "batch_cpu_s": cpu_s / len(batches) / len(queries),
    }


def _seconds(action: Callable, *arguments: Any, **options: Any) -> float:
    start = time.perf_counter()
    action(*arguments, **options)
    return time.perf_counter() - start


def searches(figures: dict) -> list[dict]:
    """Return every search with all threads as a flat dict, its ``kind`` and the build's figures."""
    return [
        {**run, "kind": kind, **search}
        for kind, run in figures["runs"].items()
        for search in run["searches"]
        if search["n_threads"] == N_THREADS
    ]


def render(figures: dict) -> str:
    """Return the figures of one size as a Markdown table."""
    lines = [
        f"{figures['vectors']}\n",
        "| kind | settings | recall@10 | p50 ms | p95 ms | batch ms/query | CPU ms/query | "
        "build s | index MiB | resident MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for search in searches(figures):
        told = ", ".join(f"{name} {value}" for name, value in search["settings"].items())
        lines.append(
            f"| {search['kind']} | {told} | {search['recall']:.3f} | {1e3 * search['p50_s']:.2f} | "
            f"{1e3 * search['p95_s']:.2f} | {1e3 * search['batch_s']:.3f} | "
            f"{1e3 * search['batch_cpu_s']:.3f} | "
            f"{search['build_s']:.0f} | {search['index_bytes'] / 2**20:.0f} | "
            f"{search['resident_bytes'] / 2**20:.0f} |"
        )
    lines += [f"\nskipped {kind}: {reason}" for kind, reason in figures["skipped"].items()]
    return "\n".join(lines)
