"""LanceDB's vector indexes through the package's doors: equal to NumPy where they must be."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from labkit.bench import vectors as bench_vectors
from labkit.store import index as ann_tables
from labkit.store.ivf_pq import exact_neighbours, recall_at_k

K = 5
INDEXED = [kind for kind in get_args(ann_tables.Kind) if kind != "flat"]


@pytest.fixture(scope="module")
def made() -> bench_vectors.BenchVectors:
    """Return 1200 clustered unit vectors of 32 numbers, and queries."""
    return bench_vectors.clustered(1200, dimension=32, seed=2)


@pytest.fixture(scope="module")
def truth(made: bench_vectors.BenchVectors) -> np.ndarray:
    return exact_neighbours(made.queries, made.vectors, K)


@pytest.fixture
def table(made: bench_vectors.BenchVectors, tmp_path: Path) -> Any:
    return ann_tables.create_table(tmp_path, made.vectors)


def test_search_without_an_index_is_exact_alone_and_in_a_batch(
    table: Any, made: bench_vectors.BenchVectors, truth: np.ndarray
) -> None:
    assert (ann_tables.search_ids(table, made.queries, K) == truth).all()
    assert (ann_tables.search_ids(table, made.queries[:1], K) == truth[:1]).all()


def test_a_table_made_of_several_batches_keeps_every_row_in_order(
    made: bench_vectors.BenchVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ann_tables, "_ROWS_A_BATCH", 500)
    ann_tables.create_table(tmp_path, made.vectors[:1100])
    table = ann_tables.open_table(tmp_path)
    ann_tables.add_vectors(table, made.vectors[1100:])
    rows = table.to_arrow()
    stored = np.array(rows["vector"].to_pylist(), np.float32)
    order = np.argsort(rows["id"].to_numpy())
    assert rows["id"].to_numpy()[order].tolist() == list(range(1200))
    assert (stored[order] == made.vectors).all()


@pytest.mark.parametrize("kind", INDEXED)
def test_every_kind_finds_nearly_all_when_it_looks_everywhere_and_refines(
    kind: ann_tables.Kind, table: Any, made: bench_vectors.BenchVectors, truth: np.ndarray
) -> None:
    ann_tables.build_index(table, kind, n_subvectors=8)
    index = table.list_indices()[0]
    assert index.index_type.upper().replace("_", "") == kind.replace("_", "")
    found = ann_tables.search_ids(table, made.queries, K, nprobes=64, refine_factor=20, ef=200)
    assert recall_at_k(found, truth) > 0.98


def test_probing_one_partition_finds_less_than_probing_all(
    table: Any, made: bench_vectors.BenchVectors, truth: np.ndarray
) -> None:
    ann_tables.build_index(table, "IVF_FLAT", n_partitions=40)
    one = recall_at_k(ann_tables.search_ids(table, made.queries, K, nprobes=1), truth)
    every = recall_at_k(ann_tables.search_ids(table, made.queries, K, nprobes=40), truth)
    assert one < every == 1


@pytest.mark.parametrize("n_queries", [1, 200])
def test_refining_all_queries_together_equals_refining_each(
    n_queries: int, table: Any, made: bench_vectors.BenchVectors
) -> None:
    ann_tables.build_index(table, "IVF_RQ", n_partitions=20)
    queries = made.queries[:n_queries]
    theirs = ann_tables.search_ids(table, queries, K, nprobes=20, refine_factor=4)
    ours = ann_tables.search_and_refine(table, queries, K, nprobes=20, n_candidates=4 * K)
    assert ours.shape == theirs.shape == (n_queries, K)
    assert recall_at_k(ours, theirs) > 0.99


def test_fewer_rows_than_k_leave_places_empty(tmp_path: Path) -> None:
    vectors = np.eye(4, 8, dtype=np.float32)
    table = ann_tables.create_table(tmp_path, vectors)
    found = ann_tables.search_ids(table, vectors[:2], 6)
    assert (found[:, 4:] == ann_tables.NO_HIT).all() and found[:, 0].tolist() == [0, 1]
    refined = ann_tables.search_and_refine(table, vectors[:2], 6, n_candidates=9)
    assert (refined[:, 4:] == ann_tables.NO_HIT).all() and refined[:, 0].tolist() == [0, 1]


def test_a_filter_before_the_search_fills_k_and_one_after_it_does_not(
    table: Any, made: bench_vectors.BenchVectors, truth: np.ndarray
) -> None:
    rare = "id % 10 = 0"
    before = ann_tables.search_ids(table, made.queries, K, where=rare)
    after = ann_tables.search_ids(table, made.queries, K, where=rare, postfilter=True)
    assert (before % 10 == 0).all()
    for row, true in zip(after, truth, strict=True):
        assert set(row[row >= 0].tolist()) == {i for i in true.tolist() if i % 10 == 0}


def test_fast_search_misses_rows_added_after_indexing_until_optimize(
    table: Any, made: bench_vectors.BenchVectors
) -> None:
    ann_tables.build_index(table, "IVF_FLAT", n_partitions=20)
    new = made.queries[:20]
    ann_tables.add_vectors(table, new)
    ids = np.arange(1200, 1220)
    assert (ann_tables.search_ids(table, new, 1, nprobes=20)[:, 0] == ids).all()
    missed = ann_tables.search_ids(table, new, 1, nprobes=20, fast_search=True)[:, 0]
    assert (missed < 1200).all()
    table.optimize()
    found = ann_tables.search_ids(table, new, 1, nprobes=20, fast_search=True)[:, 0]
    assert (found == ids).all()


def test_bytes_on_disk_tell_index_from_data(
    table: Any, made: bench_vectors.BenchVectors, tmp_path: Path
) -> None:
    assert ann_tables.bytes_on_disk(tmp_path)["index_bytes"] == 0
    ann_tables.build_index(table, "IVF_SQ", n_partitions=4)
    sizes = ann_tables.bytes_on_disk(tmp_path)
    assert sizes["data_bytes"] > made.vectors.nbytes > sizes["index_bytes"] > made.vectors.size


def test_what_cannot_be_built_or_asked_is_refused_in_words(
    table: Any, made: bench_vectors.BenchVectors, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="no kind 'HNSW'; use one of flat, IVF_FLAT"):
        ann_tables.build_index(table, "HNSW")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="5 subvectors do not divide 32"):
        ann_tables.build_index(table, "IVF_PQ", n_subvectors=5)
    with pytest.raises(ValueError, match="3 candidates are fewer than the 5"):
        ann_tables.search_and_refine(table, made.queries, K, n_candidates=3)
    with pytest.raises(ValueError, match=r"shape \(0, 8\)"):
        ann_tables.create_table(tmp_path / "other", np.zeros((0, 8), np.float32))
