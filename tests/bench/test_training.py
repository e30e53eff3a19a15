"""The training benchmark: every engine learns the same from the same rows."""

import copy
from pathlib import Path
from typing import Any

import pytest

from labkit.bench import training as bench
from labkit.train import prepare
from labkit.types import IGNORED, TrainConfig

ROWS = [
    {"input_ids": [5, 6, 7, 8, 9, 10][:n], "labels": [IGNORED, IGNORED, 7, 8, 9, 10][:n]}
    for n in (6, 5, 4, 6)
]
CONFIG = TrainConfig("tiny", batch_size=4, rank=4, alpha=8)


@pytest.mark.parametrize("engine", bench.ENGINES)
def test_one_step_of_every_engine_has_the_same_loss(engine: str, tiny_llm: Any) -> None:
    if not bench.is_here(engine):
        pytest.skip("trl is not installed")
    losses = []
    for name in ("Trainer", engine):
        model = prepare(copy.deepcopy(tiny_llm.model), CONFIG)
        once = bench.time_once(name, model, copy.deepcopy(tiny_llm.tokenizer), ROWS, CONFIG)
        losses.append(once["mean_loss"])
        assert once["tokens_per_s"] == pytest.approx(21 / once["wall_s"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_several_steps_end_at_the_same_weights_in_the_same_order(
    tiny_llm: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch
    from transformers import Trainer

    monkeypatch.setattr(
        Trainer,
        "_get_train_sampler",
        lambda self, *_: torch.utils.data.SequentialSampler(self.train_dataset),
    )
    rows = sorted(ROWS, key=lambda row: -len(row["input_ids"]))
    config = TrainConfig("tiny", batch_size=1, rank=4, alpha=8)
    monkeypatch.setattr(bench.training_data, "length_grouped_order", lambda n, **_: range(len(n)))
    curves = []
    for name in ("Trainer", "labkit"):
        model = prepare(copy.deepcopy(tiny_llm.model), config)
        tokenizer = copy.deepcopy(tiny_llm.tokenizer)
        trainer = bench.make_engine(name, model, tokenizer, rows, tmp_path, config)
        trainer.args.logging_steps = trainer.state.logging_steps = 1
        trainer.args.lr_scheduler_type, trainer.args.warmup_steps = "linear", 0
        trainer.train()
        curves.append([row["loss"] for row in trainer.state.log_history if "loss" in row])
    assert len(curves[0]) == 4
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)


def test_medians_are_by_engine() -> None:
    speeds = [("a", 1.0), ("b", 9.0), ("a", 3.0), ("a", 100.0)]
    runs = [{"engine": name, "tokens_per_s": speed} for name, speed in speeds]
    assert bench.medians(runs) == {"a": 3.0, "b": 9.0}


def test_the_table_compares_with_the_stock_trainer() -> None:
    figures = {
        "median_tokens_per_s": {"labkit": 90.0, "Trainer": 45.0},
        "peak": {name: {"above_imports_bytes": 2**30} for name in ("labkit", "Trainer")},
        "absent": ["TRL"],
    }
    lines = bench.render(figures).splitlines()
    assert "90 tokens/s" in lines[0] and "2.00×" in lines[0] and "1024 MiB" in lines[0]
    assert lines[2] == "TRL: not installed"


def test_a_killed_run_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    timed: list[str] = []

    def time_once(name: str, *_: Any) -> dict:
        if len(timed) == 9:
            raise KeyboardInterrupt
        timed.append(name)
        return {"wall_s": 1.0, "tokens_per_s": 3.0, "mean_loss": 0.5}

    class Nothing:
        model = tokenizer = None

    monkeypatch.setattr(bench, "ENGINES", ("labkit", "Trainer"))
    monkeypatch.setattr(bench, "time_once", time_once)
    monkeypatch.setattr(bench, "load_base", lambda *_: Nothing)
    monkeypatch.setattr(bench, "prepare", lambda *_: None)
    monkeypatch.setattr(bench, "mixed_rows", lambda *_: ROWS)
    monkeypatch.setattr(bench, "peak_in_own_process", lambda *_: {"above_imports_bytes": 1})
    with pytest.raises(KeyboardInterrupt):
        bench.run(repeats=5, folder=tmp_path)
    assert timed[2:] == ["labkit", "Trainer", "Trainer", "labkit"] + [
        "labkit",
        "Trainer",
        "Trainer",
    ]
    timed.clear()
    figures = bench.run(repeats=5, folder=tmp_path)
    assert timed[2:] == ["labkit", "labkit", "Trainer"]
    assert len(figures["runs"]) == 10 and set(figures["peak"]) == {"labkit", "Trainer"}
    timed.clear()
    assert bench.run(repeats=5, folder=tmp_path) == figures
    assert timed == []
