"""Data size: nested sets, an equal budget, labels spoiled by the share, and runs that go on."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labkit import exam, results
from labkit.bench import data_size as bench
from labkit.claims.rules_training import data_quality
from labkit.claims.verdicts import Records
from labkit.types import Example, Question

EXAMPLES = [Example([{"role": "user", "content": f"{n}?"}], f"{n} kg") for n in range(40)]


@pytest.mark.parametrize(("n", "times"), [(10, 12), (30, 4), (100, 1), (300, 1)])
def test_small_sets_are_seen_more_often(n: int, times: int) -> None:
    assert bench.n_epochs(n) == times


def test_sets_are_nested_and_the_noisy_run_has_a_clean_twin() -> None:
    sizes = {noise: [n for n, other in bench.PLAN if other == noise] for noise in (0.0, 0.2)}
    assert sizes == {0.0: [0, 10, 30, 100, 300], 0.2: [100]}


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_so_many_labels_are_wrong_and_come_from_other_examples(share: float) -> None:
    spoiled = bench.spoil(EXAMPLES, share, seed=3)
    wrong = [b for a, b in zip(EXAMPLES, spoiled, strict=True) if a.answer != b.answer]
    assert len(wrong) == round(share * 40)
    assert {e.answer for e in wrong} <= {e.answer for e in EXAMPLES}
    assert [e.messages for e in spoiled] == [e.messages for e in EXAMPLES]
    assert spoiled == bench.spoil(EXAMPLES, share, seed=3)
    assert share == 0 or spoiled != bench.spoil(EXAMPLES, share, seed=4)


def test_a_wrong_label_never_equals_the_right_one() -> None:
    same = [Example([], "no")] * 9 + [Example([], "7 kg")]
    counts = Counter(e.answer for e in bench.spoil(same, 1.0, seed=0))
    assert counts == {"7 kg": 9, "no": 1}
    with pytest.raises(ValueError, match="same answer"):
        bench.spoil(same[:3], 1.0, seed=0)
    with pytest.raises(ValueError, match="from 0 to 1"):
        bench.spoil(same, 20, seed=0)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Replace training and exam by ones that note what they were asked for."""
    asked: list[tuple] = []
    questions = [Question(f"q{n}", "lookup", f"{n}?", "") for n in range(40)]

    def train(examples: list, out: Path, config: Any) -> Any:
        asked.append(("train", list(examples), out.name, config))
        return SimpleNamespace(log=[1, 2], n_tokens=50, train_s=2.0)

    def sit(system: str, **options: Any) -> dict:
        asked.append(("sit", system, options))
        # wrong labels and too few examples leave most questions wrong
        n_right = {"n-100": 9, "n-300": 9}.get(getattr(options["tuned"], "name", ""), 0)
        answers = [
            {"id": q.id, "text": "", "cited": [], "exact_match": float(i < n_right)}
            for i, q in enumerate(questions[::4])
        ]
        share = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 10}
        row = dict.fromkeys(("exact_match", "wrong_but_confident", "house_format"), share)
        return {"figures": row | {"answers": answers}}

    monkeypatch.setattr(bench, "train", train)
    monkeypatch.setattr(bench.evaluate, "sit", sit)
    monkeypatch.setattr(exam, "load_exam", lambda split: questions)
    monkeypatch.setattr("labkit.store.course.open_course_store", lambda: None)
    learned = [Example([], f"{n}") for n in range(300)]
    monkeypatch.setattr(bench.held_out, "split", lambda n, *_, seed: (learned[:n], []))
    return asked


def test_the_record_is_what_the_verdict_on_c3_reads(world: list, tmp_path: Path) -> None:
    figures = bench.run(folder=tmp_path, model="M", adapters=tmp_path / "adapters")
    run = results.load("data-size-m", folder=tmp_path)
    assert run is not None and run["figures"] == figures
    records = Records({"data-size-m": run}, [], "m")
    outcome = data_quality(records)
    assert outcome.state == "cannot tell"  # ten questions, one seed
    assert "30 examples against none +0.0" in outcome.finding
    assert "-90.0 points" in outcome.finding
    text = bench.render(figures)
    assert "20%" in text and "90 %" in text


def test_each_run_learns_the_first_examples_and_sits_the_same_questions(
    world: list, tmp_path: Path
) -> None:
    bench.run(folder=tmp_path, model="M", adapters=tmp_path / "adapters")
    trained = {entry[2]: entry for entry in world if entry[0] == "train"}
    assert list(trained) == ["n-10", "n-30", "n-100", "n-100-noise-20", "n-300"]
    clean, noisy = (trained[name][1] for name in ("n-100", "n-100-noise-20"))
    assert trained["n-30"][1] == clean[:30]
    assert sum(a != b for a, b in zip(clean, noisy, strict=True)) == 20
    assert trained["n-10"][3].n_epochs == 12 and trained["n-300"][3].n_epochs == 1
    sat = [entry for entry in world if entry[0] == "sit"]
    assert [system for _, system, _ in sat] == ["rag"] + ["both"] * 5
    assert {(o["limit"], o["k"]) for *_, o in sat} == {(10, 1)}


def test_a_run_that_was_killed_goes_on_where_it_was(world: list, tmp_path: Path) -> None:
    bench.run(folder=tmp_path, model="M", adapters=tmp_path / "adapters", plan=bench.PLAN[:3])
    world.clear()
    bench.run(folder=tmp_path, model="M", adapters=tmp_path / "adapters")
    assert [entry[2] for entry in world if entry[0] == "train"] == [
        "n-100", "n-100-noise-20", "n-300",
    ]  # fmt: skip
