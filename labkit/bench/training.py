"""Benchmark of training: this course's trainer beside the stock ones, on identical examples.

Knows: how each trainer is set up, and how they are timed side by side in one run.
Does not know: how training works (``train``), nor what is learned.
Used by ``python -m labkit bench training`` and lesson 08.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit import catalogue, exam, fast_lora, hardware, measure, results, training_data
from labkit.train import load_base, precision, prepare
from labkit.types import TrainConfig

NAME = "bench-training"
COMMAND = "python -m labkit bench training"
# "kept": activations are kept for the backward pass; "recomputed": gradient checkpointing.
ENGINES = ("labkit", "labkit, recomputed", "Trainer", "TRL, kept", "TRL")
Rows = Sequence[dict[str, list[int]]]


def run(
    *, n_examples: int = 16, repeats: int = 5, batch_size: int = 8, folder: Path | None = None
) -> dict:
    """Time every engine ``repeats`` times in a rotating order, and record medians and peaks.

    A run that was killed goes on after the last recorded measurement; delete the record to start
    anew.

    Every engine trains LoRA of the same rank on the same rows in the same number format; each is
    warmed on the longest batch first. Peak memory is that of a process of its own.

    Parameters
    ----------
    n_examples
        Half of them closed book, half with three passages, as a course run mixes them.
    """
    settings: dict[str, Any] = {"command": COMMAND, "n_examples": n_examples}
    settings |= {"repeats": repeats, "batch_size": batch_size}
    engines = [name for name in ENGINES if is_here(name)]
    order = [
        engines[(turn + i) % len(engines)] for turn in range(repeats) for i in range(len(engines))
    ]
    earlier = results.load(NAME, folder=folder) or {}
    figures = earlier["figures"] if earlier.get("config") == settings else {"runs": [], "peak": {}}
    if len(figures["runs"]) == len(order) and len(figures["peak"]) == len(engines):
        return figures
    config = TrainConfig(catalogue.SMALL_MODEL, batch_size=batch_size)
    llm = load_base(config, precision("lora", hardware.detect()))
    model = prepare(llm.model, config)
    rows = mixed_rows(llm.tokenizer, n_examples)
    figures["n_tokens"] = sum(len(row["input_ids"]) for row in rows)
    figures["absent"] = [name for name in ENGINES if name not in engines]
    longest = sorted(rows, key=lambda row: -len(row["input_ids"]))[:batch_size]
    for name in engines:
        time_once(name, model, llm.tokenizer, longest, config)
    for name in order[len(figures["runs"]) :]:
        once = {"engine": name} | time_once(name, model, llm.tokenizer, rows, config)
        figures["runs"].append(once)
        figures["median_tokens_per_s"] = medians(figures["runs"])
        results.record(NAME, figures, config=settings, folder=folder)
    for name in engines:
        figures["peak"].setdefault(name, peak_in_own_process(name, longest, config))
    results.record(NAME, figures, config=settings, folder=folder)
    return figures


def mixed_rows(tokenizer: Any, n_examples: int) -> list[dict[str, list[int]]]:
    """Return encoded training examples, half closed book and half with passages."""
    from labkit.store.course import open_course_store

    questions = exam.load_exam("train")[: n_examples // 2]
    store = open_course_store()
    examples = training_data.closed_book_examples(questions)
    examples += training_data.open_book_examples(questions, store, k=3)
    return [training_data.encode(example, tokenizer, max_tokens=1024) for example in examples]


def time_once(name: str, model: Any, tokenizer: Any, rows: Rows, config: TrainConfig) -> dict:
    """Train one epoch and return seconds, real tokens a second and the mean loss."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # options that transformers renamed
        trainer = make_engine(name, model, tokenizer, rows, Path(folder), config)
        started = time.perf_counter()
        loss = trainer.train().training_loss
        wall_s = time.perf_counter() - started
    n_tokens = sum(len(row["input_ids"]) for row in rows)
    return {"wall_s": wall_s, "tokens_per_s": n_tokens / wall_s, "mean_loss": loss}


def make_engine(
    name: str, model: Any, tokenizer: Any, rows: Rows, out: Path, config: TrainConfig
) -> Any:
    """Return a trainer of that name over the rows; the model's checkpointing is set to match."""
    recompute = name in ("TRL", "labkit, recomputed")
    if recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    else:
        model.gradient_checkpointing_disable()
    fast_lora.restore(model)
    if name.startswith("labkit"):
        fast_lora.speed_up(model)
        return _labkit(model, tokenizer, rows, out, config)
    if name == "Trainer":
        return _stock(model, tokenizer, rows, out, config)
    return _trl(model, tokenizer, rows, out, config, recompute)


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


def render(figures: dict) -> str:
    """Return the figures as lines for a terminal, each beside the stock Trainer's."""
    speeds = figures["median_tokens_per_s"]
    lines = [
        f"{name:20} {speed:6.0f} tokens/s  {speed / speeds['Trainer']:5.2f}×  "
        f"{figures['peak'][name]['above_imports_bytes'] / 2**20:6.0f} MiB above imports"
        for name, speed in speeds.items()
    ]
    absent = [f"{name}: not installed" for name in figures["absent"]]
    return "\n".join([*lines, *absent])


def _labkit(model: Any, tokenizer: Any, rows: Rows, out: Path, config: TrainConfig) -> Any:
    from labkit.answer_trainer import make_trainer

    order = training_data.length_grouped_order(
        [len(row["input_ids"]) for row in rows],
        batch_size=config.batch_size,
        n_epochs=1,
        seed=config.seed,
    )
    formats = precision("lora", hardware.detect())
    return make_trainer(model, [rows[i] for i in order], [], tokenizer, out, config, formats)


def _stock(model: Any, tokenizer: Any, rows: Rows, out: Path, config: TrainConfig) -> Any:
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    arguments = TrainingArguments(**_common(out, config))
    tokenizer.padding_side = "right"
    collator = DataCollatorForSeq2Seq(tokenizer)
    return _quiet(
        Trainer(model=model, args=arguments, train_dataset=list(rows), data_collator=collator)
    )


def _trl(
    model: Any, tokenizer: Any, rows: Rows, out: Path, config: TrainConfig, recompute: bool
) -> Any:
    import datasets
    from trl import SFTConfig, SFTTrainer

    datasets.disable_progress_bars()
    masked = [
        {
            "input_ids": row["input_ids"],
            "completion_mask": [int(label >= 0) for label in row["labels"]],
        }
        for row in rows
    ]
    options = {"bf16": False, "gradient_checkpointing": recompute, "completion_only_loss": True}
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**_common(out, config), **options),
        train_dataset=datasets.Dataset.from_list(masked),
        processing_class=tokenizer,
    )
    return _quiet(trainer)


def _common(out: Path, config: TrainConfig) -> dict[str, Any]:
    return {
        "output_dir": str(out),
        "num_train_epochs": 1,
        "per_device_train_batch_size": config.batch_size,
        "learning_rate": config.usual_learning_rate,
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": hardware.detect().gpu_name is not None,
        "report_to": [],
        "seed": config.seed,
    }


def _quiet(trainer: Any) -> Any:
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    return trainer


def peak_in_own_process(name: str, longest: Rows, config: TrainConfig) -> dict[str, int]:
    """Return the peak resident bytes of one step on the longest batch, in a fresh process."""
    payload = json.dumps({"engine": name, "rows": list(longest), "batch_size": config.batch_size})
    command = [sys.executable, "-m", "labkit.bench.training"]
    done = subprocess.run(command, input=payload, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _measure_peak(payload: dict) -> dict[str, int]:
    import peft  # noqa: F401
    import transformers  # noqa: F401

    imported = measure.peak_rss_bytes()
    config = TrainConfig(catalogue.SMALL_MODEL, batch_size=payload["batch_size"])
    llm = load_base(config, precision("lora", hardware.detect()))
    model = prepare(llm.model, config)
    time_once(payload["engine"], model, llm.tokenizer, payload["rows"], config)
    peak = measure.peak_rss_bytes()
    return {"peak_rss_bytes": peak, "above_imports_bytes": peak - imported}


if __name__ == "__main__":
    print(json.dumps(_measure_peak(json.load(sys.stdin))))
