"""Benchmark of the methods: full, LoRA and QLoRA on the same examples, in the same order.

Knows: the budget, the parts of the comparison, and that a kill must lose one part at most.
Does not know: how a part is measured (``methods_worker``, a process of its own for each).
Used by ``python -m labkit bench methods`` and lesson 08.
"""

import hashlib
import json
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from labkit import catalogue, results, settings
from labkit.bench import held_out, runner
from labkit.hardware import GIB
from labkit.types import Example, Method, TrainConfig

COMMAND = "python -m labkit bench methods"
METHODS: tuple[Method, ...] = get_args(Method)
# nf4 comes after lora: it also judges lora's adapter on the 4-bit base.
PARTS = ("base", *METHODS, "nf4", *(f"peak-{method}" for method in METHODS), "steps")


@dataclass(frozen=True)
class Budget:
    """What each method gets: the same examples, order, seed and questions."""

    model: str = catalogue.SMALL_MODEL
    n_examples: int = 48
    n_kept: int = 24
    n_questions: int = 32
    batch_size: int = 4
    rank: int = 16
    alpha: int = 32
    seed: int = 0
    batches: tuple[int, ...] = (1, 2, 4)
    lengths: tuple[int, ...] = (32, 128, 256)
    repeats: int = 3

    def config(self, method: Method) -> TrainConfig:
        """Return the training run of one method; the learning rate is the method's usual one."""
        return TrainConfig(
            self.model,
            method,
            rank=self.rank,
            alpha=self.alpha,
            batch_size=self.batch_size,
            seed=self.seed,
        )


def name(model: str) -> str:
    """Return the name of the record."""
    return f"methods-{model.lower()}"


def run(
    *,
    budget: Budget | None = None,
    folder: Path | None = None,
    parts: Sequence[str] = PARTS,
    scratch: Path | None = None,
) -> dict:
    """Measure every part that is not recorded yet; record after each one.

    Parameters
    ----------
    budget
        How much of everything; the default takes about ten minutes on two cores.
    folder
        Where to record; ``data/results`` unless given. Delete the file to measure anew.
    parts
        Some of ``PARTS``, in that order.
    scratch
        Where models are trained, removed once all is recorded; in the cache unless given.

    Raises
    ------
    RuntimeError
        If a part fails; the message ends with what its process said.
    """
    budget = budget or Budget()
    config = json.loads(json.dumps(asdict(budget))) | {"command": COMMAND}
    figures = runner.recorded(name(budget.model), config, folder=folder)
    missing = [part for part in parts if part not in figures]
    if not missing:
        return figures
    learn, kept = examples(budget)
    scratch = scratch or settings.cache_dir() / "training" / _fingerprint(config)
    for part in missing:
        figures[part] = in_own_process(part, budget, learn, kept, scratch)
        results.record(name(budget.model), figures, config=config, folder=folder)
    if all(part in figures for part in PARTS):
        shutil.rmtree(scratch, ignore_errors=True)
    return figures


def examples(budget: Budget) -> tuple[list[Example], list[Example]]:
    """Return what every method learns from, and the answers that none of them sees."""
    from labkit.store.course import open_course_store

    return held_out.split(budget.n_examples, budget.n_kept, open_course_store(), seed=budget.seed)


def in_own_process(
    part: str, budget: Budget, learn: list[Example], kept: list[Example], scratch: Path
) -> dict:
    """Return the figures of one part; peaks are taken while freed memory is given back at once."""
    environment = runner.RETURNING if part.startswith("peak-") else {}
    told = [asdict(budget), [asdict(e) for e in learn], [asdict(e) for e in kept], str(scratch)]
    worker = "labkit.bench.methods_worker:work_in_json"
    return runner.in_own_process(worker, part, *told, environment=environment)


def _fingerprint(config: dict) -> str:
    return "methods-" + hashlib.sha256(json.dumps(config).encode()).hexdigest()[:12]


def tokens_per_s(log: Sequence[dict]) -> float:
    """Return real tokens a second of all steps but the first, which also allocates memory."""
    steady = log[1:] or log
    return sum(row["tokens"] for row in steady) / sum(row["seconds"] for row in steady)


def render(figures: dict) -> str:
    """Return the comparison as lines for a terminal."""
    lines = [f"{'':6}   GiB  predicted  tokens/s  loss kept  exam"]
    for part in [part for part in ("base", *METHODS, "nf4") if part in figures]:
        row = figures[part]
        cost = ""
        if "log" in row:
            exact = figures.get(f"peak-{part}", row)
            sizes = (exact["peak_above_imports_bytes"], row["predicted_peak_bytes"])
            cost = "".join(f"{size / GIB:8.2f}" for size in sizes)
            cost += f"{tokens_per_s(row['log']):10.0f}"
        right = row["exam"] and row["exam"]["exact_match"]
        score = f"{right['mean']:6.1%}" if right else "     –"
        lines.append(f"{part:6}{cost:26}{row['held_out_loss']:11.3f}{score}")
    for point in figures.get("steps", {}).get("points", []):
        medians = {who: statistics.median(times) for who, times in point["step_s"].items()}
        told = ", ".join(f"{who} {median:.2f} s" for who, median in medians.items())
        lines.append(f"{point['batch']} × {point['length']}: {told}")
    return "\n".join(lines)
