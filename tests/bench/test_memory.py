"""Formulas and rehearsals are compared step by step; a stopped comparison goes on."""

from dataclasses import replace

import pytest

from labkit import results
from labkit.bench import memory as bench_memory
from labkit.memory import StepConfig
from labkit.planner import rehearsal
from labkit.planner.shapes import SHAPES

MODEL = replace(SHAPES["SmolLM2-135M-Instruct"], n_layers=1)
STEPS = [(MODEL, StepConfig(seq=seq)) for seq in (8, 16, 32)]


def test_a_stopped_run_rehearses_only_what_is_missing(tmp_path, monkeypatch) -> None:
    seen: list[int] = []

    def rehearse(model, step) -> rehearsal.Rehearsal:
        seen.append(step.seq)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return rehearsal.Rehearsal({"weights": 10**8}, 10**8, "loss", 0, 1.0)

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)
    with pytest.raises(KeyboardInterrupt):
        bench_memory.run(STEPS, folder=tmp_path)
    run = results.load(bench_memory.NAME, folder=tmp_path)
    assert run is not None and len(run["figures"]["points"]) == 2
    figures = bench_memory.run(STEPS, folder=tmp_path)
    assert seen == [8, 16, 32, 32]
    errors = [point["error"] for point in figures["points"]]
    assert figures["largest_error"] == max(map(abs, errors))
    for point in figures["points"]:
        assert point["error"] == point["predicted_peak_bytes"] / 10**8 - 1
    assert f"{100 * figures['largest_error']:.2f} %" in bench_memory.render(figures)


def test_the_grid_repeats_nothing_and_has_a_whole_70b_model() -> None:
    grid = list(bench_memory.grid())
    assert len(grid) == len(set(grid))
    assert ("Llama-3.1-70B", 80) in {(model.name, model.n_layers) for model, _ in grid}
