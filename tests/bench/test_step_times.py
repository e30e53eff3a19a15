"""Step times: every method meets every size, in turns, and ratios are of medians."""

import copy
from typing import Any

import pytest

from labkit.bench import step_times
from labkit.types import TrainConfig


def test_every_method_warms_up_and_takes_turns_at_every_size() -> None:
    calls: list[tuple] = []

    def method(name: str) -> step_times.Step:
        def step(batch: int, length: int) -> float:
            calls.append((name, batch, length))
            return float(len(calls))

        return step

    steppers = {"lora": method("lora"), "qlora": method("qlora")}
    points = step_times.grid(steppers, [2], [8, 16], repeats=2)
    assert [name for name, *_ in calls[:6]] == ["lora", "qlora", "lora", "qlora", "qlora", "lora"]
    assert [(p["batch"], p["length"]) for p in points] == [(2, 8), (2, 16)]
    assert points[0]["step_s"] == {"lora": [3, 6], "qlora": [4, 5]}, "the warm-up does not count"


def test_a_ratio_is_of_medians_and_says_how_many_times_qlora_takes() -> None:
    times = {"lora": [1.0, 2.0, 99.0], "qlora": [3.0, 3.0, 0.0]}
    points = [{"batch": 4, "length": 128, "step_s": times}]
    assert step_times.ratios(points) == {4: {128: 1.5}}
    assert step_times.ratios(points, "lora", "qlora") == {4: {128: pytest.approx(2 / 3)}}


def test_a_step_trains_the_adapters_and_nothing_else(tiny_llm: Any) -> None:
    model = copy.deepcopy(tiny_llm.model)
    step = step_times.stepper(TrainConfig("tiny", rank=2, alpha=4), model=model)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    assert step(2, 16) > 0
    changed = {n for n, w in model.named_parameters() if not w.equal(before[n])}
    assert changed and all("lora_B" in name for name in changed), "A moves once B is not zero"


def test_the_last_quarter_of_a_row_has_labels(tiny_llm: Any) -> None:
    rows = step_times._random_rows(tiny_llm.model, 3, 16)
    assert ((rows["labels"] >= 0).sum(1) == 4).all()
    assert (rows["labels"][:, -4:] == rows["input_ids"][:, -4:]).all()
