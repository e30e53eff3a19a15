"""The training benchmark: every engine takes the same steps and learns the same."""

import copy
from pathlib import Path
from typing import Any

import pytest

from labkit import results
from labkit.bench import training as bench
from labkit.models import LanguageModel
from labkit.types import IGNORED, TrainConfig

ROWS = [
    {"input_ids": [5, 6, 7, 8, 9, 10][:n], "labels": [IGNORED, IGNORED, 7, 8, 9, 10][:n]}
    for n in (6, 6, 5, 5, 4, 4)
]
CONFIG = TrainConfig("tiny", batch_size=2, rank=4, alpha=8)
HERE = [name for name in bench.ENGINES if bench.is_here(name)]


@pytest.fixture
def tiny(tiny_llm: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the benchmark train fresh copies of a tiny model on six rows."""

    def fresh(_: TrainConfig) -> LanguageModel:
        model, tokenizer = copy.deepcopy(tiny_llm.model), copy.deepcopy(tiny_llm.tokenizer)
        return LanguageModel("tiny", model, tokenizer)

    monkeypatch.setattr(bench, "fresh_base", fresh)
    monkeypatch.setattr(bench, "training_rows", lambda *_: ROWS)
    monkeypatch.setattr(bench.runner, "in_own_process", lambda *_: {"above_imports_bytes": 2**20})
    return fresh


@pytest.mark.parametrize("engine", bench.ENGINES)
def test_every_engine_has_the_losses_of_the_stock_trainer(engine: str, tiny: Any) -> None:
    if engine not in HERE:
        pytest.skip("trl is not installed")
    curves = [bench.time_once(e, tiny(CONFIG), ROWS, CONFIG)["losses"] for e in ("Trainer", engine)]
    assert len(curves[0]) == 3 and curves[0][0] != curves[0][2]
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)


def test_a_run_that_was_killed_goes_on_and_its_curves_agree(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench, "COMMAND", "bench training")
    time_once, calls = bench.time_once, []

    def killed(name: str, *rest: Any) -> dict:
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return time_once(name, *rest)

    monkeypatch.setattr(bench, "time_once", killed)
    with pytest.raises(KeyboardInterrupt):
        bench.run(repeats=2, batch_size=2, folder=tmp_path)
    figures = bench.run(repeats=2, batch_size=2, folder=tmp_path)
    assert len(calls) == 2 * len(HERE) + 1 and len(figures["runs"]) == 2 * len(HERE)
    assert sorted(row["engine"] for row in figures["runs"]) == sorted(2 * HERE)
    assert figures["loss_gap"] < 1e-3
    assert bench.run(repeats=2, batch_size=2, folder=tmp_path) == figures
    assert len(calls) == 2 * len(HERE) + 1


def test_the_recorded_curves_agree() -> None:
    run = results.load(bench.NAME)
    if run is None:
        pytest.skip(f"not recorded; to record it: {bench.COMMAND}")
    assert run["figures"]["loss_gap"] == bench.loss_gap(run["figures"]["runs"]) <= 0.02


def test_medians_are_by_engine() -> None:
    speeds = [("a", 1.0), ("b", 9.0), ("a", 3.0), ("a", 100.0)]
    runs = [{"engine": name, "tokens_per_s": speed} for name, speed in speeds]
    assert bench.medians(runs) == {"a": 3.0, "b": 9.0}


def test_the_table_compares_with_the_stock_trainer() -> None:
    figures = {
        "median_tokens_per_s": {"labkit": 90.0, "Trainer": 45.0},
        "peak": {name: {"above_imports_bytes": 2**30} for name in ("labkit", "Trainer")},
        "absent": ["TRL"],
        "loss_gap": 0.0004,
    }
    lines = bench.render(figures).splitlines()
    assert "90 tokens/s" in lines[0] and "2.00×" in lines[0] and "1024 MiB" in lines[0]
    assert "0.0004" in lines[2] and lines[3] == "TRL: not installed"
