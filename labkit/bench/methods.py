"""Benchmark of the methods: full, LoRA and QLoRA on the same examples, in the same order.

Knows: the budget, the parts of the comparison, each in a process of its own, and that a kill must
lose one part at most. Does not know: how a model is trained (``train``), a step timed
(``step_times``) or memory predicted (``planner``).
Used by ``python -m labkit bench methods`` and lesson 08.
"""

import hashlib
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Literal, cast, get_args

from labkit import catalogue, evaluate, hardware, measure, settings
from labkit.bench import held_out, runner, step_times
from labkit.models import LanguageModel, load_language_model, with_adapter
from labkit.planner import fit, shapes
from labkit.train import load_base, precision, train
from labkit.training_data import encode
from labkit.types import IGNORED, Example, Method, TrainConfig, TrainResult

COMMAND = "python -m labkit bench methods"
METHODS: tuple[Method, ...] = get_args(Method)
# nf4 comes after lora: it also judges lora's adapter on the 4-bit base.
PARTS = ("base", *METHODS, "nf4", *(f"peak-{method}" for method in METHODS), "steps")
KEPT_FIGURES = ("log", "train_s", "n_tokens", "n_trainable", "n_parameters", "saved_bytes")
SCORES = ("exact_match", "house_format", "citation_precision")


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
    return runner.here(f"methods-{model.lower()}")


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
    config = asdict(budget) | {"command": COMMAND, "device": measure.Device().kind}
    told = hashlib.sha256(json.dumps(config).encode()).hexdigest()[:12]
    scratch = scratch or settings.cache_dir() / "training" / f"methods-{told}"
    rows = cache(
        partial(examples, budget)
    )  # here: a part's process must hold nothing of the search
    calls = {part: partial(_in_own_process, part, budget, rows, scratch) for part in parts}
    figures = runner.each(name(budget.model), calls, config, folder=folder)
    if all(part in figures for part in PARTS):
        shutil.rmtree(scratch, ignore_errors=True)
    return figures


def _in_own_process(
    part: str,
    budget: Budget,
    rows: Callable[[], tuple[list[Example], list[Example]]],
    scratch: Path,
) -> dict:
    """Do one part; peaks are taken while freed memory is given back at once."""
    environment = runner.RETURNING if part.startswith("peak-") else {}
    learn, kept = ([asdict(example) for example in half] for half in rows())
    told = (part, asdict(budget), learn, kept, str(scratch))
    return runner.in_own_process("labkit.bench.methods:work", *told, environment=environment)


def examples(budget: Budget) -> tuple[list[Example], list[Example]]:
    """Return what every method learns from, and the answers that none of them sees."""
    from labkit.store.course import open_course_store

    return held_out.split(budget.n_examples, budget.n_kept, open_course_store(), seed=budget.seed)


def work(part: str, told: dict, learned: list[dict], judged: list[dict], folder: str) -> dict:
    """Do one part of the budget ``told`` and return its figures; everything is as JSON holds it."""
    budget, models = Budget(**told), Path(folder)
    learn, kept = ([Example(**row) for row in rows] for rows in (learned, judged))
    if part == "steps":
        return time_steps(budget)
    if part in ("base", "nf4"):
        return judge_untrained(part == "nf4", budget, kept, models)
    method = cast(Method, part.removeprefix("peak-"))
    if part.startswith("peak-"):
        return peak_of_longest_batch(method, budget, learn)
    return train_and_judge(method, budget, learn, kept, models)


def train_and_judge(
    method: Method, budget: Budget, learn: list[Example], kept: list[Example], folder: Path
) -> dict:
    """Train with one method, then judge the model as it comes back from the disk."""
    imported = _imported_bytes()
    config, out = budget.config(method), folder / method
    llm = load_base(config, precision(method, hardware.detect()))
    result = train(learn, out, config, base=llm)
    figures = {key: getattr(result, key) for key in KEPT_FIGURES}
    figures |= {"learning_rate": catalogue.learning_rate(config)} | predicted(llm, config, learn)
    figures |= _peaks(result, imported)
    del llm
    return figures | judge(tuned_model(config, out), budget, kept, tuned=out)


def peak_of_longest_batch(method: Method, budget: Budget, learn: list[Example]) -> dict:
    """Train two steps on the longest batch, and return what they needed at most.

    On a card that is what PyTorch allocated, on the processor what the process holds above its
    imports. In the first step the optimizer has no states yet while activations fill the memory.
    """
    import peft  # noqa: F401
    from transformers import Trainer  # noqa: F401

    import labkit.answer_trainer  # noqa: F401

    imported = measure.peak_rss_bytes()
    config = replace(budget.config(method), n_epochs=2)
    llm = load_base(config, precision(method, hardware.detect()))
    longest = longest_batch(llm, config, learn)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        return _peaks(train([one for one, _ in longest], Path(out), config, base=llm), imported)


def _imported_bytes() -> int:
    """Import what training needs, and return the memory that this takes."""
    import peft  # noqa: F401
    from transformers import Trainer  # noqa: F401

    import labkit.answer_trainer  # noqa: F401

    return measure.peak_rss_bytes()


def _peaks(result: TrainResult, imported: int) -> dict[str, int]:
    """Return what PyTorch allocated on a card, or what the process held above its imports."""
    if "resident" not in result.peak_bytes:
        return {f"{name}_bytes": size for name, size in result.peak_bytes.items()}
    above = result.peak_bytes["resident"] - imported
    return {"peak_above_imports_bytes": above, "imported_bytes": imported}


def longest_batch(
    llm: LanguageModel, config: TrainConfig, learn: Sequence[Example]
) -> list[tuple[Example, dict]]:
    """Return the longest examples of one batch, each with its encoded row, the longest first."""
    rows = [(one, encode(one, llm.tokenizer, max_tokens=config.max_tokens)) for one in learn]
    return sorted(rows, key=lambda pair: -len(pair[1]["input_ids"]))[: config.batch_size]


def predicted(llm: LanguageModel, config: TrainConfig, learn: Sequence[Example]) -> dict:
    """Return the predicted bytes by part of the run's largest step, and that step's sizes."""
    rows = [row for _, row in longest_batch(llm, config, learn)]
    n_answers = sum(label != IGNORED for row in rows for label in row["labels"])
    step = fit.step_of(
        config,
        precision(config.method, hardware.detect()),
        seq=len(rows[0]["input_ids"]),
        answer_tokens=-(-n_answers // len(rows)),
    )
    plan = fit.predict(shapes.shape(config.model), replace(step, batch=len(rows)))
    return {
        "step": asdict(plan.step) | {"targets": list(step.targets)},
        "predicted_parts_bytes": plan.parts,
        "predicted_peak_bytes": plan.peak_bytes,
    }


def tuned_model(config: TrainConfig, out: Path) -> LanguageModel:
    """Load a trained model as it would be used: on the base that it was trained on."""
    formats = precision(config.method, hardware.detect())
    if config.method == "full":
        device: Literal["cpu", "cuda"] = "cuda" if measure.Device().kind == "cuda" else "cpu"
        choice = catalogue.Choice(config.model, device, formats.weights, False, "as trained")
        return load_language_model(config.model, choice=choice, tuned=out)
    llm = load_base(config, formats)
    return LanguageModel(llm.name, with_adapter(llm.model, out), llm.tokenizer)


def judge(
    llm: LanguageModel, budget: Budget, kept: list[Example], *, tuned: Path | None = None
) -> dict:
    """Return the loss on kept answers and the score on a fixed part of the exam."""
    figures: dict = {"held_out_loss": held_out.loss(llm, kept), "exam": None}
    if not budget.n_questions:
        return figures
    from labkit.store.course import open_course_store

    run = evaluate.sit(
        "both" if tuned else "rag",
        llm=llm,
        tuned=tuned,
        k=1,
        limit=budget.n_questions,
        store=open_course_store(),
    )["figures"]
    answers = [{"id": a["id"], "exact_match": a["exact_match"]} for a in run["answers"]]
    scores = {name: run[name] for name in SCORES}
    return figures | {"exam": scores, "exam_s": run["wall_s"], "answers": answers}


def judge_untrained(nf4: bool, budget: Budget, kept: list[Example], folder: Path) -> dict:
    """Judge the base model, in 16 or 4 bits; in 4 bits also under LoRA's adapter, moved there."""
    config = budget.config("qlora" if nf4 else "lora")
    llm = load_base(config, precision(config.method, hardware.detect()))
    figures = judge(llm, budget, kept)
    if nf4:
        moved = LanguageModel(llm.name, with_adapter(llm.model, folder / "lora"), llm.tokenizer)
        figures["moved_adapter_held_out_loss"] = held_out.loss(moved, kept)
    return figures


def time_steps(budget: Budget) -> dict:
    """Time steps of LoRA and QLoRA over the grid of batch × length."""
    steppers: dict[str, step_times.Step] = {
        method: step_times.stepper(budget.config(method)) for method in METHODS[1:]
    }
    points = step_times.grid(steppers, budget.batches, budget.lengths, repeats=budget.repeats)
    return {"points": points}


def tokens_per_s(log: Sequence[dict]) -> float:
    """Return real tokens a second of all steps but the first, which also allocates memory."""
    steady = log[1:] or log
    return sum(row["tokens"] for row in steady) / sum(row["seconds"] for row in steady)


def peak_of(figures: dict, method: str) -> int | None:
    """Return the measured peak of a method's longest batch, if there is one."""
    found = figures.get(f"peak-{method}", {})
    return found.get("allocated_bytes", found.get("peak_above_imports_bytes"))


def render(figures: dict) -> str:
    """Return the comparison as lines for a terminal."""
    import pandas as pd

    rows = {
        part: {
            "peak, GiB": (peak_of(figures, part) or float("nan")) / hardware.GIB,
            "predicted": row.get("predicted_peak_bytes", float("nan")) / hardware.GIB,
            "tokens/s": tokens_per_s(row["log"]) if "log" in row else float("nan"),
            "loss kept": row["held_out_loss"],
            "right": row["exam"]["exact_match"]["mean"] if row["exam"] else float("nan"),
        }
        for part, row in figures.items()
        if "held_out_loss" in row
    }
    table = pd.DataFrame.from_dict(rows, orient="index").to_string(na_rep="–", float_format="%.3g")
    lines = [table]
    for point in figures.get("steps", {}).get("points", []):
        medians = {who: statistics.median(times) for who, times in point["step_s"].items()}
        told = ", ".join(f"{who} {median:.2f} s" for who, median in medians.items())
        lines.append(f"{point['batch']} × {point['length']}: {told}")
    return "\n".join(lines)
