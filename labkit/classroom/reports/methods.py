"""Reports on full, LoRA and QLoRA: recorded runs, or live ones in their place, ready to show.

Knows: how the figures of ``bench_methods`` and ``bench_sweeps`` are read.
Does not know: how anything was measured, how a figure is drawn (``plots_methods``), nor what was
measured on a GPU (``gpu_report``). Used by lesson 08.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labkit import results
from labkit.bench import methods as bench_methods
from labkit.bench import step_times
from labkit.bench import sweeps as bench_sweeps
from labkit.bench.methods import METHODS, tokens_per_s
from labkit.claims.records import why_stale
from labkit.classroom.figures.memory import Bar
from labkit.hardware import GIB, Hardware, describe
from labkit.measure import paired_difference
from labkit.memory import ModelShape, StepConfig
from labkit.planner import fit, rehearsal
from labkit.types import Interval, TrainResult

NAMES = {"full": "full", "lora": "LoRA", "qlora": "QLoRA", "base": "base", "nf4": "base in NF4"}
SMALLEST_GAP = 0.01  # nats a token
Ratios = dict[int, dict[int, float]]
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
        found = {m: self.parts[m] for m in METHODS if m in self.parts}
        return {NAMES[method]: row for method, row in found.items() if "log" in row}

    @property
    def logs(self) -> dict[str, list[dict]]:
        """Return the log of every trained method."""
        return {name: row["log"] for name, row in self.trained.items()}


def recorded(model: str) -> Comparison | None:
    """Return the recorded comparison, or ``None`` if there is none."""
    run = results.load(bench_methods.name(model))
    return Comparison(run["figures"], _origin(run), why_stale(run)) if run else None


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
        parts.setdefault(method, {}).update(
            log=run.log,
            train_s=run.train_s,
            n_tokens=run.n_tokens,
            n_trainable=run.n_trainable,
            saved_bytes=run.saved_bytes,
            learning_rate=run.config.usual_learning_rate,
        )
    return Comparison(parts, f"measured now; to record: {bench_methods.COMMAND}")


def cost_table(comparison: Comparison) -> str:
    """Return what each method cost, as markdown; what was not measured is a dash."""
    header = ["method", "trained", "learning rate", "real tokens/s", "training", "on disk"]
    header += ["peak of the process", "freed memory returned", "predicted", "loss, kept answers"]
    table = []
    for name, row in comparison.trained.items():
        sizes = (
            row.get("peak_above_imports_bytes"),
            exact_peak(comparison, name),
            row.get("predicted_peak_bytes"),
        )
        kept = row.get("held_out_loss")
        table.append([
            name, f"{row['n_trainable']:,}", f"{row['learning_rate']:g}",
            f"{tokens_per_s(row['log']):.0f}", f"{row['train_s']:.0f} s",
            f"{row['saved_bytes'] / 2**20:.1f} MiB",
            *(f"{size / GIB:.2f} GiB" if size else "–" for size in sizes),
            "–" if kept is None else f"{kept:.2f}",
        ])  # fmt: skip
    return results.table(header, table)


def exact_peak(comparison: Comparison, name: str) -> int | None:
    """Return a method's peak above the imports with freed memory given back at once."""
    method = next(method for method, shown in NAMES.items() if shown == name)
    return comparison.parts.get(f"peak-{method}", {}).get("peak_above_imports_bytes")


def memory_bars(comparison: Comparison) -> list[Bar]:
    """Return predicted parts beside the measured peak of each method, where it was measured."""
    bars = []
    for name, row in comparison.trained.items():
        exact = exact_peak(comparison, name)
        if exact:
            step = row["step"]
            label = f"{name}\n{step['dtype']}, {step['batch']} × {step['seq']}"
            bars.append(Bar(label, row["predicted_parts_bytes"], exact))
    return bars


def rehearsed_bars(shape: ModelShape, step: StepConfig) -> list[Bar]:
    """Return predicted beside rehearsed parts of one step, for each method."""
    bars = []
    for method in METHODS:
        plan = fit.predict(shape, replace(step, method=method))
        seen = rehearsal.rehearse(shape, replace(step, method=method))
        bars.append(Bar(NAMES[method], plan.parts, seen.parts))
    return bars


def fits_table(shape: ModelShape, step: StepConfig, cards_gib: Sequence[int]) -> str:
    """Return the longest row of tokens that fits on each card, by method, as markdown."""
    table = []
    for gib in cards_gib:
        longest = (
            fit.longest_sequence(shape, replace(step, method=method), gib * GIB)
            for method in METHODS
        )
        table.append([f"{gib} GiB", *(f"{n:,} tokens" if n else "does not fit" for n in longest)])
    return results.table(["card", *(NAMES[method] for method in METHODS)], table)


def scores(comparison: Comparison) -> dict[str, dict[str, Interval | None]]:
    """Return exam scores by measure and system, for bars with whiskers; empty if none sat it."""
    sat = {name: row for name, row in comparison.parts.items() if row.get("exam")}
    names = {"exact_match": "exact match", "house_format": "house format"}
    return {
        label: {NAMES[who]: _interval(row["exam"][key]) for who, row in sat.items()}
        for key, label in names.items()
        if sat
    }


def score_differences(comparison: Comparison) -> dict[str, Interval]:
    """Return paired differences of exact match over the questions that both systems met."""
    pairs = (("lora", "full"), ("qlora", "lora"), ("lora", "base"), ("nf4", "base"))
    right = {
        who: {answer["id"]: answer["exact_match"] for answer in row["answers"]}
        for who, row in comparison.parts.items()
        if "answers" in row
    }
    gaps = {}
    for one, other in pairs:
        if one in right and other in right:
            ids = [question for question in right[one] if question in right[other]]
            a, b = ([right[who][question] for question in ids] for who in (one, other))
            gaps[f"{NAMES[one]} − {NAMES[other]}"] = paired_difference(a, b)
    return gaps


def repair(comparison: Comparison) -> dict[str, float]:
    """Return the loss on kept answers in 16 and 4 bits, without and with adapters."""
    parts = comparison.parts
    found = {
        "whole, no adapter": parts.get("base", {}).get("held_out_loss"),
        "NF4, no adapter": parts.get("nf4", {}).get("held_out_loss"),
        "whole + LoRA": parts.get("lora", {}).get("held_out_loss"),
        "NF4 + LoRA, moved": parts.get("nf4", {}).get("moved_adapter_held_out_loss"),
        "NF4 + its own": parts.get("qlora", {}).get("held_out_loss"),
    }
    return {state: loss for state, loss in found.items() if loss is not None}


def repaired_share(comparison: Comparison) -> float | None:
    """Return how much of what moving an adapter loses is won back by training on the NF4 base.

    ``None`` where moving lost nothing to speak of, or a state is missing.
    """
    found = repair(comparison)
    states = ("whole + LoRA", "NF4 + LoRA, moved", "NF4 + its own")
    if not all(state in found for state in states):
        return None
    whole, moved, own = (found[state] for state in states)
    return (moved - own) / (moved - whole) if moved - whole > SMALLEST_GAP else None


def ratios(comparison: Comparison | None) -> Ratios | None:
    """Return the recorded step-time ratios QLoRA/LoRA by batch and length, if there are any."""
    if comparison is None or "steps" not in comparison.parts:
        return None
    return step_times.ratios(comparison.parts["steps"]["points"])


def by_tokens(table: Ratios) -> Points:
    """Return ``(tokens a step, ratio)`` of every cell."""
    return [(b * n, ratio) for b, row in table.items() for n, ratio in row.items()]


def sweeps(model: str) -> Comparison | None:
    """Return the recorded runs of LoRA's knobs, by knob and setting, or ``None``."""
    run = results.load(bench_sweeps.name(model))
    return Comparison(run["figures"]["knobs"], _origin(run)) if run else None


def sweep_table(table: Mapping[str, Mapping[str, dict]]) -> str:
    """Return every setting with its loss, seconds and size, as markdown."""
    rows = [
        [knob, label, f"{run['held_out_loss']:.3f}", f"{run['train_s']:.0f} s",
         f"{run['n_trainable']:,}", f"{run['saved_bytes'] / 2**20:.1f} MiB"]
        for knob, runs in table.items()
        for label, run in runs.items()
    ]  # fmt: skip
    header = ["knob", "setting", "loss, kept answers", "training", "trained", "on disk"]
    return results.table(header, rows)


def spread(table: Mapping[str, Mapping[str, dict]]) -> dict[str, float]:
    """Return by knob how far the losses of its settings lie apart, the widest first."""
    losses = {knob: [run["held_out_loss"] for run in runs.values()] for knob, runs in table.items()}
    apart = {knob: max(values) - min(values) for knob, values in losses.items()}
    return dict(sorted(apart.items(), key=lambda item: -item[1]))


def _origin(run: Mapping[str, Any]) -> str:
    return f"recorded {run['date']}, {describe(Hardware(**run['hardware']))}"


def _interval(share: Mapping[str, Any] | None) -> Interval | None:
    return Interval.of(share) if share else None


def peak_error(comparison: Comparison) -> float | None:
    """Return how far predicted and measured peaks lie apart at most, as a share of the measured."""
    errors = [
        abs(sum(bar.predicted.values()) / bar.measured - 1)
        for bar in memory_bars(comparison)
        if isinstance(bar.measured, int)
    ]
    return max(errors, default=None)


def claims_table(rows: Sequence[tuple[str, str, str]]) -> str:
    """Return claims with what was found and where, as markdown; a blank finding is left out.

    The kind is the first word of where: recorded, measured, predicted.
    """
    header = ["claim", "what we found", "hardware and date", "kind"]
    table = [[*row, row[2].split()[0].strip(",;:")] for row in rows if row[1]]
    return results.table(header, table)
