"""Reports on full, LoRA and QLoRA: recorded runs, or live ones in their place, ready to show.

Knows: how the records of ``bench.methods``, ``bench.sweeps`` and ``bench.gpu`` are read and paired.
Does not know: how anything was measured, nor how a figure is drawn. Used by lesson 08.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import pandas as pd

from labkit import results
from labkit.bench import methods, step_times, training
from labkit.bench.held_out import loss, split  # noqa: F401
from labkit.bench.methods import METHODS, peak_of, tokens_per_s
from labkit.catalogue import learning_rate
from labkit.claims.records import why_stale
from labkit.classroom import reports
from labkit.classroom.figures import ALL_PARTS, MemoryBar
from labkit.classroom.reports import claims_table as claims_table
from labkit.hardware import GIB
from labkit.measure import paired_difference
from labkit.memory import MemoryPlan, ModelShape, StepConfig
from labkit.models import LanguageModel
from labkit.planner import fit, rehearsal
from labkit.planner.shapes import shape as shape
from labkit.store import open_course_store
from labkit.types import Example, Interval, Method, TrainConfig, TrainResult

NAMES = {"full": "full", "lora": "LoRA", "qlora": "QLoRA", "base": "base", "nf4": "base in NF4"}
SMALLEST_GAP = 0.01  # nats a token
NO_GPU_YET = "not measured yet on a GPU; to measure: make bench-gpu"
Knobs = Mapping[str, Mapping[str, dict]]
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Comparison:
    """The parts of ``bench.methods``, or the knobs of ``bench.sweeps``, and their origin.

    ``stale`` says why the record no longer counts as it stands, where it does not.
    """

    parts: dict[str, dict]
    origin: str
    stale: str = ""

    @property
    def trained(self) -> dict[str, dict]:
        """Return the methods that were trained, by the names that figures show."""
        found = {NAMES[method]: self.parts.get(method, {}) for method in METHODS}
        return {name: row for name, row in found.items() if "log" in row}

    def logged(self, key: str) -> dict[str, list[float]]:
        """Return one number a step of every trained method: ``loss``, ``seconds`` or ``tokens``."""
        return {name: [step[key] for step in row["log"]] for name, row in self.trained.items()}

    @property
    def speeds(self) -> dict[str, float]:
        """Return real tokens a second of every trained method."""
        return {name: tokens_per_s(row["log"]) for name, row in self.trained.items()}

    @property
    def exact_peaks(self) -> dict[str, int]:
        """Return peaks above the imports with freed memory given back at once, where measured."""
        peaks = {NAMES[method]: peak_of(self.parts, method) for method in METHODS}
        return {name: peak for name, peak in peaks.items() if peak}


def recorded(model: str) -> Comparison | None:
    """Return the recorded comparison, or ``None`` if there is none."""
    run = reports.recorded("methods", model)
    return Comparison(run["figures"], _origin(run), why_stale(run)) if run else None


def knobs(model: str) -> Comparison | None:
    """Return the recorded runs of LoRA's knobs, by knob and setting, or ``None``."""
    run = reports.recorded("sweeps", model)
    return Comparison(run["figures"]["knobs"], _origin(run)) if run else None


def examples(n_learn: int, n_kept: int) -> tuple[list[Example], list[Example]]:
    """Return examples of the course's own questions to learn from, and others to judge by."""
    return split(n_learn, n_kept, open_course_store())


def engines() -> str:
    """Return labkit's loop beside other trainers, or say how to record it."""
    run = results.load(training.NAME)
    if run is None:
        return f"Not recorded yet. To record it (a quarter of an hour): {training.COMMAND}"
    return f"{training.render(run['figures'])}\n{_origin(run)}"


def live(runs: Mapping[str, TrainResult], kept_losses: Mapping[str, float]) -> Comparison:
    """Return runs of this minute in the shape of a recorded comparison; no peaks and no exam.

    Parameters
    ----------
    runs
        ``{"full": result, "lora": result, …}``.
    kept_losses
        The loss on kept answers, by the same names and those of untrained states.
    """
    parts: dict[str, dict] = {name: {"held_out_loss": x} for name, x in kept_losses.items()}
    for method, run in runs.items():
        kept = ("log", "train_s", "n_tokens", "n_trainable", "saved_bytes")
        row = {name: getattr(run, name) for name in kept}
        parts.setdefault(method, {}).update(row, learning_rate=learning_rate(run.config))
    return Comparison(parts, f"measured now; to record: {methods.COMMAND}")


def cost_table(comparison: Comparison) -> str:
    """Return what each method cost, as markdown; what was not measured is a dash."""
    header = ["method", "trained", "learning rate", "real tokens/s", "training", "on disk"]
    header += ["peak of the process", "freed memory returned", "predicted", "loss, kept answers"]
    table = []
    for name, row in comparison.trained.items():
        kept, peaks = row.get("held_out_loss"), comparison.exact_peaks
        sizes = (row.get("peak_above_imports_bytes"), peaks.get(name),
                 row.get("predicted_peak_bytes"))  # fmt: skip
        table.append([
            name, f"{row['n_trainable']:,}", f"{row['learning_rate']:g}",
            f"{comparison.speeds[name]:.0f}", f"{row['train_s']:.0f} s", _mib(row),
            *(f"{size / GIB:.2f} GiB" if size else "–" for size in sizes),
            "–" if kept is None else f"{kept:.2f}",
        ])  # fmt: skip
    return results.table(header, table)


def memory_bars(comparison: Comparison) -> list[MemoryBar]:
    """Return predicted parts beside the measured peak of each method, where it was measured."""
    rows, label = comparison.trained, "{0}, {dtype}, {batch} × {seq}"
    return [
        MemoryBar(label.format(name, **rows[name]["step"]), rows[name]["predicted_parts_bytes"],
                  {ALL_PARTS: peak})
        for name, peak in comparison.exact_peaks.items()
    ]  # fmt: skip


def predicted(model: ModelShape, step: StepConfig) -> dict[Method, MemoryPlan]:
    """Return the predicted memory of one step, by method."""
    return {method: fit.predict(model, replace(step, method=method)) for method in METHODS}


def rehearsed_bars(model: ModelShape, step: StepConfig) -> list[MemoryBar]:
    """Return predicted beside rehearsed parts of one step, for each method."""
    return [
        MemoryBar(NAMES[m], plan.parts, rehearsal.rehearse(model, replace(step, method=m)).parts)
        for m, plan in predicted(model, step).items()
    ]


def fits_table(model: ModelShape, step: StepConfig, cards_gib: Sequence[float]) -> str:
    """Return the longest row of tokens that fits on each card, by method, as markdown."""
    steps = {NAMES[method]: replace(step, method=method) for method in METHODS}
    table = []
    for gib in cards_gib:
        longest = (fit.longest_sequence(model, one, int(gib * GIB)) for one in steps.values())
        table.append([f"{gib} GiB", *(f"{n:,} tokens" if n else "does not fit" for n in longest)])
    return results.table(["card", *steps], table)


def scores(comparison: Comparison) -> dict[str, dict[str, Interval | None]]:
    """Return exam scores by measure and system, for bars with whiskers; empty if none sat it."""
    sat = {NAMES[who]: row["exam"] for who, row in comparison.parts.items() if row.get("exam")}
    return {
        key.replace("_", " "): {
            who: Interval.of(exam[key]) if exam[key] else None for who, exam in sat.items()
        }
        for key in ("exact_match", "house_format")
        if sat
    }


def score_differences(comparison: Comparison) -> dict[str, Interval]:
    """Return paired differences of exact match over the questions that both systems met."""
    pairs = (("lora", "full"), ("qlora", "lora"), ("lora", "base"), ("nf4", "base"))
    right = pd.DataFrame({
        who: {answer["id"]: answer["exact_match"] for answer in row["answers"]}
        for who, row in comparison.parts.items()
        if "answers" in row
    })  # fmt: skip
    return {
        f"{NAMES[one]} − {NAMES[other]}": paired_difference(*right[[one, other]].dropna().T.values)
        for one, other in pairs
        if {one, other} <= set(right)
    }


def repair(comparison: Comparison) -> dict[str, float]:
    """Return the loss on kept answers in 16 and 4 bits, without and with adapters."""
    states = {
        "whole, no adapter": ("base", "held_out_loss"),
        "NF4, no adapter": ("nf4", "held_out_loss"),
        "whole + LoRA": ("lora", "held_out_loss"),
        "NF4 + LoRA, moved": ("nf4", "moved_adapter_held_out_loss"),
        "NF4 + its own": ("qlora", "held_out_loss"),
    }
    found = {state: comparison.parts.get(who, {}).get(key) for state, (who, key) in states.items()}
    return {state: kept for state, kept in found.items() if kept is not None}


def repaired_share(comparison: Comparison) -> float | None:
    """Return how much of what moving an adapter loses is won back by training on the NF4 base.

    ``None`` where moving lost nothing to speak of, or a state is missing.
    """
    found = repair(comparison)
    whole, moved, own = map(found.get, ("whole + LoRA", "NF4 + LoRA, moved", "NF4 + its own"))
    if whole is None or moved is None or own is None or moved - whole <= SMALLEST_GAP:
        return None
    return (moved - own) / (moved - whole)


def live_ratios(
    bases: Mapping[str, tuple[LanguageModel, TrainConfig]], batches: Sequence[int],
    lengths: Sequence[int], *, repeats: int,
) -> dict[int, dict[int, float]]:  # fmt: skip
    """Time steps of LoRA and QLoRA now; return QLoRA/LoRA by batch and length.

    Parameters
    ----------
    bases
        The model that each method changes, and how it trains.
    batches, lengths, repeats
        As in ``bench.step_times.grid``.
    """
    steppers = {m: step_times.stepper(how, model=llm.model) for m, (llm, how) in bases.items()}
    return step_times.ratios(step_times.grid(steppers, batches, lengths, repeats=repeats))


def ratios(comparison: Comparison | None) -> dict[int, dict[int, float]] | None:
    """Return the recorded step-time ratios QLoRA/LoRA by batch and length, if there are any."""
    if comparison is None or "steps" not in comparison.parts:
        return None
    return step_times.ratios(comparison.parts["steps"]["points"])


def knob_table(found: Knobs) -> str:
    """Return every setting with its loss, seconds and size, as markdown."""
    rows = [
        [knob, label, f"{run['held_out_loss']:.3f}", f"{run['train_s']:.0f} s",
         f"{run['n_trainable']:,}", _mib(run)]
        for knob, runs in found.items()
        for label, run in runs.items()
    ]  # fmt: skip
    header = ["knob", "setting", "loss, kept answers", "training", "trained", "on disk"]
    return results.table(header, rows)


def knob_losses(found: Knobs) -> dict[str, dict[str, float]]:
    """Return the loss on kept answers by setting, each under its knob, for rows of dots."""
    return {
        f"{knob}: {label}": {knob: run["held_out_loss"]}
        for knob, runs in found.items()
        for label, run in runs.items()
    }


def spread(found: Knobs) -> dict[str, float]:
    """Return by knob how far the losses of its settings lie apart, the widest first."""
    losses = pd.DataFrame(knob_losses(found))
    return (losses.max(axis=1) - losses.min(axis=1)).sort_values(ascending=False).to_dict()


def peak_error(comparison: Comparison) -> float | None:
    """Return how far predicted and measured peaks lie apart at most, as a share of the measured."""
    return max((bar.error for bar in memory_bars(comparison)), default=None)


def gpu_runs() -> list[dict]:
    """Return every recorded run of ``bench.gpu`` on a card."""
    paths = sorted(results.default_folder().glob("gpu-*.json"))
    runs = [results.load(path.stem) for path in paths]
    return [run for run in runs if run and run["config"].get("device") == "cuda"]


def gpu_ratios(cards: Iterable[dict]) -> dict[str, Points]:
    """Return QLoRA/LoRA step-time ratios by card and model: ``(tokens a step, ratio)``.

    Steps with checkpointing are left out: they do part of the work twice.
    """
    series: dict[str, Points] = {}
    for run in cards:
        times = {key: median(point["step_s"]) for key, point in _measured(run)}
        for (model, method, batch, seq, checked), lora_s in times.items():
            other = times.get((model, "qlora", batch, seq, checked))
            if method == "lora" and other and not checked:
                name = f"{run['hardware']['gpu_name']}, {model}"
                series.setdefault(name, []).append((batch * seq, other / lora_s))
    return series


def gpu_bars(
    run: dict, model: str, *, batch: int, seq: int, checkpointing: bool
) -> list[MemoryBar]:
    """Return predicted parts beside allocated bytes of one card, for each method that fits."""
    return [
        MemoryBar(f"{NAMES[method]}, {batch} × {seq}", point["predicted_parts_bytes"],
                  {ALL_PARTS: point["allocated_bytes"]})
        for (name, method, *sizes), point in _measured(run)
        if name == model and sizes == [batch, seq, checkpointing]
    ]  # fmt: skip


def gpu_error(cards: Iterable[dict]) -> float | None:
    """Return how far the predicted peak is off at most, over all measured steps."""
    points = (point for run in cards for _, point in _measured(run))
    errors = (abs(p["predicted_peak_bytes"] / p["allocated_bytes"] - 1) for p in points)
    return max(errors, default=None)


def _measured(run: dict) -> Iterator[tuple[tuple, dict]]:
    """Yield plain measured steps: ``(model, method, batch, seq, checkpointing)`` and the point."""
    for point in run["figures"]["points"]:
        if point["status"] == "measured" and point["engine"] == "loop":
            keys = ("method", "batch", "seq", "checkpointing")
            yield (point["model"], *(point["step"][key] for key in keys)), point


def _origin(run: dict) -> str:
    return f"recorded {reports.origin(run)}"


def _mib(row: Mapping[str, Any]) -> str:
    return f"{row['saved_bytes'] / 2**20:.1f} MiB"
