"""The comparison of methods: equal work for each, one process a part, nothing lost to a kill."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit import models, results
from labkit.bench import gpu as bench_gpu
from labkit.bench import methods as bench
from labkit.bench import sweeps as bench_sweeps
from labkit.bench.methods import Budget
from labkit.types import Example

EXAMPLES = [
    Example([{"role": "user", "content": f"How much for bearing {n}?" + " please" * n}], "1.6 kg")
    for n in range(6)
]
LEARN, KEPT = EXAMPLES[:4], EXAMPLES[4:]
BUDGET = Budget("tiny", n_examples=4, n_kept=2, n_questions=0, batch_size=2, rank=2, alpha=4)


@pytest.fixture
def tiny_base(tiny_llm: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let every load give a fresh copy of the tiny model."""

    def load(*_: Any, **__: Any) -> models.LanguageModel:
        return models.LanguageModel("tiny", copy.deepcopy(tiny_llm.model), tiny_llm.tokenizer)

    monkeypatch.setattr(bench, "load_base", load)
    monkeypatch.setattr(bench_sweeps.train, "load_base", load)
    monkeypatch.setattr(bench.shapes, "shape", lambda name: bench_gpu.TINY)
    return load


def test_every_method_gets_the_same_run_but_for_its_name() -> None:
    full, lora, qlora = (BUDGET.config(method) for method in bench.METHODS)
    assert replace(full, method="lora") == lora == replace(qlora, method="lora")
    assert (lora.rank, lora.alpha, lora.batch_size) == (2, 4, 2)


def test_a_trained_method_reports_its_cost_and_is_judged_from_the_disk(
    tiny_base: Any, tmp_path: Path
) -> None:
    figures = bench.train_and_judge("lora", BUDGET, LEARN, KEPT, tmp_path)
    assert [row["tokens"] > 0 for row in figures["log"]] == [True, True]
    assert figures["n_tokens"] == sum(row["tokens"] for row in figures["log"])
    assert figures["saved_bytes"] > 0 and figures["peak_above_imports_bytes"] >= 0
    assert figures["predicted_peak_bytes"] == sum(figures["predicted_parts_bytes"].values())
    tuned = bench.tuned_model(BUDGET.config("lora"), tmp_path / "lora")
    assert figures["held_out_loss"] == pytest.approx(bench.held_out.loss(tuned, KEPT))
    assert figures["exam"] is None
    json.dumps(figures)


def test_the_predicted_step_is_the_longest_batch_in_the_runs_formats(
    tiny_base: Any, tiny_llm: Any
) -> None:
    config = BUDGET.config("full")
    step = bench.predicted(tiny_base(), config, EXAMPLES)["step"]
    rows = [bench.encode(e, tiny_llm.tokenizer, max_tokens=99) for e in EXAMPLES]
    assert (step["batch"], step["seq"]) == (2, max(len(row["input_ids"]) for row in rows))
    assert (step["dtype"], step["rank"], step["method"]) == ("fp32", 2, "full")
    assert step["answer_tokens"] == sum(label >= 0 for label in rows[0]["labels"])


def test_the_peak_is_of_the_longest_batch_and_above_the_imports(tiny_base: Any) -> None:
    longest = bench.longest_batch(tiny_base(), BUDGET.config("lora"), LEARN)
    assert [example for example, _ in longest] == [EXAMPLES[3], EXAMPLES[2]]
    assert bench.peak_of_longest_batch("lora", BUDGET, LEARN)["peak_above_imports_bytes"] >= 0


def test_a_parts_process_is_handed_its_examples_and_opens_no_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a search leaves in memory would be part of the baseline that peaks are taken above."""
    drawn: list[Budget] = []
    told: list[tuple] = []
    monkeypatch.setattr(bench, "examples", lambda budget: drawn.append(budget) or (LEARN, KEPT))
    monkeypatch.setattr(
        bench.runner, "in_own_process", lambda _, *given, **__: told.append(given) or {"done": 1}
    )
    bench.run(budget=BUDGET, folder=tmp_path, scratch=tmp_path / "s", parts=("full", "peak-lora"))
    assert drawn == [BUDGET] and [given[0] for given in told] == ["full", "peak-lora"]
    for _, _, learn, kept, _ in told:
        assert [Example(**row) for row in learn] == LEARN
        assert [Example(**row) for row in kept] == KEPT


def test_on_a_card_the_peak_is_what_pytorch_allocated() -> None:
    class OnCard:
        peak_bytes = {"allocated": 7, "reserved": 9}

    found = bench._peaks(OnCard(), 5)  # type: ignore[arg-type]
    assert found == {"allocated_bytes": 7, "reserved_bytes": 9}, "nothing is subtracted"
    assert bench.peak_of({"peak-lora": found}, "lora") == 7
    assert bench.peak_of({"peak-lora": {"peak_above_imports_bytes": 3}}, "lora") == 3
    assert bench.peak_of({}, "lora") is None


def test_a_cards_record_does_not_count_as_the_processors(monkeypatch: Any) -> None:
    from labkit import hardware

    here = bench.name("M")
    card = replace(hardware.detect(), gpu_name="Tesla T4")
    monkeypatch.setattr(hardware, "detect", lambda: card)
    assert bench.name("M") == "methods-m-tesla-t4" != here


def test_the_4_bit_base_is_also_judged_under_an_adapter_that_was_trained_elsewhere(
    tiny_base: Any, tmp_path: Path
) -> None:
    trained = bench.train_and_judge("lora", BUDGET, LEARN, KEPT, tmp_path)
    figures = bench.judge_untrained(True, BUDGET, KEPT, tmp_path)
    assert figures["held_out_loss"] == pytest.approx(bench.held_out.loss(tiny_base(), KEPT))
    assert figures["moved_adapter_held_out_loss"] == pytest.approx(trained["held_out_loss"])
    assert figures["moved_adapter_held_out_loss"] != figures["held_out_loss"]
    assert "moved_adapter_held_out_loss" not in bench.judge_untrained(False, BUDGET, KEPT, tmp_path)


@pytest.fixture
def parts_done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the processes by a list of the parts that they would do; ``qlora`` fails once."""
    done: list[str] = []

    def work(part: str, *_: Any) -> dict:
        done.append(part)
        if done.count("qlora") == 1 and part == "qlora":
            raise RuntimeError("killed")
        return {"part": part}

    monkeypatch.setattr(bench, "_in_own_process", work)
    return done


def test_a_killed_comparison_goes_on_with_the_part_it_was_in(
    parts_done: list[str], tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "lora").mkdir(parents=True)
    with pytest.raises(RuntimeError, match="killed"):
        bench.run(budget=BUDGET, folder=tmp_path, scratch=scratch)
    assert (scratch / "lora").is_dir(), "its adapter is needed by nf4"
    figures = bench.run(budget=BUDGET, folder=tmp_path, scratch=scratch)
    assert parts_done[:6] == ["base", "full", "lora", "qlora", "qlora", "nf4"]
    assert list(figures) == list(bench.PARTS) and not scratch.exists()
    assert bench.run(budget=BUDGET, folder=tmp_path, scratch=scratch) == figures
    assert len(parts_done) == len(bench.PARTS) + 1, "what is recorded is not measured again"
    assert results.load("methods-tiny", folder=tmp_path)["figures"] == figures


def test_models_of_an_unfinished_comparison_are_kept(parts_done: list[str], tmp_path: Path) -> None:
    (tmp_path / "scratch" / "lora").mkdir(parents=True)
    for part in ("base", "full"):
        bench.run(budget=BUDGET, folder=tmp_path, parts=(part,), scratch=tmp_path / "scratch")
    assert (tmp_path / "scratch" / "lora").is_dir() and parts_done == ["base", "full"]


def test_another_budget_starts_anew(parts_done: list[str], tmp_path: Path) -> None:
    parts_done.append("qlora")
    for budget in (BUDGET, replace(BUDGET, n_examples=5)):
        bench.run(budget=budget, folder=tmp_path, parts=("base",))
    assert parts_done[1:] == ["base", "base"]


def test_a_part_that_fails_tells_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="(?s)methods:work failed: .*Budget"):
        bench.runner.in_own_process("labkit.bench.methods:work", "base", {"odd": 1}, [], [], ".")


def test_the_table_shows_each_part_that_there_is() -> None:
    log = [{"tokens": 1, "seconds": 9.0}, {"tokens": 30, "seconds": 0.5}]
    exam = {"exact_match": {"mean": 0.25}}
    figures = {
        "base": {"held_out_loss": 2.5, "exam": None},
        "lora": {"log": log, "predicted_peak_bytes": 2**29, "held_out_loss": 1.5, "exam": exam},
        "peak-lora": {"peak_above_imports_bytes": 2**28},
        "steps": {"points": [{"batch": 2, "length": 8, "step_s": {"lora": [1, 3, 2]}}]},
    }
    lines = [line.split() for line in bench.render(figures).splitlines()]
    assert lines[1] == ["base", "–", "–", "–", "2.5", "–"]
    assert lines[2] == ["lora", "0.25", "0.5", "60", "1.5", "0.25"]
    assert " ".join(lines[3]) == "2 × 8: lora 2.00 s"


def test_each_setting_turns_one_knob_only() -> None:
    centre = bench_sweeps.middle()
    knobs: dict[str, list] = {}
    for setting in bench_sweeps.settings_of():
        knobs.setdefault(setting.knob, []).append(setting.config)
    rank, alpha, targets, rate = knobs.values()
    assert {replace(c, rank=centre.rank) for c in rank} == {centre} != set(rank)
    assert {replace(c, alpha=centre.alpha) for c in alpha} == {centre} != set(alpha)
    assert {replace(c, targets=centre.targets) for c in targets} == {centre} != set(targets)
    assert {replace(c, learning_rate=centre.learning_rate) for c in rate} == {centre}
    assert all(centre in configs for configs in knobs.values())


def test_a_killed_sweep_goes_on_and_runs_the_middle_once(
    tiny_base: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tried: list = []

    def try_out(config: Any, *_: Any) -> dict:
        tried.append(config)
        if len(tried) == 3:
            raise KeyboardInterrupt
        return {"held_out_loss": 1.0, "train_s": 1.0, "n_trainable": 5}

    monkeypatch.setattr(bench_sweeps, "try_out", try_out)
    monkeypatch.setattr(bench, "examples", lambda budget: ([], []))
    with pytest.raises(KeyboardInterrupt):
        bench_sweeps.run(budget=BUDGET, folder=tmp_path)
    figures = bench_sweeps.run(budget=BUDGET, folder=tmp_path)
    settings = bench_sweeps.settings_of(BUDGET)
    wanted = {setting.config for setting in settings}
    assert set(tried) == wanted and len(tried) == len(wanted) + 1
    assert sum(map(len, figures["knobs"].values())) == len(settings) > len(wanted)
    for setting in settings:
        run = figures["knobs"][setting.knob][setting.label]
        assert (run["config"]["rank"], run["config"]["alpha"]) == (
            setting.config.rank,
            setting.config.alpha,
        )
    assert "all linear" in bench_sweeps.render(figures)


def test_one_setting_is_trained_and_judged_on_kept_answers(
    tiny_base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(BUDGET.config("lora"), learning_rate=0.05)
    before = bench.held_out.loss(tiny_base(), EXAMPLES[4:])
    judged: list = []
    loss = bench_sweeps.held_out.loss
    monkeypatch.setattr(
        bench_sweeps.held_out, "loss", lambda llm, kept: judged.extend(kept) or loss(llm, kept)
    )
    figures = bench_sweeps.try_out(config, EXAMPLES[:4], EXAMPLES[4:])
    assert judged == EXAMPLES[4:] and figures["held_out_loss"] < before
    assert figures["n_trainable"] > 0 and figures["saved_bytes"] > 0
