"""The GPU benchmark on a tiny model: it records after each point, resumes, and invents nothing."""

import json
from pathlib import Path

import pytest

from labkit import hardware, results
from labkit.bench import gpu as bench_gpu
from labkit.bench import gpu_step
from labkit.bench.gpu import Point
from labkit.memory import StepConfig

TINY_STEP = StepConfig(method="lora", batch=1, seq=8, dtype="fp32")


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_gpu, "WARM_UP", 0)
    monkeypatch.setattr(bench_gpu, "REPEATS", 1)


def test_without_cuda_it_says_so_in_one_sentence(monkeypatch, capsys) -> None:
    machine = hardware.Hardware("CPU", 2, 8 * hardware.GIB, False)
    monkeypatch.setattr(hardware, "detect", lambda: machine)
    assert bench_gpu.main([]) == 1
    said = capsys.readouterr()
    assert said.err == "bench-gpu needs a CUDA device, and PyTorch finds none here.\n"
    assert said.out == ""


def test_a_tiny_run_on_the_cpu_is_recorded_without_gpu_figures(fast, tmp_path: Path) -> None:
    todo = list(bench_gpu.tiny_points())[4:]
    bench_gpu.run(todo, "gpu-test", device="cpu", setting="tiny", folder=tmp_path)
    run = results.load("gpu-test", folder=tmp_path)
    assert run is not None and run["config"]["device"] == "cpu"
    for point in run["figures"]["points"]:
        assert point["status"] == "measured"
        assert point["allocated_bytes"] is None and point["reserved_bytes"] is None
        assert len(point["step_s"]) == 1 and point["predicted_peak_bytes"] > 0


def test_a_killed_run_goes_on_where_it_stopped(fast, tmp_path: Path, monkeypatch) -> None:
    todo = [Point("tiny", TINY_STEP), Point("tiny", StepConfig(method="lora", seq=4, dtype="fp32"))]
    measured: list[int] = []

    class Scripted:
        def __init__(self, *_: object) -> None:
            pass

        def measure(self, step: StepConfig, **_: int) -> dict:
            measured.append(step.seq)
            if len(measured) == 2:
                raise KeyboardInterrupt
            return {"allocated_bytes": 1, "reserved_bytes": 2, "step_s": [1.0]}

    monkeypatch.setattr(gpu_step, "Bench", Scripted)
    with pytest.raises(KeyboardInterrupt):
        bench_gpu.run(todo, "gpu-test", device="cpu", setting="tiny", folder=tmp_path)
    assert len(json.loads((tmp_path / "gpu-test.json").read_text())["figures"]["points"]) == 1
    figures = bench_gpu.run(todo, "gpu-test", device="cpu", setting="tiny", folder=tmp_path)
    assert measured == [8, 4, 4]
    assert len(figures["points"]) == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("CUDA out of memory. Tried"), "out of memory"),
        (RuntimeError("no kernel"), "failed: no kernel"),
        (ImportError("flash_attn is not there"), "not tried: flash_attn is not there"),
    ],
)
def test_what_did_not_run_is_recorded_as_such(tmp_path, monkeypatch, error, status) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(gpu_step, "Bench", fail)
    todo = [Point("tiny", TINY_STEP)]
    figures = bench_gpu.run(todo, "gpu-test", device="cpu", setting="tiny", folder=tmp_path)
    assert figures["points"][0]["status"] == status
    assert "step_s" not in figures["points"][0]


def test_hopeless_points_are_not_tried(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(gpu_step, "card_bytes", lambda device: hardware.GIB)
    monkeypatch.setattr(gpu_step, "Bench", lambda *_: pytest.fail("it was tried"))
    todo = [Point(bench_gpu.LLAMA, StepConfig(method="full"))]
    figures = bench_gpu.run(todo, "gpu-test", device="cpu", setting="quick", folder=tmp_path)
    assert figures["points"][0]["status"].startswith("not tried: predicted")


@pytest.mark.parametrize("full", [False, True])
def test_the_grid_builds_each_model_once_and_repeats_nothing(full: bool) -> None:
    grid = list(bench_gpu.points(full=full))
    assert len(grid) == len(set(grid))
    keys = [point.build_key for point in grid]
    changes = sum(a != b for a, b in zip(keys, keys[1:], strict=False))
    assert changes + 1 == len(set(keys))
    assert {point.engine for point in grid} == {"loop", "trl"}
