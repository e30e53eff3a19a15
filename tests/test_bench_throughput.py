"""The benchmark of throughput compares pair by pair and records both sides."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit import bench_ingest, bench_throughput, results


class Plain:
    """Encodes like the fake embedder, through sentence-transformers' way in."""

    def __init__(self, embedder: Any) -> None:
        self.embedder = embedder
        self.asked: list[list[str]] = []

    def encode(self, texts: list[str], **options: Any) -> np.ndarray:
        self.asked.append(list(texts))
        return self.embedder.encode_queries(texts)


@pytest.fixture
def plain(fake_embedder: Any, monkeypatch: pytest.MonkeyPatch) -> Plain:
    plain = Plain(fake_embedder)
    monkeypatch.setattr(bench_throughput, "_plain_model", lambda: plain)
    monkeypatch.setattr(bench_throughput, "load_embedder", lambda: fake_embedder)
    return plain


def test_both_ways_embed_the_same_chunks_and_are_recorded(
    plain: Plain, fake_embedder: Any, tmp_path: Path
) -> None:
    bench_ingest.write_documents(tmp_path / "documents", 40)
    figures = bench_throughput.run(documents=tmp_path / "documents", repeats=2, folder=tmp_path)
    recorded = results.load("bench-ingest-throughput", folder=tmp_path)
    assert recorded is not None and recorded["figures"]["n_chunks"] == figures["n_chunks"] >= 40
    assert len(figures["plain"]["runs"]) == len(figures["ours"]["runs"]) == 2
    assert figures["smallest_cosine"] == pytest.approx(1)
    whole = plain.asked[1]
    assert plain.asked[1:] == [whole] * 3
    assert sorted(fake_embedder.embedded[-len(whole) :]) == sorted(whole)
    assert "times as fast" in bench_throughput.render(figures)


def test_ratios_are_taken_within_pairs_and_the_median_is_theirs() -> None:
    def timings(*walls: float) -> list[dict[str, float]]:
        return [{"wall_s": wall, "cpu_s": 2 * wall} for wall in walls]

    runs = {"plain": timings(2.0, 30.0, 4.0), "ours": timings(1.0, 20.0, 1.0)}
    figures = bench_throughput._figures(runs, 100)
    assert figures["wall_ratios"] == [2.0, 1.5, 4.0] and figures["wall_ratio"] == 2.0
    assert figures["cpu_ratio"] == 2.0
    assert figures["plain"]["chunks_per_s"] == 25 and figures["ours"]["chunks_per_s"] == 100
    assert figures["ours"]["chunks_per_cpu_s"] == 50


def test_an_incomplete_run_is_no_result(
    plain: Plain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench_ingest.write_documents(tmp_path / "documents", 20)
    monkeypatch.setattr(bench_throughput, "_passages", lambda documents: ["one"])
    with pytest.raises(ValueError, match="1 were due"):
        bench_throughput.run(documents=tmp_path / "documents", repeats=1, folder=tmp_path)
