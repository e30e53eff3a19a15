"""The comparison of methods: equal work for each, one process a part, nothing lost to a kill."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit import models, results
from labkit.bench import gpu as bench_gpu
from labkit.bench import methods as bench_methods
from labkit.bench import methods_worker as worker
from labkit.bench import sweeps as bench_sweeps
from labkit.bench.methods import Budget
from labkit.types import Example

EXAMPLES = [
    Example([{"role": "user", "content": f"How much for bearing {n}?" + " please" * n}], "1.6 kg")
    for n in range(6)
]
BUDGET = Budget("tiny", n_examples=4, n_kept=2, n_questions=0, batch_size=2, rank=2, alpha=4)


@pytest.fixture
def tiny_base(tiny_llm: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let every load give a fresh copy of the tiny model."""

    def load(*_: Any, **__: Any) -> models.LanguageModel:
        return models.LanguageModel("tiny", copy.deepcopy(tiny_llm.model), tiny_llm.tokenizer)

    monkeypatch.setattr(worker, "load_base", load)
    monkeypatch.setattr(bench_sweeps.train, "load_base", load)
    monkeypatch.setattr(worker.shapes, "shape", lambda name: bench_gpu.TINY)
    return load


def test_every_method_gets_the_same_run_but_for_its_name() -> None:
    full, lora, qlora = (BUDGET.config(method) for method in bench_methods.METHODS)
    assert replace(full, method="lora") == lora == replace(qlora, method="lora")
    assert (lora.rank, lora.alpha, lora.batch_size) == (2, 4, 2)


def test_a_trained_method_reports_its_cost_and_is_judged_from_the_disk(
    tiny_base: Any, tmp_path: Path
) -> None:
    figures = worker.work("lora", BUDGET, EXAMPLES[:4], EXAMPLES[4:], tmp_path)
    assert [row["tokens"] > 0 for row in figures["log"]] == [True, True]
    assert figures["n_tokens"] == sum(row["tokens"] for row in figures["log"])
    assert figures["saved_bytes"] > 0 and figures["peak_above_imports_bytes"] >= 0
    assert figures["predicted_peak_bytes"] == sum(figures["predicted_parts_bytes"].values())
    tuned = worker.tuned_model(BUDGET.config("lora"), tmp_path / "lora")
    assert figures["held_out_loss"] == pytest.approx(worker.held_out.loss(tuned, EXAMPLES[4:]))
    assert figures["exam"] is None
    json.dumps(figures)


def test_the_predicted_step_is_the_longest_batch_in_the_models_formats(
    tiny_base: Any, tiny_llm: Any
) -> None:
    step = worker.longest_step(tiny_base(), BUDGET.config("lora"), EXAMPLES)
    rows = [worker.encode(e, tiny_llm.tokenizer, max_tokens=99) for e in EXAMPLES]
    assert (step.batch, step.seq) == (2, max(len(row["input_ids"]) for row in rows))
    assert (step.dtype, step.adapter_dtype, step.rank, step.method) == ("fp32", "fp32", 2, "lora")
    assert step.answer_tokens == sum(label >= 0 for label in rows[0]["labels"])


def test_a_peak_is_of_two_steps_on_the_longest_batch(
    tiny_base: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trained: list = []
    train = worker.train

    def watched(examples: Any, *args: Any, **told: Any) -> Any:
        result = train(examples, *args, **told)
        trained.append((examples, len(result.log)))
        return result

    monkeypatch.setattr(worker, "train", watched)
    figures = worker.work("peak-lora", BUDGET, EXAMPLES[:4], [], tmp_path)
    assert trained == [([EXAMPLES[3], EXAMPLES[2]], 2)]
    assert figures["peak_above_imports_bytes"] >= 0 and not list(tmp_path.iterdir())


def test_a_run_that_goes_on_after_a_kill_keeps_the_higher_peak(tmp_path: Path) -> None:
    path = tmp_path / worker.PEAK_FILE
    worker._note_peak(tmp_path, above_bytes=0)
    high = json.loads(path.read_text())["above_imports_bytes"]
    worker._note_peak(tmp_path, above_bytes=high // 2)
    assert json.loads(path.read_text())["above_imports_bytes"] >= high > 0


def test_the_4_bit_base_is_also_judged_under_an_adapter_that_was_trained_elsewhere(
    tiny_base: Any, tmp_path: Path
) -> None:
    kept = EXAMPLES[4:]
    trained = worker.work("lora", BUDGET, EXAMPLES[:4], kept, tmp_path)
    figures = worker.work("nf4", BUDGET, [], kept, tmp_path)
    assert figures["held_out_loss"] == pytest.approx(worker.held_out.loss(tiny_base(), kept))
    assert figures["moved_adapter_held_out_loss"] == pytest.approx(trained["held_out_loss"])
    assert figures["moved_adapter_held_out_loss"] != figures["held_out_loss"]
    assert "moved_adapter_held_out_loss" not in worker.work("base", BUDGET, [], kept, tmp_path)


def test_the_exam_is_open_book_and_keeps_each_question_with_its_score(
    tiny_llm: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict = {}

    def sit(system: str, **told: Any) -> dict:
        asked.update(told, system=system)
        share = {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 1}
        rows = [{"id": "test-1", "exact_match": 1.0, "text": "long", "cited": []}]
        scores = {"exact_match": share, "house_format": share, "citation_precision": None}
        return {"figures": scores | {"answers": rows, "wall_s": 2.0}}

    monkeypatch.setattr(worker.evaluate, "sit", sit)
    monkeypatch.setattr("labkit.store.course.open_course_store", lambda: "store")
    budget = replace(BUDGET, n_questions=7)
    found = worker.judge(tiny_llm, budget, EXAMPLES[:1], tuned=tmp_path)
    assert (asked["system"], asked["k"], asked["limit"], asked["tuned"]) == ("both", 1, 7, tmp_path)
    assert found["answers"] == [{"id": "test-1", "exact_match": 1.0}]
    worker.judge(tiny_llm, budget, EXAMPLES[:1])
    assert (asked["system"], asked["tuned"]) == ("rag", None)


@pytest.fixture
def parts_done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the processes by a list of the parts that they would do; ``qlora`` fails once."""
    done: list[str] = []

    def work(part: str, *_: Any) -> dict:
        done.append(part)
        if done.count("qlora") == 1 and part == "qlora":
            raise RuntimeError("killed")
        return {"part": part}

    monkeypatch.setattr(bench_methods, "in_own_process", work)
    monkeypatch.setattr(bench_methods, "examples", lambda budget: ([], []))
    return done


def test_a_killed_comparison_goes_on_with_the_part_it_was_in(
    parts_done: list[str], tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "lora").mkdir(parents=True)
    with pytest.raises(RuntimeError, match="killed"):
        bench_methods.run(budget=BUDGET, folder=tmp_path, scratch=scratch)
    assert (scratch / "lora").is_dir(), "its adapter is needed by nf4"
    figures = bench_methods.run(budget=BUDGET, folder=tmp_path, scratch=scratch)
    assert parts_done[:6] == ["base", "full", "lora", "qlora", "qlora", "nf4"]
    assert list(figures) == list(bench_methods.PARTS) and not scratch.exists()
    assert bench_methods.run(budget=BUDGET, folder=tmp_path, scratch=scratch) == figures
    assert len(parts_done) == len(bench_methods.PARTS) + 1, "what is recorded is not measured again"
    assert results.load("methods-tiny", folder=tmp_path)["figures"] == figures


def test_models_of_an_unfinished_comparison_are_kept(parts_done: list[str], tmp_path: Path) -> None:
    (tmp_path / "scratch" / "lora").mkdir(parents=True)
    for part in ("base", "full"):
        bench_methods.run(
            budget=BUDGET, folder=tmp_path, parts=(part,), scratch=tmp_path / "scratch"
        )
    assert (tmp_path / "scratch" / "lora").is_dir() and parts_done == ["base", "full"]


def test_another_budget_starts_anew(parts_done: list[str], tmp_path: Path) -> None:
    parts_done.append("qlora")
    for budget in (BUDGET, replace(BUDGET, n_examples=5)):
        bench_methods.run(budget=budget, folder=tmp_path, parts=("base",))
    assert parts_done[1:] == ["base", "base"]


def test_a_part_that_fails_tells_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="(?s)work_in_json failed: .*no method 'nothing'"):
        bench_methods.in_own_process("nothing", BUDGET, [], [], tmp_path)


def test_the_table_shows_each_part_that_there_is() -> None:
    log = [{"tokens": 1, "seconds": 9.0}, {"tokens": 30, "seconds": 0.5}]
    cost = {"log": log, "peak_above_imports_bytes": 2**30, "predicted_peak_bytes": 2**29}
    exam = {"exact_match": {"mean": 0.25}}
    figures = {
        "base": {"held_out_loss": 2.5, "exam": None},
        "lora": cost | {"held_out_loss": 1.5, "exam": exam},
        "steps": {"points": [{"batch": 2, "length": 8, "step_s": {"lora": [1, 3, 2]}}]},
    }
    lines = bench_methods.render(figures).splitlines()
    assert "2.500     –" in lines[1]
    assert "1.00    0.50        60      1.500 25.0%" in lines[2]
    exact = bench_methods.render(figures | {"peak-lora": {"peak_above_imports_bytes": 2**28}})
    assert "0.25    0.50        60" in exact
    assert lines[3] == "2 × 8: lora 2.00 s"


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
        return {"held_out_loss": 1.0, "train_s": 1.0, "n_trainable": 5, "saved_bytes": 5}

    monkeypatch.setattr(bench_sweeps, "try_out", try_out)
    monkeypatch.setattr(bench_methods, "examples", lambda budget: ([], []))
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
    assert "all linear   loss on kept answers  1.000" in bench_sweeps.render(figures)


def test_one_setting_is_trained_and_judged_on_kept_answers(
    tiny_base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(BUDGET.config("lora"), learning_rate=0.05)
    before = worker.held_out.loss(tiny_base(), EXAMPLES[4:])
    judged: list = []
    loss = bench_sweeps.held_out.loss
    monkeypatch.setattr(
        bench_sweeps.held_out, "loss", lambda llm, kept: judged.extend(kept) or loss(llm, kept)
    )
    figures = bench_sweeps.try_out(config, EXAMPLES[:4], EXAMPLES[4:])
    assert judged == EXAMPLES[4:] and figures["held_out_loss"] < before
    assert figures["n_trainable"] > 0 and figures["saved_bytes"] > 0
