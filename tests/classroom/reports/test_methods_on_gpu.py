"""Reports on GPU runs pair equal steps, and take nothing that was not measured on a card."""

from pathlib import Path
from typing import Any

import pytest

from labkit import results
from labkit.classroom.reports import methods as methods_report


def point(method: str, seconds: float, **changes: Any) -> dict:
    step = {"method": method, "batch": 2, "seq": 512, "checkpointing": False}
    step |= {name: changes.pop(name) for name in list(changes) if name in step}
    return {
        "model": "Phi",
        "step": step,
        "engine": "loop",
        "status": "measured",
        "step_s": [seconds, seconds, 99.0],
        "allocated_bytes": 100,
        "predicted_peak_bytes": 104,
        "predicted_parts_bytes": {"weights": 104},
    } | changes


@pytest.fixture
def card() -> dict:
    points = [
        point("lora", 1.0),
        point("qlora", 1.25, predicted_peak_bytes=90),
        point("lora", 9.0, engine="trl"),
        point("qlora", 5.0, checkpointing=True),
        point("lora", 2.0, batch=4, status="out of memory"),
        point("qlora", 2.0, batch=4),
    ]
    return {"hardware": {"gpu_name": "Card"}, "figures": {"points": points}}


def test_gpu_ratios_pair_equal_steps_that_were_measured(card: dict) -> None:
    assert methods_report.gpu_ratios([card]) == {"Card, Phi": [(1024, 1.25)]}


def test_gpu_bars_and_errors_compare_with_allocated_bytes(card: dict) -> None:
    bars = methods_report.gpu_bars(card, "Phi", batch=2, seq=512, checkpointing=False)
    assert [bar.label for bar in bars] == ["LoRA, 2 × 512", "QLoRA, 2 × 512"]
    assert methods_report.gpu_error([card]) == pytest.approx(0.1)
    assert methods_report.gpu_error([]) is None


def test_runs_of_the_script_on_a_cpu_are_no_gpu_runs(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "default_folder", lambda: tmp_path)
    results.record("gpu-cpu-tiny", {"points": []}, config={"device": "cpu"})
    results.record("gpu-card", {"points": []}, config={"device": "cuda"})
    assert [run["name"] for run in methods_report.gpu_runs()] == ["gpu-card"]
