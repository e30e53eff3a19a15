"""One part of ``bench methods`` in a process of its own: its peak memory is nobody else's.

Knows: how one method is trained and judged, how models without training are judged, and how step
times are taken. Does not know: which parts there are (``methods``).
Used by ``methods`` only.
"""

import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, cast

from labkit import catalogue, evaluate, hardware, measure, memory
from labkit.bench import held_out, step_times
from labkit.bench.methods import Budget
from labkit.models import LanguageModel, load_language_model, with_adapter
from labkit.planner import fit, shapes
from labkit.results import write_atomically
from labkit.train import load_base, precision, train
from labkit.training_data import encode
from labkit.types import IGNORED, Example, Method, TrainConfig, TrainResult

PEAK_FILE = "peak.json"
FORMATS: dict[str, memory.Dtype] = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def train_and_judge(
    method: Method, budget: Budget, learn: list[Example], kept: list[Example], folder: Path
) -> dict:
    """Train with one method, then judge the model as it comes back from the disk."""
    imported = _import_libraries()
    config = budget.config(method)
    out = folder / method
    llm = load_base(config, precision(method, hardware.detect()))
    result = train(
        learn, out, config, base=llm, on_step=lambda _: _note_peak(out, above_bytes=imported)
    )
    # Read after training: a run that goes on after a kill may not meet the longest batch again.
    peak = json.loads((out / PEAK_FILE).read_text(encoding="utf-8"))["above_imports_bytes"]
    figures = _cost(result) | {"peak_above_imports_bytes": peak, "imported_bytes": imported}
    figures |= predicted(llm, config, learn)
    del llm
    return figures | judge(tuned_model(config, out), budget, kept, tuned=out)


def peak_of_longest_batch(method: Method, budget: Budget, learn: list[Example]) -> dict:
    """Train two steps on the longest batch, and return what they needed above the imports.

    In the first step the optimizer has no states yet while activations fill the memory.
    """
    imported = _import_libraries()
    config = replace(budget.config(method), n_epochs=2)
    llm = load_base(config, precision(method, hardware.detect()))
    lengths = {id(e): _n_tokens(e, llm, config) for e in learn}
    longest = sorted(learn, key=lambda e: -lengths[id(e)])[: budget.batch_size]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        result = train(longest, Path(out), config, base=llm)
    peak = max(result.peak_bytes.values())
    return {"peak_above_imports_bytes": peak - imported, "imported_bytes": imported}


def _n_tokens(example: Example, llm: LanguageModel, config: TrainConfig) -> int:
    return len(encode(example, llm.tokenizer, max_tokens=config.max_tokens)["input_ids"])


def _cost(result: TrainResult) -> dict:
    return {
        "log": result.log,
        "train_s": result.train_s,
        "n_tokens": result.n_tokens,
        "n_trainable": result.n_trainable,
        "n_parameters": result.n_parameters,
        "saved_bytes": result.saved_bytes,
        "learning_rate": result.config.usual_learning_rate,
    }


def _import_libraries() -> int:
    """Import what training needs, and return the memory that this takes."""
    import peft  # noqa: F401
    from transformers import Trainer  # noqa: F401

    import labkit.answer_trainer  # noqa: F401

    return measure.peak_rss_bytes()


def _note_peak(out: Path, *, above_bytes: int) -> None:
    path = out / PEAK_FILE
    earlier = json.loads(path.read_text())["above_imports_bytes"] if path.is_file() else 0
    peak = max(earlier, measure.peak_rss_bytes() - above_bytes)
    write_atomically(path, json.dumps({"above_imports_bytes": peak}))


def predicted(llm: LanguageModel, config: TrainConfig, examples: list[Example]) -> dict:
    """Return the predicted bytes by part of the run's largest step, and that step's sizes.

    Formats are read off the model; ``llm`` may hold adapters, or be trained already.
    """
    step = longest_step(llm, config, examples)
    plan = fit.predict(shapes.shape(config.model), step)
    return {
        "step": asdict(step) | {"targets": list(step.targets)},
        "predicted_parts_bytes": plan.parts,
        "predicted_peak_bytes": plan.peak_bytes,
    }


def longest_step(
    llm: LanguageModel, config: TrainConfig, examples: list[Example]
) -> memory.StepConfig:
    """Return the largest step that training on these examples takes: the longest batch."""
    rows = [encode(e, llm.tokenizer, max_tokens=config.max_tokens) for e in examples]
    longest = sorted(rows, key=lambda row: -len(row["input_ids"]))[: config.batch_size]
    n_answers = sum(label != IGNORED for row in longest for label in row["labels"])
    weights = dict(llm.model.named_parameters())
    adapter = next((w for name, w in weights.items() if "lora_" in name), None)
    name = str(llm.model.dtype).removeprefix("torch.")
    adapters = "float32" if adapter is None else str(adapter.dtype).removeprefix("torch.")
    return memory.StepConfig(
        method=config.method,
        batch=len(longest),
        seq=len(longest[0]["input_ids"]),
        dtype=FORMATS[name],
        rank=config.rank,
        checkpointing=config.checkpointing,
        adapter_dtype=FORMATS[adapters],
        answer_tokens=-(-n_answers // len(longest)),
    )


def tuned_model(config: TrainConfig, out: Path) -> LanguageModel:
    """Load a trained model as it would be used: the adapter on the base that it was trained on."""
    formats = precision(config.method, hardware.detect())
    if config.method == "full":
        device: Literal["cpu", "cuda"] = "cuda" if hardware.detect().gpu_name else "cpu"
        choice = catalogue.Choice(config.model, device, formats.weights, False, "as trained")
        return load_language_model(config.model, choice=choice, tuned=out)
    llm = load_base(config, formats)
    return LanguageModel(llm.name, with_adapter(llm.model, out), llm.tokenizer)


def judge(
    llm: LanguageModel, budget: Budget, kept: list[Example], *, tuned: Path | None = None
) -> dict:
    """Return the loss on kept answers and the score on a fixed part of the exam."""
    figures: dict[str, Any] = {"held_out_loss": held_out.loss(llm, kept)}
    if not budget.n_questions:
        return figures | {"exam": None}
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
    kept_names = ("exact_match", "house_format", "citation_precision")
    scores = {name: run[name] for name in kept_names}
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


def time_steps(budget: Budget, *_: Any) -> dict:
    """Time steps of LoRA and QLoRA over the grid of batch × length."""
    steppers = {
        "lora": step_times.stepper(budget.config("lora")),
        "qlora": step_times.stepper(budget.config("qlora")),
    }
    points = step_times.grid(steppers, budget.batches, budget.lengths, repeats=budget.repeats)
    return {"points": points}


def work(part: str, budget: Budget, learn: list, kept: list, folder: Path) -> dict:
    """Do one part and return its figures."""
    if part == "steps":
        return time_steps(budget)
    if part in ("base", "nf4"):
        return judge_untrained(part == "nf4", budget, kept, folder)
    method = cast(Method, part.removeprefix("peak-"))
    if part.startswith("peak-"):
        return peak_of_longest_batch(method, budget, learn)
    return train_and_judge(method, budget, learn, kept, folder)


def work_in_json(part: str, budget: dict, learn: list, kept: list, folder: str) -> dict:
    """Do one part; everything comes as JSON holds it."""
    learned, judged = ([Example(**row) for row in rows] for rows in (learn, kept))
    return work(part, Budget(**budget), learned, judged, Path(folder))
