"""Benchmark of vector search: LanceDB's kinds beside NumPy, faiss, hnswlib and usearch.

Knows: which kinds run at which size, with which settings; that each index is built in one process
and asked in another, so that peak and resident memory are its own; how to go on after a kill.
Does not know: how an index works (``store.index``, ``ann_rivals``).
Used by ``python -m labkit bench retrieval``; lesson 03 shows the recorded runs.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labkit import results
from labkit.bench import runner
from labkit.bench import vectors as bench_vectors

SIZES = (10_000, 100_000)
K = 10
N_THREADS = 2
# What each is built with, beyond LanceDB's kind of that name.
LANCE_KINDS: dict[str, dict[str, Any]] = {
    "flat": {},
    "IVF_RQ": {},
    "IVF_SQ": {},
    "IVF_HNSW_SQ": {},
    "IVF_FLAT": {},
    "IVF_RQ 5 bits": {"kind": "IVF_RQ", "n_bits": 5},
    "IVF_RQ 3 bits": {"kind": "IVF_RQ", "n_bits": 3},
    "IVF_PQ": {},
}
# At a million rows: what two cores build in minutes, asked with all threads only.
A_MILLION = 1_000_000
KINDS_AT_A_MILLION = (
    "NumPy exact",
    "LanceDB flat",
    "LanceDB IVF_RQ",
    "LanceDB IVF_RQ 5 bits",
    "LanceDB IVF_SQ",
)
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS RAYON_NUM_THREADS "
    "LANCE_CPU_THREADS TOKIO_WORKER_THREADS"
).split()


def run(*, sizes: tuple[int, ...] = SIZES, folder: Path | None = None) -> list[dict]:
    """Measure every kind at every size, record after each, and return the figures by size.

    A kind that is in the record already, measured with the same configuration, is not measured
    again; delete the record to start anew.
    """
    return [_run_size(n, folder) for n in sizes]


def record_name(n: int) -> str:
    """Return the name of the recorded run of that size."""
    return f"bench-retrieval-{n}"


def kinds_of(n: int) -> tuple[str, ...]:
    """Return the kinds that are measured at this size."""
    if n >= A_MILLION:
        return KINDS_AT_A_MILLION
    return ("NumPy exact", "hnswlib", *(f"LanceDB {kind}" for kind in LANCE_KINDS), "faiss HNSW",
            "usearch", "faiss flat", "faiss IVF_PQ")  # fmt: skip


def settings_of(kind: str) -> list[dict[str, int]]:
    """Return the settings that this kind is asked with, from fast to thorough."""
    if kind.startswith("LanceDB IVF_HNSW"):
        return [{"ef": ef} for ef in (16, 64)] + [{"ef": 64, "refine_factor": 2}]
    if kind == "LanceDB IVF_FLAT":
        return [{"nprobes": nprobes} for nprobes in (2, 5, 10, 20, 40)]
    if kind in ("LanceDB IVF_SQ", "LanceDB IVF_RQ 5 bits"):
        return [
            *({"nprobes": nprobes} for nprobes in (5, 20, 40)),
            {"nprobes": 40, "refine_factor": 2},
            {"nprobes": 40, "n_candidates": 2 * K},
        ]
    if kind.startswith("LanceDB IVF"):
        return [
            {"nprobes": 20},
            *({"nprobes": 20, "refine_factor": factor} for factor in (2, 5)),
            {"nprobes": 40, "refine_factor": 10},
            *({"nprobes": 20, "n_candidates": factor * K} for factor in (2, 4)),
            {"nprobes": 40, "n_candidates": 6 * K},
        ]
    if kind == "faiss IVF_PQ":
        return [{"nprobes": nprobes} for nprobes in (5, 20, 40)]
    if kind in ("faiss HNSW", "hnswlib", "usearch"):
        return [{"ef": ef} for ef in (16, 32, 64, 128)]
    return [{}]


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
    threads = [N_THREADS] if n >= A_MILLION else range(N_THREADS, 0, -1)
    todo = [kind for kind in kinds_of(n) if kind not in figures["runs"]]
    if not todo:
        return figures
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        figures["vectors"] = _write_vectors(Path(scratch), n)
        for kind in todo:
            _run_kind(kind, Path(scratch), figures, threads)
            path = results.record(record_name(n), figures, config=config, folder=folder)
            results.write_atomically(path.with_suffix(".md"), _page(n, figures))
    return figures


def _page(n: int, figures: dict) -> str:
    return (
        f"# Search in {n:,} vectors\n\nWritten from `{record_name(n)}.json`, which holds hardware, "
        f"versions and date.\n\n{render(figures)}\n"
    )


def _write_vectors(scratch: Path, n: int) -> str:
    from labkit.store.ivf_pq import exact_neighbours

    made = bench_vectors.make(n)
    np.save(scratch / "vectors.npy", made.vectors)
    np.save(scratch / "queries.npy", made.queries)
    np.save(scratch / "truth.npy", exact_neighbours(made.queries, made.vectors, K))
    return made.label


def _run_kind(kind: str, scratch: Path, figures: dict, threads: Sequence[int]) -> None:
    """Build and ask one kind in processes of their own; a missing library is noted as skipped."""
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as index:
        try:
            built = _in_process("build", kind, scratch, Path(index), N_THREADS)
            asked = [
                search
                for n_threads in threads
                for search in _in_process("ask", kind, scratch, Path(index), n_threads)
            ]
        except _Missing as missing:
            figures["skipped"][kind] = str(missing)
            return
    figures["runs"][kind] = {**built, "load_average": os.getloadavg()[0], "searches": asked}


class _Missing(Exception):
    """A library of the extra ``bench`` is not installed."""


def _in_process(step: str, kind: str, scratch: Path, index: Path, n_threads: int) -> Any:
    threads = dict.fromkeys(_THREAD_VARIABLES, str(n_threads))
    worker = "labkit.bench.retrieval_worker:work_in_json"
    told = (step, kind, str(scratch), str(index), n_threads)
    answer = runner.in_own_process(
        worker, *told, environment=threads | {"RUST_LOG": "error", "LANCE_LOG": "error"}
    )
    if isinstance(answer, dict) and "missing" in answer:
        raise _Missing(answer["missing"])
    return answer


def searches(figures: dict, *, n_threads: int = N_THREADS) -> list[dict]:
    """Return every measured search as a flat dict with its ``kind`` and the build's figures."""
    return [
        {**{key: value for key, value in run.items() if key != "searches"}, "kind": kind, **search}
        for kind, run in figures["runs"].items()
        for search in run["searches"]
        if search["n_threads"] == n_threads
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
