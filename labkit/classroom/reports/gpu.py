"""Reports on GPU runs: what ``bench_gpu`` recorded on a card, beside its predictions.

Knows: how the points of a run are read and paired. Does not know: how they were measured
(``bench_gpu``), nor how a figure is drawn (``plots_methods``, ``plots_memory``).
Used by lesson 08.
"""

from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import Any

from labkit import results
from labkit.classroom.figures.memory import Bar
from labkit.classroom.reports.methods import NAMES, Points

NOT_MEASURED = "not measured yet on a GPU; to measure: make bench-gpu"


def runs() -> list[dict]:
    """Return every recorded run of ``bench_gpu`` on a card."""
    found = sorted(results.default_folder().glob("gpu-*.json"))
    loaded = [results.load(path.stem) for path in found]
    return [run for run in loaded if run and run["config"].get("device") == "cuda"]


def ratios(cards: Iterable[dict], *, checkpointing: bool = False) -> dict[str, Points]:
    """Return QLoRA/LoRA step-time ratios by card and model: ``(tokens a step, ratio)``."""
    series: dict[str, Points] = {}
    for run in cards:
        times = {_step_key(p): median(p["step_s"]) for p in _measured(run)}
        for (model, method, batch, seq, checked), lora_s in times.items():
            other = times.get((model, "qlora", batch, seq, checked))
            if method == "lora" and other and checked is checkpointing:
                name = f"{run['hardware']['gpu_name']}, {model}"
                series.setdefault(name, []).append((batch * seq, other / lora_s))
    return series


def bars(run: dict, model: str, *, batch: int, seq: int, checkpointing: bool) -> list[Bar]:
    """Return predicted parts beside allocated bytes of one card, for each method that fits."""
    wanted = (batch, seq, checkpointing)
    return [
        Bar(f"{NAMES[p['step']['method']]}\n{batch} × {seq}", p["predicted_parts_bytes"],
            p["allocated_bytes"])
        for p in _measured(run)
        if p["model"] == model and _step_key(p)[2:] == wanted
    ]  # fmt: skip


def error(cards: Iterable[dict]) -> float | None:
    """Return how far the predicted peak is off at most, over all measured steps."""
    errors = [
        abs(point["predicted_peak_bytes"] / point["allocated_bytes"] - 1)
        for run in cards
        for point in _measured(run)
    ]
    return max(errors, default=None)


def _measured(run: dict) -> Iterator[dict]:
    for point in run["figures"]["points"]:
        plain = point["attention"] == "sdpa" and not point["compiled"] and point["engine"] == "loop"
        if point["status"] == "measured" and plain and point["allocated_bytes"]:
            yield point


def _step_key(point: Mapping[str, Any]) -> tuple:
    step = point["step"]
    sizes = (step["batch"], step["seq"], step["checkpointing"])
    return point["model"], step["method"], *sizes
