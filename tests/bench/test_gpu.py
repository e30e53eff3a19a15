"""The GPU benchmark, on a tiny model and on cards that are made up: nothing here needs CUDA."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit import hardware, results
from labkit.bench import gpu as bench
from labkit.bench import step_times
from labkit.hardware import GIB, Hardware
from labkit.measure import Device
from labkit.memory import StepConfig

CARDS = {  # usable GiB, bf16
    "Tesla T4": (14.7, False),
    "NVIDIA L4": (22.5, True),
    "NVIDIA GeForce RTX 4090": (23.5, True),
    "NVIDIA A100-SXM4-40GB": (39.4, True),
    "NVIDIA H100 80GB HBM3": (79.1, True),
}


def machine(name: str, n: int = 1) -> Hardware:
    gib, bf16 = CARDS[name]
    return Hardware("CPU", 8, 64 * GIB, False, name, n, int(gib * GIB), bf16)


class Card(Device):
    """A card that is made up: work runs on the processor, bytes are a script's."""

    def __init__(self, *, free_gib: float = 16, operations_per_s: float = 1e15) -> None:
        super().__init__("cpu")
        self.free, self.speed = int(free_gib * GIB), operations_per_s
        self.told: list[str] = []

    def free_bytes(self) -> int:
        return self.free

    def clear(self) -> None:
        self.told.append("clear")

    def reset_peak(self) -> None:
        self.told.append("reset")

    def peaks(self) -> dict[str, int]:
        self.told.append("peaks")
        return {"allocated": 3 * GIB, "reserved": 4 * GIB}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "WARM_UP", 0)
    monkeypatch.setattr(bench, "REPEATS", 2)


def silent(_: str) -> None:
    pass


def test_without_a_card_it_says_so_in_one_sentence(capsys: pytest.CaptureFixture) -> None:
    from labkit.cli.main import main

    assert main(["bench", "gpu"]) == 1
    assert "needs a CUDA card, and PyTorch finds none here" in capsys.readouterr().err


def test_a_trial_runs_from_the_command_line_to_the_record(
    quick: None, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from labkit.cli.main import main

    told = ["bench", "gpu", "--device", "cpu", "--model", "tiny", "--folder", str(tmp_path)]
    assert main(told) == 0
    said = capsys.readouterr().out
    assert "tiny qlora 2 × 16 checkpointed, loop: measured" in said and "random weights" in said
    run = results.load("trial-gpu-cpu", folder=tmp_path)
    assert run is not None and run["config"]["trial"]
    for point in run["figures"]["points"]:
        assert point["status"] == "measured" or "trl" in point["status"]
        if point["status"] == "measured":
            assert len(point["step_s"]) == 2 and point["first_step_s"] > 0
            assert "resident_bytes" in point and "allocated_bytes" not in point


@pytest.mark.parametrize("name", CARDS)
def test_number_formats_are_the_cards(name: str) -> None:
    gib, bf16 = CARDS[name]
    short = "bf16" if bf16 else "fp16"
    for point in bench.points(machine(name), full=True):
        step = point.step
        if step.method == "full":
            assert (step.dtype, step.autocast) == ("fp32", short)
        else:
            assert (step.dtype, step.autocast) == (short, None if bf16 else "fp16")
    assert bench.record_name(machine(name)).startswith("gpu-")


@pytest.mark.parametrize("full", [False, True])
def test_the_grid_repeats_nothing_and_begins_with_lora_beside_qlora(full: bool) -> None:
    grid = list(bench.points(machine("NVIDIA L4"), full=full))
    assert len(grid) == len(set(grid)) and {p.engine for p in grid} == {"loop", "trl"}
    assert [p.step.method for p in grid[:4]] == ["lora", "qlora"] * 2


def run(card: Card, monkeypatch: Any, tmp_path: Path, **told: Any) -> tuple[list, list]:
    """Return the points that were measured, and what was said, on a made-up T4."""
    monkeypatch.setattr(hardware, "detect", lambda: machine("Tesla T4"))
    monkeypatch.setattr(bench, "product_speed", lambda device: device.speed)
    tried: list[bench.Point] = []

    def measure(_: Any, point: bench.Point) -> dict:
        tried.append(point)
        sizes = {"first_step_s": 2.0, "step_s": [1.0], "tokens_per_s": 9.0}
        return sizes | {"allocated_bytes": GIB, "reserved_bytes": GIB}

    monkeypatch.setattr(bench.Bench, "_measure", told.pop("measure", measure))
    card.kind = "cuda"  # only now: from here on nothing is computed
    said: list[str] = []
    bench.run(device=card, folder=tmp_path, say=said.append, **told)
    return tried, said


def test_the_grid_fits_free_memory_not_the_cards_nominal_size(monkeypatch, tmp_path) -> None:
    tried, said = run(Card(free_gib=5), monkeypatch, tmp_path, minutes=600)
    assert tried and "5.0 GiB free memory" in said[0]
    for point in tried:
        assert bench._predicted(point) <= 1.1 * 5 * GIB
    assert {point.model for point in tried} >= {bench.SMALL, bench.PHI}


def test_the_minutes_choose_what_tells_most_and_are_told_first(monkeypatch, tmp_path) -> None:
    slow = Card(free_gib=79, operations_per_s=2e14)
    tried, said = run(slow, monkeypatch, tmp_path, minutes=2)
    everything = list(bench.points(machine("Tesla T4")))
    assert 0 < len(tried) < len(everything)
    assert set(tried) & set(everything[:6]) and "about 2 minutes" in said[0]
    keys = [point.build_key for point in tried]
    assert sum(a != b for a, b in zip(keys, keys[1:], strict=False)) + 1 == len(set(keys))


def test_it_stops_when_the_minutes_are_over(monkeypatch, tmp_path) -> None:
    clock = iter(range(0, 100_000, 100))
    monkeypatch.setattr(bench.time, "monotonic", lambda: next(clock))
    tried, said = run(Card(free_gib=79), monkeypatch, tmp_path, minutes=5)
    assert len(tried) == 2 and said[-1] == "The minutes are over; run it again to go on."
    assert (tmp_path / bench.PAGE).read_text(encoding="utf-8") == bench.page(tmp_path)
    assert "Tesla T4" in bench.page(tmp_path), "what was measured until then stands on the page"


def test_a_killed_run_goes_on_and_what_failed_is_tried_again(monkeypatch, tmp_path) -> None:
    errors = {2: RuntimeError("no kernel"), 3: RuntimeError("CUDA out of memory. Tried")}
    n_tried = 0

    def measure(_: Any, point: bench.Point) -> dict:
        nonlocal n_tried
        n_tried += 1
        if n_tried == 5:
            raise KeyboardInterrupt
        if n_tried in errors:
            raise errors[n_tried]
        return {"first_step_s": 1.0, "step_s": [1.0], "tokens_per_s": 1.0, "allocated_bytes": GIB}

    with pytest.raises(KeyboardInterrupt):
        run(Card(), monkeypatch, tmp_path, minutes=600, measure=measure)
    name = bench.record_name(machine("Tesla T4"))
    points = results.load(name, folder=tmp_path)["figures"]["points"]  # type: ignore[index]
    statuses = [point["status"] for point in points]
    assert statuses == ["measured", "failed: no kernel", "out of memory", "measured"]
    tried, _ = run(Card(), monkeypatch, tmp_path, minutes=600)
    again = [point.as_dict() for point in tried]
    key = ("model", "step", "engine")
    old = [{k: point[k] for k in key} for point in points]
    assert old[1] in again, "it failed: a newer library may run it"
    assert not any(old[n] in again for n in (0, 2, 3))


def test_peaks_are_the_cards_own_and_reset_before_what_is_timed() -> None:
    card = Card()
    times = iter([9.0, 1.0, 3.0, 2.0])
    found = step_times.measure(lambda *_: next(times), 2, 8, card, warm_up=0, repeats=3)
    assert card.told == ["clear", "reset", "peaks"]
    assert found == {
        "first_step_s": 9.0,
        "step_s": [1.0, 3.0, 2.0],
        "tokens_per_s": 8.0,
        "allocated_bytes": 3 * GIB,
        "reserved_bytes": 4 * GIB,
    }


def test_a_model_is_freed_before_the_next_one_is_built(quick: None) -> None:
    import gc
    import weakref

    built = bench.Bench(Card())
    step = StepConfig(method="lora", batch=1, seq=8, dtype="fp32", answer_tokens=2)
    assert built.measure(bench.Point("tiny", step))["status"] == "measured"
    model = weakref.ref(built.model)
    built.close()
    gc.collect()
    assert model() is None


def test_steps_of_another_length_run_on_the_same_model(quick: None) -> None:
    built = bench.Bench(Card())
    step = StepConfig(method="full", batch=1, seq=8, dtype="fp32", answer_tokens=2)
    for checkpointing in (False, True):
        point = bench.Point("tiny", replace(step, seq=16, checkpointing=checkpointing))
        assert built.measure(point)["weights"] == "random"
        assert built.model.is_gradient_checkpointing is checkpointing


def test_the_page_puts_cards_side_by_side_and_is_what_the_records_say(tmp_path: Path) -> None:
    committed = results.default_folder()
    assert (committed / bench.PAGE).read_text(encoding="utf-8") == bench.page(committed)
    assert "No card has been measured yet" in bench.page(tmp_path)
    for name, seconds in (("A", 0.5), ("B", 0.25)):
        step = next(bench.points(machine("NVIDIA L4")))
        point = step.as_dict() | {"status": "measured", "weights": "random", "step_s": [seconds]}
        point |= {"allocated_bytes": GIB, "predicted_peak_bytes": 2 * GIB}
        results.record(f"gpu-{name.lower()}", {"points": [point]}, config={}, folder=tmp_path)
        run = results.load(f"gpu-{name.lower()}", folder=tmp_path)
        assert run is not None
        run["hardware"]["gpu_name"] = name
        path = tmp_path / f"gpu-{name.lower()}.json"
        path.write_text(bench.results.json.dumps(run), encoding="utf-8")
    header, _, row = bench.page(tmp_path).splitlines()[-3:]
    assert header.index("A, ") < header.index("B, ")
    assert "500 ms, 1.00 GiB (2.00 predicted) | 250 ms" in row


@pytest.mark.parametrize("path", sorted(results.default_folder().glob("gpu-*.json")), ids=str)
def test_a_cards_record_has_the_shape_that_lessons_read(path: Path) -> None:
    run = results.load(path.stem)
    assert run is not None and run["config"]["device"] == "cuda" and not run["config"]["trial"]
    assert path.stem == bench.record_name(Hardware(**run["hardware"]))
    for point in run["figures"]["points"]:
        StepConfig(**point["step"] | {"targets": tuple(point["step"]["targets"])})
        assert point["predicted_peak_bytes"] == sum(point["predicted_parts_bytes"].values())
        if point["status"] == "measured":
            assert point["weights"] in ("real", "random") and point["engine"] in ("loop", "trl")
            assert 0 < point["allocated_bytes"] <= point["reserved_bytes"]
            assert min(point["step_s"]) > 0 and point["first_step_s"] > 0
