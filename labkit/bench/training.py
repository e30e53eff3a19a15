"""Benchmark of training: this course's trainer beside the stock ones, on identical batches.

Knows: how each trainer is set up, and how they are timed side by side in one run.
Does not know: how training works (``train``), nor what is learned.
Used by ``python -m labkit bench training`` and lesson 08.
"""

import itertools
import statistics
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from labkit import catalogue, hardware, training_data
from labkit.answer_trainer import make_trainer
from labkit.bench import held_out, runner, step_times
from labkit.measure import Device, peak_rss_bytes
from labkit.models import LanguageModel
from labkit.train import load_base, precision, prepare
from labkit.types import Precision, TrainConfig

NAME = "bench-training"
COMMAND = "python -m labkit bench training"
# "recomputed": gradient checkpointing, which TRL switches on by default.
ENGINES = ("labkit", "labkit, recomputed", "Trainer", "TRL", "TRL, recomputed")
Rows = Sequence[dict[str, list[int]]]


def run(
    *, n_examples: int = 16, repeats: int = 3, batch_size: int = 4, folder: Path | None = None
) -> dict:
    """Time every engine ``repeats`` times in a rotating order, and record speeds, losses, peaks.

    Each starts from a fresh model and the same adapter, and takes the same steps: the course's
    training examples, batched alike, with the same schedule. So the losses of their steps must
    agree, and only the time and the memory differ. A run that was killed goes on after the last
    recorded measurement; delete the record to start anew.

    Returns
    -------
    dict
        ``runs``, each with its engine, seconds, real tokens a second without the first step, and
        the loss of every step; ``peak`` by engine in bytes; ``loss_gap``, the largest distance
        between two engines in one step.
    """
    settings: dict[str, Any] = {"command": COMMAND, "n_examples": n_examples}
    settings |= {"repeats": repeats, "batch_size": batch_size, "device": Device().kind}
    engines = [name for name in ENGINES if is_here(name)]
    turns = [engines[turn % len(engines) :] + engines[: turn % len(engines)]
             for turn in range(repeats)]  # fmt: skip
    figures = {"runs": [], "peak": {}} | runner.recorded(runner.here(NAME), settings, folder=folder)
    todo = list(itertools.chain(*turns))[len(figures["runs"]) :]
    missing = [name for name in engines if name not in figures["peak"]]
    if not todo and not missing:
        return figures
    config = TrainConfig(catalogue.SMALL_MODEL, batch_size=batch_size)
    rows = training_rows(config, n_examples)
    figures["n_tokens"] = sum(len(row["input_ids"]) for row in rows)
    figures["absent"] = [name for name in ENGINES if name not in engines]
    for name in todo:
        figures["runs"].append({"engine": name} | time_once(name, fresh_base(config), rows, config))
        figures["median_tokens_per_s"] = medians(figures["runs"])
        figures["loss_gap"] = loss_gap(figures["runs"])
        runner.record(runner.here(NAME), figures, config=settings, folder=folder)
    for name in missing:
        told = (name, list(rows[:batch_size]), asdict(config))
        figures["peak"][name] = runner.in_own_process(f"{__name__}:peak_of_a_step", *told)
        runner.record(runner.here(NAME), figures, config=settings, folder=folder)
    return figures


def fresh_base(config: TrainConfig) -> LanguageModel:
    """Return the base model without adapters, in the number format it is trained in."""
    return load_base(config, format_of(config))


def training_rows(config: TrainConfig, n_examples: int) -> list[dict[str, list[int]]]:
    """Return encoded training examples with three passages each, the longest batch first."""
    from labkit.store.course import open_course_store

    learn, _ = held_out.split(n_examples, 1, open_course_store(), k=3)
    tokenizer = fresh_base(config).tokenizer
    rows = [training_data.encode(one, tokenizer, max_tokens=config.max_tokens) for one in learn]
    return sorted(rows, key=lambda row: -len(row["input_ids"]))


def time_once(name: str, base: LanguageModel, rows: Rows, config: TrainConfig) -> dict:
    """Train one epoch and return seconds, real tokens a second, and the loss of every step."""
    from transformers.trainer_callback import PrinterCallback

    engine, _, recomputed = name.partition(", ")
    config = replace(config, checkpointing=bool(recomputed))
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # options that transformers renamed
        model, tokenizer, formats = prepare(base.model, config), base.tokenizer, format_of(config)
        trainer = make_trainer(model, rows, [], tokenizer, Path(folder), config, formats)
        if engine != "labkit":
            stock = _trl if engine == "TRL" else _transformers
            trainer = stock(model, tokenizer, rows, trainer.args)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(step_times.clock(times, Device(model.device.type)))
        trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    sizes = [len(row["input_ids"]) for row in rows]
    steady = sum(sizes[config.batch_size :]) if len(times) > 2 else sum(sizes)
    wall_s = times[-1] - times[1 if len(times) > 2 else 0]
    return {"wall_s": times[-1] - times[0], "tokens_per_s": steady / wall_s, "losses": losses}


def format_of(config: TrainConfig) -> Precision:
    """Return the number formats of this machine, the same for every engine."""
    return precision(config.method, hardware.detect())


def is_here(name: str) -> bool:
    """Tell whether the engine's library is installed."""
    import importlib.util

    return not name.startswith("TRL") or importlib.util.find_spec("trl") is not None


def medians(runs: Sequence[dict]) -> dict[str, float]:
    """Return the median of real tokens a second by engine."""
    by_engine: dict[str, list[float]] = {}
    for row in runs:
        by_engine.setdefault(row["engine"], []).append(row["tokens_per_s"])
    return {name: statistics.median(speeds) for name, speeds in by_engine.items()}


def max_bytes(peak: dict[str, int]) -> int:
    """Return what PyTorch allocated on a card, or what the process held above its imports."""
    return peak.get("allocated_bytes") or peak["above_imports_bytes"]


def loss_gap(runs: Sequence[dict]) -> float:
    """Return the largest distance between two runs in the loss of one step."""
    return max(max(step) - min(step) for step in zip(*(row["losses"] for row in runs), strict=True))


def render(figures: dict) -> str:
    """Return the figures as lines for a terminal, each beside the stock Trainer's."""
    speeds = figures["median_tokens_per_s"]
    lines = [
        f"{name:20} {speed:6.0f} tokens/s  {speed / speeds['Trainer']:5.2f}×  "
        f"{max_bytes(figures['peak'][name]) / 2**20:6.0f} MiB"
        for name, speed in speeds.items()
    ]
    lines.append(f"the losses of a step differ by {figures['loss_gap']:.4f} at most")
    return "\n".join(lines + [f"{name}: not installed" for name in figures["absent"]])


def _in_order(trainer: type) -> type:
    """Return a kind of Trainer that does not shuffle, so that all engines take the same steps."""
    from torch.utils.data import SequentialSampler

    class InOrder(trainer):
        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    return InOrder


def _transformers(model: Any, tokenizer: Any, rows: Rows, args: Any) -> Any:
    from transformers import DataCollatorForSeq2Seq, Trainer

    tokenizer.padding_side = "right"
    collator = DataCollatorForSeq2Seq(tokenizer)
    return _in_order(Trainer)(model, args, collator, train_dataset=list(rows))


def _trl(model: Any, tokenizer: Any, rows: Rows, args: Any) -> Any:
    import datasets
    from transformers import TrainingArguments
    from trl import SFTConfig, SFTTrainer

    datasets.disable_progress_bars()
    masked = [
        {"input_ids": row["input_ids"], "completion_mask": [int(n >= 0) for n in row["labels"]]}
        for row in rows
    ]
    told = {field.name: getattr(args, field.name) for field in fields(TrainingArguments)}
    told |= {"gradient_checkpointing": model.is_gradient_checkpointing, "bf16": args.bf16}
    return _in_order(SFTTrainer)(
        model=model,
        args=SFTConfig(**told, completion_only_loss=True),
        train_dataset=datasets.Dataset.from_list(masked),
        processing_class=tokenizer,
    )


def peak_of_a_step(name: str, batch: Rows, config: dict) -> dict[str, int]:
    """Return the peak bytes of one step on a batch; for a process of its own."""
    import peft  # noqa: F401
    import transformers  # noqa: F401

    imported, settings = peak_rss_bytes(), TrainConfig(**config)
    time_once(name, fresh_base(settings), batch, settings)
    peaks = Device().peaks()
    if "resident" in peaks:
        peaks["above_imports"] = peaks["resident"] - imported
    return {f"{what}_bytes": size for what, size in peaks.items()}
