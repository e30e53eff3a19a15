"""Reports on methods say what the records say, and do without what is missing."""

from pathlib import Path

import pytest

from labkit import results
from labkit.bench import gpu as bench_gpu
from labkit.bench import sweeps as bench_sweeps
from labkit.claims import published
from labkit.classroom.reports import methods as methods_report
from labkit.classroom.reports.methods import Comparison
from labkit.memory import StepConfig
from labkit.planner.shapes import shape
from labkit.types import Interval, TrainConfig, TrainResult

LOG = [{"loss": 2.0, "seconds": 4.0, "tokens": 10}, {"loss": 1.0, "seconds": 1.0, "tokens": 30}]


def trained(*, right: list[float], loss: float, peak: int = 2**30) -> dict:
    share = {"mean": sum(right) / len(right), "low": 0.0, "high": 1.0, "n": len(right)}
    return {
        "log": LOG,
        "train_s": 5.0,
        "n_tokens": 40,
        "n_trainable": 1234,
        "saved_bytes": 3 * 2**20,
        "learning_rate": 1e-3,
        "peak_above_imports_bytes": peak,
        "predicted_peak_bytes": peak // 2,
        "predicted_parts_bytes": {"weights": peak // 2},
        "step": {"dtype": "bf16", "batch": 4, "seq": 240},
        "held_out_loss": loss,
        "exam": {"exact_match": share, "house_format": share, "citation_precision": None},
        "answers": [{"id": f"q{i}", "exact_match": x} for i, x in enumerate(right)],
    }


@pytest.fixture
def comparison() -> Comparison:
    parts = {
        "full": trained(right=[1, 0, 0, 0], loss=1.1),
        "lora": trained(right=[1, 1, 1, 0], loss=1.0),
        "qlora": trained(right=[1, 1, 0, 0], loss=1.2, peak=2**29),
        "nf4": {"held_out_loss": 2.5, "moved_adapter_held_out_loss": 1.4, "exam": None},
        "peak-full": {"peak_above_imports_bytes": 2**29},
        "peak-qlora": {"peak_above_imports_bytes": 2**28},
        "steps": {
            "points": [{"batch": 2, "length": 8, "step_s": {"lora": [2.0], "qlora": [3.0]}}],
        },
    }
    return Comparison(parts, "recorded today")


def test_the_cost_table_has_a_row_a_method_and_leaves_the_first_step_out_of_the_speed(
    comparison: Comparison,
) -> None:
    lines = methods_report.cost_table(comparison).splitlines()[2:]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == ["full", "LoRA", "QLoRA"]
    assert "| 1,234 | 0.001 | 30 | 5 s | 3.0 MiB | 1.00 GiB | – | 0.50 GiB | 1.00 |" in lines[1]


def test_bars_hold_the_prediction_and_one_measured_number(comparison: Comparison) -> None:
    bars = methods_report.memory_bars(comparison)
    measured = [bar.measured for bar in bars]
    assert measured == [{"all parts": 2**29}, {"all parts": 2**28}], "LoRA's was not measured"
    assert bars[1].label == "QLoRA, bf16, 4 × 240" and bars[1].predicted == {"weights": 2**28}


def test_differences_are_paired_by_question(comparison: Comparison) -> None:
    gaps = methods_report.score_differences(comparison)
    assert list(gaps) == ["LoRA − full", "QLoRA − LoRA"]
    assert gaps["LoRA − full"].mean == 0.5 and gaps["QLoRA − LoRA"].mean == -0.25
    reordered = dict(reversed(list(enumerate(comparison.parts["full"]["answers"]))))
    comparison.parts["full"]["answers"] = list(reordered.values())
    assert methods_report.score_differences(comparison) == gaps


def test_scores_are_by_measure_and_only_of_those_who_sat_the_exam(comparison: Comparison) -> None:
    found = methods_report.scores(comparison)
    assert list(found) == ["exact match", "house format"]
    assert found["exact match"]["LoRA"] == Interval(0.75, 0.0, 1.0, 4)
    assert list(found["exact match"]) == ["full", "LoRA", "QLoRA"]


def test_repair_tells_what_was_measured_in_order(comparison: Comparison) -> None:
    assert methods_report.repair(comparison) == {
        "NF4, no adapter": 2.5,
        "whole + LoRA": 1.0,
        "NF4 + LoRA, moved": 1.4,
        "NF4 + its own": 1.2,
    }


def test_the_repaired_share_is_of_what_moving_the_adapter_loses(comparison: Comparison) -> None:
    assert methods_report.repaired_share(comparison) == pytest.approx(0.2 / 0.4)
    comparison.parts["nf4"]["moved_adapter_held_out_loss"] = 1.0
    assert methods_report.repaired_share(comparison) is None, "nothing was lost"
    del comparison.parts["lora"]
    assert methods_report.repaired_share(comparison) is None


def test_ratios_come_from_the_steps_if_there_are_any(comparison: Comparison) -> None:
    assert methods_report.ratios(comparison) == {2: {8: 1.5}}
    del comparison.parts["steps"]
    assert methods_report.ratios(comparison) is None and methods_report.ratios(None) is None


def test_live_runs_take_the_place_of_a_record_without_peaks_and_scores() -> None:
    config = TrainConfig("tiny", "lora", learning_rate=0.02)
    run = TrainResult(Path("x"), config, 10, 100, LOG, [], 40, 5.0, {"resident": 1}, 2**20)
    live = methods_report.live({"lora": run}, {"lora": 1.5, "base": 2.0})
    assert (
        "| LoRA | 10 | 0.02 | 30 | 5 s | 1.0 MiB | – | – | – | 1.50 |"
        in methods_report.cost_table(live)
    )
    assert methods_report.repair(live) == {"whole, no adapter": 2.0, "whole + LoRA": 1.5}
    assert not methods_report.memory_bars(live) and not methods_report.scores(live)
    assert "bench methods" in live.origin and live.logged("loss") == {"LoRA": [2.0, 1.0]}


def test_nothing_recorded_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "default_folder", lambda: tmp_path)
    assert methods_report.recorded("tiny") is None and methods_report.knobs("tiny") is None


def test_sweeps_are_read_by_knob(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "default_folder", lambda: tmp_path)
    sizes = {"held_out_loss": 1.25, "train_s": 7.0, "n_trainable": 1000, "saved_bytes": 2**20}
    figures = {"knobs": {"targets": {"all linear": sizes}}}
    results.record(bench_sweeps.name("tiny"), figures, config={})
    found = methods_report.knobs("tiny")
    assert found is not None and found.parts == figures["knobs"]
    assert found.origin.startswith("recorded 20") and "CPU core" in found.origin
    text = methods_report.knob_table(found.parts)
    assert "| targets | all linear | 1.250 | 7 s | 1,000 | 1.0 MiB |" in text


def test_every_setting_is_a_row_of_its_knob() -> None:
    table = {"rank": {"2": {"held_out_loss": 1.5}}, "alpha": {"2": {"held_out_loss": 1.2}}}
    assert methods_report.knob_losses(table) == {
        "rank: 2": {"rank": 1.5},
        "alpha: 2": {"alpha": 1.2},
    }


def test_the_knob_that_matters_most_comes_first() -> None:
    losses = {"rank": [1.5, 1.2, 1.3], "rate": [1.0, 2.0]}
    table = {k: {str(i): {"held_out_loss": x} for i, x in enumerate(v)} for k, v in losses.items()}
    assert list(methods_report.spread(table)) == ["rate", "rank"]
    assert methods_report.spread(table)["rank"] == pytest.approx(0.3)


def test_every_method_is_predicted_and_rehearsed_at_the_same_step() -> None:
    step = StepConfig(batch=2, seq=64, dtype="fp32")
    bars = methods_report.rehearsed_bars(bench_gpu.TINY, step)
    assert [bar.label for bar in bars] == ["full", "LoRA", "QLoRA"]
    for bar in bars:
        assert sum(bar.predicted.values()) == pytest.approx(sum(bar.measured.values()), rel=0.05)
    assert "adapters" not in bars[0].measured and bars[2].measured["constants"] > 0


def test_longer_rows_fit_on_larger_cards_and_with_less_to_hold() -> None:
    text = methods_report.fits_table(shape("Llama-3.1-8B"), StepConfig(checkpointing=True), [8, 24])
    small, large = text.splitlines()[2:]
    assert small.startswith("| 8 GiB | does not fit | does not fit |")
    longest = [int(cell.split()[0].replace(",", "")) for cell in large.split(" | ")[2:]]
    assert 0 < longest[0] < longest[1]


def test_the_error_of_a_prediction_is_a_share_of_what_was_measured(comparison: Comparison) -> None:
    assert methods_report.peak_error(comparison) == pytest.approx(0.0)
    comparison.parts["peak-full"]["peak_above_imports_bytes"] = 2**30
    assert methods_report.peak_error(comparison) == pytest.approx(0.5)
    assert methods_report.peak_error(Comparison({}, "")) is None


def test_published_figures_name_their_source_and_are_called_cited() -> None:
    for claim in ("C8", "C9", "C10", "C11", "C12"):
        lines = published.cited_table(claim).splitlines()[2:]
        assert lines and all("| cited: " in line for line in lines)
    lora_s, qlora_s = published.RASCHKA_S
    assert qlora_s / lora_s == pytest.approx(1.50, abs=0.01)
    assert 1 - lora_s / qlora_s == pytest.approx(0.34, abs=0.01)
