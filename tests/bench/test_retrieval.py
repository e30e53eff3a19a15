"""The benchmark of search measures every kind, survives a kill, and names what it skipped."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from labkit import results
from labkit.bench import ann_rivals
from labkit.bench import retrieval as bench_retrieval
from labkit.bench import retrieval_worker as bench_retrieval_worker
from labkit.bench import vectors as bench_vectors
from labkit.cli.main import main

N = 400


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the benchmark small: clustered vectors of 32 numbers, three kinds, no extra library."""
    monkeypatch.setattr(
        bench_vectors, "make", lambda n: bench_vectors.clustered(n, dimension=32, seed=3)
    )
    kinds = ("NumPy exact", "LanceDB flat", "LanceDB IVF_SQ")
    monkeypatch.setattr(bench_retrieval, "kinds_of", lambda n: kinds)
    for name, few in (("N_WARM_UP", 1), ("N_TIMED", 3), ("N_BATCHES", 1)):
        monkeypatch.setattr(bench_retrieval_worker, name, few)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Do the steps in this process, and list them; processes of their own cost seconds each."""
    steps: list[tuple[str, str]] = []

    def do(step: str, kind: str, scratch: Path, index: Path, n_threads: int) -> object:
        steps.append((step, kind))
        action = {"build": bench_retrieval_worker.build, "ask": bench_retrieval_worker.ask}[step]
        return json.loads(json.dumps(action(kind, scratch, index, n_threads)))

    monkeypatch.setattr(bench_retrieval, "_in_process", do)
    return steps


@pytest.mark.usefixtures("tiny", "in_this_process")
def test_a_run_is_recorded_with_recall_latency_and_bytes(tmp_path: Path) -> None:
    figures = bench_retrieval.run(sizes=(N,), folder=tmp_path)[0]
    run = results.load(f"bench-retrieval-{N}", folder=tmp_path)
    assert run is not None and run["figures"] == json.loads(json.dumps(figures))
    assert run["config"]["command"] == f"python -m labkit bench retrieval --sizes {N}"
    assert "synthetic" in figures["vectors"]
    exact = figures["runs"]["LanceDB flat"]
    assert [one["recall"] for one in exact["searches"]] == [1.0, 1.0]
    assert [one["n_threads"] for one in exact["searches"]] == [2, 1]
    assert exact["index_bytes"] == 0 and exact["data_bytes"] > N * 32 * 4
    indexed = figures["runs"]["LanceDB IVF_SQ"]
    assert indexed["index_bytes"] > N * 32 and indexed["build_s"] > 0
    for one in indexed["searches"]:
        assert 0 < one["best_s"] <= one["p50_s"] <= one["p95_s"] and one["batch_s"] > 0


@pytest.mark.usefixtures("tiny", "in_this_process")
def test_a_large_run_is_asked_with_all_threads_only_and_long_batches_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_retrieval, "A_MILLION", N)
    monkeypatch.setattr(bench_retrieval_worker, "N_BATCHES", 4)
    monkeypatch.setattr(bench_retrieval_worker, "LONG_ENOUGH_S", 0.0)
    figures = bench_retrieval.run(sizes=(N,), folder=tmp_path)[0]
    for run in figures["runs"].values():
        assert {one["n_threads"] for one in run["searches"]} == {2}
        assert all(one["batch_cpu_s"] > 0 for one in run["searches"])


@pytest.mark.usefixtures("tiny")
def test_a_killed_run_goes_on_with_the_kinds_that_are_missing(
    tmp_path: Path,
    in_this_process: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = bench_retrieval._run_kind

    def killed(kind: str, scratch: Path, figures: dict, threads: Sequence[int]) -> None:
        if kind == "LanceDB flat":
            raise KeyboardInterrupt
        whole(kind, scratch, figures, threads)

    monkeypatch.setattr(bench_retrieval, "_run_kind", killed)
    with pytest.raises(KeyboardInterrupt):
        bench_retrieval.run(sizes=(N,), folder=tmp_path)
    monkeypatch.setattr(bench_retrieval, "_run_kind", whole)
    figures = bench_retrieval.run(sizes=(N,), folder=tmp_path)[0]
    assert list(figures["runs"]) == ["NumPy exact", "LanceDB flat", "LanceDB IVF_SQ"]
    assert [kind for step, kind in in_this_process if step == "build"] == list(figures["runs"])
    bench_retrieval.run(sizes=(N,), folder=tmp_path)
    assert len(in_this_process) == 9  # nothing was left to do


@pytest.mark.usefixtures("tiny")
def test_another_configuration_measures_anew(
    tmp_path: Path, in_this_process: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench_retrieval.run(sizes=(N,), folder=tmp_path)
    monkeypatch.setattr(bench_retrieval, "K", 5)
    bench_retrieval.run(sizes=(N,), folder=tmp_path)
    assert len(in_this_process) == 18


@pytest.mark.usefixtures("tiny")
def test_a_missing_library_is_skipped_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_this_process: list[tuple[str, str]]
) -> None:
    monkeypatch.setattr(bench_retrieval, "kinds_of", lambda n: ("hnswlib", "NumPy exact"))
    do = bench_retrieval._in_process

    def without(step: str, kind: str, *arguments: object) -> object:
        if kind == "hnswlib":
            raise bench_retrieval._Missing("No module named 'hnswlib'")
        return do(step, kind, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bench_retrieval, "_in_process", without)
    figures = bench_retrieval.run(sizes=(N,), folder=tmp_path)[0]
    assert figures["skipped"] == {"hnswlib": "No module named 'hnswlib'"}
    assert list(figures["runs"]) == ["NumPy exact"]
    assert "skipped hnswlib: No module" in bench_retrieval.render(figures)


def test_a_step_in_a_process_of_its_own_answers_and_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench_vectors.clustered(50, dimension=8)
    np.save(tmp_path / "vectors.npy", made.vectors)
    built = bench_retrieval._in_process("build", "NumPy exact", tmp_path, tmp_path, 1)
    assert built["index_bytes"] >= made.vectors.nbytes
    blocker = tmp_path / "blocker"
    blocker.mkdir()
    (blocker / "hnswlib.py").write_text("raise ModuleNotFoundError(\"No module named 'hnswlib'\")")
    monkeypatch.setenv("PYTHONPATH", str(blocker))
    with pytest.raises(bench_retrieval._Missing, match="hnswlib.*pip install"):
        bench_retrieval._in_process("build", "hnswlib", tmp_path, tmp_path, 1)
    with pytest.raises(RuntimeError, match="(?s)work_in_json failed: .*no such kind"):
        bench_retrieval._in_process("build", "no such kind", tmp_path, tmp_path, 1)


# Without faiss IVF_PQ: it trains for a minute, and test_vector_index asks it already.
@pytest.mark.parametrize("kind", [kind for kind in ann_rivals.KINDS if "PQ" not in kind])
def test_every_rival_finds_neighbours_from_its_file(kind: str, tmp_path: Path) -> None:
    from labkit.store.ivf_pq import exact_neighbours, recall_at_k

    library = kind.split()[0].lower()
    if library != "numpy":
        pytest.importorskip(library, reason=f"{library} is in the extra 'bench'")
    made = bench_vectors.clustered(2000, dimension=32, seed=4)
    ann_rivals.build(kind, made.vectors, tmp_path, n_threads=1)
    search = ann_rivals.open_search(kind, tmp_path, 32, n_threads=1)
    told = bench_retrieval.settings_of(kind)[-1]
    truth = exact_neighbours(made.queries, made.vectors, 10)
    assert recall_at_k(search(made.queries, 10, **told), truth) > 0.95
    assert search(made.queries[:1], 10, **told).shape == (1, 10)


def test_every_kind_of_every_size_has_settings_that_lancedb_or_the_rival_takes() -> None:
    for n in (10_000, 1_000_000):
        for kind in bench_retrieval.kinds_of(n):
            known = kind in ann_rivals.KINDS
            assert known or kind.removeprefix("LanceDB ") in bench_retrieval.LANCE_KINDS
            assert bench_retrieval.settings_of(kind)


def test_clustered_vectors_are_unit_vectors_and_the_same_every_time() -> None:
    one, two = (bench_vectors.clustered(500, dimension=24, seed=5) for _ in range(2))
    assert one.vectors.shape == (500, 24) and one.queries.shape == (200, 24)
    assert np.linalg.norm(one.vectors, axis=1) == pytest.approx(np.ones(500), abs=1e-5)
    assert (one.vectors == two.vectors).all()
    near = np.sort(one.queries @ one.vectors.T, axis=1)
    assert near[:, -1].mean() > near.mean() + 0.2  # there are clusters to be found


def test_texts_of_the_corpus_are_different_and_any_number_of_them() -> None:
    few, many = bench_vectors.corpus_texts(100), bench_vectors.corpus_texts(3000)
    assert len(set(few)) == 100 and len(set(many)) == 3000 and many[:100] == few


def test_embeddings_are_read_from_the_cache_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_embedder: object
) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    first = bench_vectors.embedded(50, fake_embedder)  # type: ignore[arg-type]
    fake_embedder.embedded.clear()  # type: ignore[attr-defined]
    second = bench_vectors.embedded(50, fake_embedder)  # type: ignore[arg-type]
    assert (first.vectors == second.vectors).all() and len(first.vectors) == 50
    assert fake_embedder.embedded == []  # type: ignore[attr-defined]


@pytest.mark.usefixtures("tiny", "in_this_process")
def test_the_door_passes_the_sizes_and_prints_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "default_folder", lambda: tmp_path)
    assert main(["bench", "retrieval", "--sizes", str(N)]) == 0
    shown = capsys.readouterr().out
    assert "| LanceDB IVF_SQ | nprobes 5 |" in shown and "| NumPy exact |" in shown
    assert main(["bench", "retrieval", "--sizes", "0"]) == 2
