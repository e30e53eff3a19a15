"""The benchmark of search measures every kind, survives a kill, and names what it skipped."""

import json
from pathlib import Path

import numpy as np
import pytest

from labkit import results
from labkit.bench import ann_rivals
from labkit.bench import retrieval as bench_retrieval
from labkit.bench import vectors as bench_vectors
from labkit.cli.main import main
from labkit.store.ivf_pq import exact_neighbours, recall_at_k

N = 400
KINDS = ("NumPy exact", "LanceDB flat", "LanceDB IVF_SQ")
STEPS = {"build": bench_retrieval.build, "ask": bench_retrieval.ask}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Make the benchmark small, and list its steps; they are done in this process."""
    done: list[tuple[str, str]] = []

    def do(function: str, kind: str, *told: object, environment: dict[str, str]) -> object:
        step = function.removeprefix("labkit.bench.retrieval:")
        assert environment["OMP_NUM_THREADS"] == str(told[-1])
        done.append((step, kind))
        return json.loads(json.dumps(STEPS[step](kind, *told)))

    monkeypatch.setattr(bench_retrieval.runner, "in_own_process", do)
    monkeypatch.setattr(
        bench_vectors, "make", lambda n: bench_vectors.clustered(n, dimension=32, seed=3)
    )
    few = {kind: bench_retrieval.SETTINGS[kind] for kind in KINDS}
    for name, value in {"SETTINGS": few, "N_WARM_UP": 1, "N_TIMED": 3, "N_BATCHES": 1}.items():
        monkeypatch.setattr(bench_retrieval, name, value)
    return done


@pytest.mark.usefixtures("steps")
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
    page = (tmp_path / f"bench-retrieval-{N}.md").read_text(encoding="utf-8")
    assert page.startswith("# Search in 400 vectors") and bench_retrieval.render(figures) in page


@pytest.mark.usefixtures("steps")
def test_a_large_run_is_asked_with_all_threads_only_and_long_batches_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"A_MILLION": N, "KINDS_AT_A_MILLION": KINDS, "N_BATCHES": 4, "LONG_ENOUGH_S": 0.0}
    for name, value in limits.items():
        monkeypatch.setattr(bench_retrieval, name, value)
    figures = bench_retrieval.run(sizes=(N,), folder=tmp_path)[0]
    for run in figures["runs"].values():
        assert {one["n_threads"] for one in run["searches"]} == {2}
        assert all(one["batch_cpu_s"] > 0 for one in run["searches"])


def test_a_killed_run_goes_on_with_the_kinds_that_are_missing(
    tmp_path: Path, steps: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut_off:
        cut_off.setattr(bench_retrieval.ann_tables, "create_table", killed)
        with pytest.raises(KeyboardInterrupt):
            bench_retrieval.run(sizes=(N,), folder=tmp_path)
    assert steps.pop() == ("build", "LanceDB flat")
    figures = bench_retrieval.run(sizes=(N,), folder=tmp_path)[0]
    assert tuple(figures["runs"]) == KINDS
    bench_retrieval.run(sizes=(N,), folder=tmp_path)  # nothing is left to do
    assert steps == [(step, kind) for kind in KINDS for step in ("build", "ask", "ask")]
    monkeypatch.setattr(bench_retrieval, "K", 5)
    bench_retrieval.run(sizes=(N,), folder=tmp_path)  # another configuration: all anew
    assert len(steps) == 18


@pytest.mark.usefixtures("steps")
def test_a_missing_library_is_skipped_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_retrieval, "SETTINGS", {"absent graph": [{}], "NumPy exact": [{}]})
    figures = bench_retrieval.run(sizes=(N,), folder=tmp_path)[0]
    assert list(figures["runs"]) == ["NumPy exact"]
    shown = bench_retrieval.render(figures)
    assert "skipped absent graph: No module named 'absent'; install it with: pip install" in shown


def test_a_kind_is_built_and_asked_in_processes_of_its_own(tmp_path: Path) -> None:
    made = bench_vectors.clustered(50, dimension=8)
    truth = exact_neighbours(made.queries, made.vectors, 10)
    for name, array in (("vectors", made.vectors), ("queries", made.queries), ("truth", truth)):
        np.save(tmp_path / f"{name}.npy", array)
    figures: dict = {"runs": {}}
    bench_retrieval._run_kind("NumPy exact", str(tmp_path), figures, [1])
    run = figures["runs"]["NumPy exact"]
    assert run["index_bytes"] >= made.vectors.nbytes and run["searches"][0]["recall"] == 1.0


# Without faiss IVF_PQ: it trains for a minute, and tests/store/test_ivf_pq.py asks it already.
@pytest.mark.parametrize("kind", ["NumPy exact", "faiss flat", "faiss HNSW", "hnswlib", "usearch"])
def test_every_rival_finds_neighbours_from_its_file(kind: str, tmp_path: Path) -> None:
    library = kind.split()[0].lower()
    if library != "numpy":
        pytest.importorskip(library, reason=f"{library} is in the extra 'bench'")
    made = bench_vectors.clustered(2000, dimension=32, seed=4)
    ann_rivals.build(kind, made.vectors, tmp_path, n_threads=1)
    search = ann_rivals.open_search(kind, tmp_path, 32, n_threads=1)
    told = bench_retrieval.SETTINGS[kind][-1]
    truth = exact_neighbours(made.queries, made.vectors, 10)
    assert recall_at_k(search(made.queries, 10, **told), truth) > 0.95
    assert search(made.queries[:1], 10, **told).shape == (1, 10)


def test_the_recorded_runs_hold_the_kinds_and_settings_of_today() -> None:
    kinds = {10_000: bench_retrieval.SETTINGS, 1_000_000: bench_retrieval.KINDS_AT_A_MILLION}
    for n, expected in kinds.items():
        figures = results.load(bench_retrieval.record_name(n))["figures"]  # type: ignore[index]
        assert set(figures["runs"]) == set(expected)
        for kind, run in figures["runs"].items():
            told = [one["settings"] for one in run["searches"] if one["n_threads"] == 2]
            assert told == bench_retrieval.SETTINGS[kind]


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


@pytest.mark.usefixtures("steps")
def test_the_door_passes_the_sizes_and_prints_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "default_folder", lambda: tmp_path)
    assert main(["bench", "retrieval", "--sizes", str(N)]) == 0
    shown = capsys.readouterr().out
    assert "| LanceDB IVF_SQ | nprobes 5 |" in shown and "| NumPy exact |" in shown
    assert main(["bench", "retrieval", "--sizes", "0"]) == 2
