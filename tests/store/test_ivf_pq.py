"""Indexes from scratch: equal to brute force at the limits, close to faiss and LanceDB between."""

from pathlib import Path

import numpy as np
import pytest

from labkit.bench import vectors as bench_vectors
from labkit.store import index as ann_tables
from labkit.store.ivf_pq import (
    ProductQuantizer,
    build_ivf,
    build_ivf_pq,
    exact_neighbours,
    kmeans,
    recall_at_k,
    train_pq,
)

K = 10


@pytest.fixture(scope="module")
def made() -> bench_vectors.BenchVectors:
    """Return 3000 clustered unit vectors of 32 numbers, and queries."""
    return bench_vectors.clustered(3000, dimension=32, seed=1)


@pytest.fixture(scope="module")
def truth(made: bench_vectors.BenchVectors) -> np.ndarray:
    """Return the true neighbours by a full sort in float64."""
    scores = made.queries.astype(np.float64) @ made.vectors.T.astype(np.float64)
    return np.argsort(-scores, axis=1)[:, :K]


def padded(rows: np.ndarray) -> np.ndarray:
    return np.pad(rows[:K], (0, K - len(rows[:K])), constant_values=-1)


def test_exact_neighbours_equal_a_full_sort_whatever_the_block(
    made: bench_vectors.BenchVectors, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labkit.store import ivf_pq as vector_index

    for rows_at_once in (7, 1000, 10**6):
        monkeypatch.setattr(vector_index, "_ROWS_AT_ONCE", rows_at_once)
        assert (exact_neighbours(made.queries, made.vectors, K) == truth).all()


def test_recall_counts_the_share_of_true_neighbours_in_any_order() -> None:
    assert recall_at_k(np.array([[3, 1]]), np.array([[1, 3]])) == 1
    assert recall_at_k(np.array([[1, -1], [9, 8]]), np.array([[1, 3], [4, 5]])) == 0.25


def test_kmeans_finds_clusters_that_lie_apart() -> None:
    centres = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    noise = np.random.default_rng(0).normal(0, 0.1, (300, 2)).astype(np.float32)
    points = np.repeat(centres, 100, axis=0) + noise
    best = min(
        (kmeans(points, 3, n_iterations=10, seed=seed) for seed in range(5)),
        key=lambda result: ((points - result[0][result[1]]) ** 2).sum(),
    )
    assert np.sort(best[0].round(0), axis=0) == pytest.approx(np.sort(centres, axis=0))
    for cluster in best[1].reshape(3, 100):
        assert len(set(cluster.tolist())) == 1


def test_kmeans_error_never_grows_with_iterations(made: bench_vectors.BenchVectors) -> None:
    errors = []
    for n_iterations in (0, 1, 3, 8):
        centroids, nearest = kmeans(made.vectors, 20, n_iterations=n_iterations, seed=3)
        errors.append(float(((made.vectors - centroids[nearest]) ** 2).sum()))
    assert errors == sorted(errors, reverse=True) and errors[0] > errors[-1]


def test_kmeans_of_equal_points_keeps_finite_centroids() -> None:
    centroids, nearest = kmeans(np.ones((10, 4), np.float32), 3, n_iterations=3, seed=0)
    assert np.isfinite(centroids).all() and set(nearest.tolist()) == {0}


def test_ivf_that_probes_every_partition_is_exact(
    made: bench_vectors.BenchVectors, truth: np.ndarray
) -> None:
    ivf = build_ivf(made.vectors, 30, n_iterations=4)
    assert sorted(np.concatenate(ivf.members).tolist()) == list(range(3000))
    for query, true in zip(made.queries, truth, strict=True):
        assert ivf.search(query, made.vectors, K, n_probes=30).tolist() == true.tolist()


def test_recall_of_ivf_grows_with_the_partitions_probed(
    made: bench_vectors.BenchVectors, truth: np.ndarray
) -> None:
    ivf = build_ivf(made.vectors, 50, n_iterations=5)
    recalls = [
        recall_at_k(
            np.array([padded(ivf.search(q, made.vectors, K, n_probes=n)) for q in made.queries]),
            truth,
        )
        for n in (1, 3, 10, 50)
    ]
    assert recalls == sorted(recalls) and recalls[0] < 0.9 and recalls[-1] == 1


def test_ivf_is_as_good_as_faiss(made: bench_vectors.BenchVectors, truth: np.ndarray) -> None:
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is in the extra 'bench'")
    theirs = faiss.index_factory(32, "IVF50,Flat", faiss.METRIC_L2)
    theirs.train(made.vectors)
    theirs.add(made.vectors)
    ours = build_ivf(made.vectors, 50, n_iterations=10)
    for n_probes in (2, 5, 15):
        theirs.nprobe = n_probes
        found = np.array(
            [padded(ours.search(q, made.vectors, K, n_probes=n_probes)) for q in made.queries]
        )
        gap = recall_at_k(found, truth) - recall_at_k(theirs.search(made.queries, K)[1], truth)
        assert abs(gap) < 0.06


def test_pq_error_falls_with_more_slices_and_with_more_codes(
    made: bench_vectors.BenchVectors,
) -> None:
    def error(n_slices: int, n_codes: int) -> float:
        quantizer = train_pq(made.vectors, n_slices, n_codes=n_codes, n_iterations=5)
        return float(
            ((made.vectors - quantizer.decode(quantizer.encode(made.vectors))) ** 2).mean()
        )

    by_codes = [error(4, n_codes) for n_codes in (2, 8, 32, 128)]
    by_slices = [error(n_slices, 32) for n_slices in (1, 2, 4, 8, 16)]
    assert by_codes == sorted(by_codes, reverse=True)
    assert by_slices == sorted(by_slices, reverse=True)
    assert by_slices[-1] < 0.5 * by_slices[0]


def test_table_lookup_gives_the_distance_to_the_decoded_vector(
    made: bench_vectors.BenchVectors,
) -> None:
    quantizer = train_pq(made.vectors, 8, n_codes=64, n_iterations=2)
    codes = quantizer.encode(made.vectors)
    assert codes.dtype == np.uint8 and codes.shape == (3000, 8)
    decoded = quantizer.decode(codes)
    for query in made.queries[:5]:
        expected = ((decoded - query) ** 2).sum(axis=1)
        assert quantizer.distances(query, codes) == pytest.approx(expected, abs=1e-4)


def test_encoding_takes_the_nearest_code_of_each_slice() -> None:
    books = np.array([[[0, 0], [1, 1]], [[0, 0], [5, 5]]], np.float32)
    quantizer = ProductQuantizer(books)
    vectors = np.array([[0.9, 0.9, 1, 1], [0.1, 0, 4, 4]], np.float32)
    assert quantizer.encode(vectors).tolist() == [[1, 0], [0, 1]]
    assert quantizer.decode(np.array([[1, 0]])).tolist() == [[1, 1, 0, 0]]


def test_pq_with_a_code_for_every_vector_loses_nothing() -> None:
    vectors = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    quantizer = train_pq(vectors, 2, n_codes=40, n_iterations=1)
    assert quantizer.decode(quantizer.encode(vectors)) == pytest.approx(vectors, abs=1e-6)


def test_ivf_pq_recall_is_close_to_faiss_and_lancedb(
    made: bench_vectors.BenchVectors, truth: np.ndarray, tmp_path: Path
) -> None:
    ours = build_ivf_pq(made.vectors, 30, 8)
    recall = recall_at_k(
        np.array([padded(ours.search(q, K, n_probes=10)) for q in made.queries]), truth
    )
    table = ann_tables.create_table(tmp_path, made.vectors)
    ann_tables.build_index(table, "IVF_PQ", n_partitions=30, n_subvectors=8)
    from_lance = recall_at_k(ann_tables.search_ids(table, made.queries, K, nprobes=10), truth)
    assert 0.3 < recall < 0.99 and abs(recall - from_lance) < 0.1
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is in the extra 'bench'")
    theirs = faiss.index_factory(32, "IVF30,PQ8x8", faiss.METRIC_L2)
    theirs.train(made.vectors)
    theirs.add(made.vectors)
    theirs.nprobe = 10
    assert abs(recall - recall_at_k(theirs.search(made.queries, K)[1], truth)) < 0.07


def test_more_candidates_ranked_by_their_true_vectors_restore_what_the_codes_lost(
    made: bench_vectors.BenchVectors, truth: np.ndarray
) -> None:
    index = build_ivf_pq(made.vectors, 30, 8)

    def refined(query: np.ndarray, times: int) -> np.ndarray:
        rows = index.search(query, times * K, n_probes=30)
        return rows[np.argsort(-(made.vectors[rows] @ query), kind="stable")[:K]]

    recalls = [
        recall_at_k(np.array([refined(query, times) for query in made.queries]), truth)
        for times in (1, 3, 10)
    ]
    assert recalls == sorted(recalls) and recalls[0] < recalls[-1] and recalls[-1] > 0.99
    assert refined(made.queries[0], 300).tolist() == truth[0].tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: kmeans(v[:3], 4), "3 vectors cannot have 4 centroids"),
        (lambda v: kmeans(v[:0], 1), r"shape \(0, 32\)"),
        (lambda v: train_pq(v, 5), "5 slices do not divide 32 numbers"),
        (lambda v: train_pq(v, 4, n_codes=257), "257 codes do not fit in a byte"),
        (lambda v: exact_neighbours(v[:2], v, 0), "k is 0"),
        (lambda v: exact_neighbours(v[:2], v[:3], 4), "3 vectors have 1 to 3 neighbours"),
        (lambda v: exact_neighbours(v[:2, :8], v, 4), r"expected \(n, 8\)"),
        (lambda v: recall_at_k(v[:0], v[:0]), "0 lists were found for 0 queries"),
        (lambda v: recall_at_k(v[:1], v[:2]), "1 lists were found for 2 queries"),
        (lambda v: build_ivf(v, 2).probed(v[0], 0), "n_probes is 0"),
    ],
)
def test_degenerate_input_is_refused_in_words(
    call: object, message: str, made: bench_vectors.BenchVectors
) -> None:
    with pytest.raises(ValueError, match=message):
        call(made.vectors)  # type: ignore[operator]
