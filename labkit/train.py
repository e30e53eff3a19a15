"""Fine-tuning: one function for full, LoRA and QLoRA, on transformers' Trainer and peft.

Knows: number formats by hardware, adapters, checkpoints, and a loss that computes logits only
where there are labels.
Does not know: where examples come from (``training_data``), nor how good the result is (``exam``).
Used by lessons 08 and 09 and by ``python -m labkit finetune``.
"""

import hashlib
import json
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from labkit import catalogue, hardware, results, settings
from labkit.measure import is_out_of_memory
from labkit.models import RESULT_FILE, LanguageModel, load_language_model
from labkit.training_data import encode, length_grouped_order
from labkit.types import Dtype, Example, Method, Precision, TrainConfig, TrainResult


def precision(method: Method, machine: hardware.Hardware) -> Precision:
    """Choose the number formats: bf16 where the hardware has it, fp16 with care on older cards.

    Weights that are trained stay in fp32: bf16 has 8 bits of precision, so an update of 5e-5 is
    lost in nine of ten weights, and fp16 overflows in gradients. On a card autocast multiplies
    them in 16 bits, which costs ``full`` 2 bytes more a parameter and is several times as fast.
    """
    if machine.gpu_name is None:
        return Precision("bfloat16" if machine.cpu_bf16 and method != "full" else "float32")
    short: Dtype = "bfloat16" if machine.gpu_bf16 else "float16"
    if method == "full":
        return Precision("float32", autocast=short)
    return Precision(short, autocast=None if machine.gpu_bf16 else short)


def train(
    examples: Sequence[Example],
    out: Path,
    config: TrainConfig,
    *,
    evaluation: Sequence[Example] = (),
    on_step: Callable[[dict], None] | None = None,
    base: LanguageModel | None = None,
) -> TrainResult:
    """Fine-tune a model on examples; a run that was killed goes on from its last checkpoint.

    Parameters
    ----------
    examples, evaluation
        What to learn from, and what to watch the loss on (a twentieth of the way each).
    out
        A folder for this run alone: checkpoints, the adapter or model, and ``training.json``.
    config
        How; a folder that holds a run with another configuration is refused.
    on_step
        Receives ``{"step", "n_steps", "loss", "tokens", "seconds"}`` after each step.
    base
        A model that is loaded already; it is changed in place.

    Raises
    ------
    ValueError
        If there are no examples, or ``out`` belongs to another run.
    MemoryError
        If memory ran out; the message says what to lower.
    """
    if not examples:
        raise ValueError("There are no examples to train on; give at least one.")
    _claim(out, config, examples)
    if (done := _finished(out)) is not None:
        return done
    formats = precision(config.method, hardware.detect())
    llm = base or load_base(config, formats)
    model = prepare(llm.model, config)
    rows = [encode(example, llm.tokenizer, max_tokens=config.max_tokens) for example in examples]
    watched = [encode(e, llm.tokenizer, max_tokens=config.max_tokens) for e in evaluation]
    order = length_grouped_order(
        [len(row["input_ids"]) for row in rows],
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        seed=config.seed,
    )
    from labkit.answer_trainer import make_trainer

    trainer = make_trainer(
        model, [rows[i] for i in order], watched, llm.tokenizer, out, config, formats, on_step
    )
    trainer.on.reset_peak()
    try:
        trainer.train(resume_from_checkpoint=last_checkpoint(out))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
        device = trainer.on
        del trainer, model, llm, base
        device.clear()
        raise MemoryError(_advice(config)) from None
    return _finish(trainer, llm, out, config)


def load_base(config: TrainConfig, formats: Precision) -> LanguageModel:
    """Load the model to train in its number format, in 4 bits for QLoRA."""
    device: Literal["cpu", "cuda"] = "cuda" if hardware.detect().gpu_name else "cpu"
    nf4 = config.method == "qlora"
    choice = catalogue.Choice(config.model, device, formats.weights, nf4, "for training")
    return load_language_model(config.model, choice=choice)


def prepare(model: Any, config: TrainConfig) -> Any:
    """Freeze the base and add adapters, or make every weight trainable for ``full``."""
    import torch

    torch.manual_seed(config.seed)
    model.config.use_cache = False
    if config.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if config.method == "full":
        return model.requires_grad_(True)
    from peft import LoraConfig, get_peft_model

    targets = config.targets if isinstance(config.targets, str) else list(config.targets)
    adapter = LoraConfig(
        r=config.rank, lora_alpha=config.alpha, target_modules=targets, task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers in an old way
        return get_peft_model(model, adapter)


def last_checkpoint(out: Path) -> str | None:
    """Return the newest whole checkpoint; one that a kill cut short is passed over."""
    found = sorted(out.glob("checkpoint-*"), key=lambda folder: -int(folder.name.split("-")[1]))
    return next((str(folder) for folder in found if _is_whole(folder)), None)


def _is_whole(folder: Path) -> bool:
    """Tell whether the file that is written last can be read."""
    try:
        json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _claim(out: Path, config: TrainConfig, examples: Sequence[Example]) -> None:
    """Write down whose folder this is, or refuse one that belongs to another run."""
    data = hashlib.sha256(repr(list(examples)).encode()).hexdigest()
    same = asdict(config) | {"command": ""}  # it names a folder as seen from where one stands
    wanted = json.loads(json.dumps({"config": same, "examples_sha256": data}))
    path = out / "run.json"
    if not path.is_file():
        results.write_atomically(path, json.dumps(wanted, indent=1))
        return
    there = json.loads(path.read_text(encoding="utf-8"))
    there["config"] = wanted["config"] | there["config"] | {"command": ""}  # older: fewer fields
    if there != wanted:
        raise ValueError(
            f"{out.name!r} holds a run with another configuration or other examples; "
            "choose a new folder, or remove that one."
        )


def _finished(out: Path) -> TrainResult | None:
    path = out / RESULT_FILE
    if not path.is_file():
        return None
    row = json.loads(path.read_text(encoding="utf-8"))
    return TrainResult(**row | {"folder": out, "config": TrainConfig.of(row["config"])})


def _finish(trainer: Any, llm: LanguageModel, out: Path, config: TrainConfig) -> TrainResult:
    """Save the adapter or model, and the run's figures last: their file says that all is done."""
    model = trainer.model
    model.save_pretrained(out, safe_serialization=True)
    if config.method == "full":
        llm.tokenizer.save_pretrained(out)
    log = [row for row in trainer.state.log_history if "tokens" in row]
    n_trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    n_added = 0 if config.method == "full" else n_trainable
    result = TrainResult(
        folder=out,
        config=config,
        n_trainable=n_trainable,
        n_parameters=llm.model.num_parameters() - n_added,
        log=log,
        evaluations=[row for row in trainer.state.log_history if "eval_loss" in row],
        n_tokens=sum(row["tokens"] for row in log),
        train_s=sum(row["seconds"] for row in log),
        peak_bytes=trainer.on.peaks(),
        saved_bytes=sum(path.stat().st_size for path in out.glob("*.safetensors")),
        n_skipped=trainer.n_skipped,
    )
    row = {name: value for name, value in asdict(result).items() if name != "folder"}
    results.write_atomically(out / RESULT_FILE, json.dumps(row, indent=1))
    llm.model.eval()
    return result


def _advice(config: TrainConfig) -> str:
    """Return what to lower where memory ran out."""
    lower = [f"micro_batch (now {config.rows_at_once})", f"max_tokens (now {config.max_tokens})"]
    if not config.checkpointing:
        lower.append("or turn on checkpointing")
    return (
        f"Memory ran out while training {config.model} with {config.method}. Lower "
        f"{', '.join(lower)}; see what fits with: labkit plan --model {config.model} "
        f"--method {config.method} --batch {config.rows_at_once} --seq {config.max_tokens}"
    )


def find(model: str, *, folders: Sequence[Path] | None = None) -> Path | None:
    """Return the first folder with a finished LoRA adapter of this model, if any.

    Parameters
    ----------
    model
        A catalogue name.
    folders
        Where to look, best first; ``build/reader`` and ``adapters/reader`` unless given.
    """
    course = settings.course_dir()
    for folder in folders or (course / "build" / "reader", course / "adapters" / "reader"):
        path = folder / RESULT_FILE
        if path.is_file():
            config = json.loads(path.read_text(encoding="utf-8"))["config"]
            if (config["model"], config["method"]) == (model, "lora"):
                return folder
    return None


def train_once(
    examples: Sequence[Example],
    config: TrainConfig,
    *,
    cache: Path | None = None,
    on_step: Callable[[dict], None] | None = None,
) -> TrainResult:
    """Train in a folder of the cache that is named after examples and configuration.

    A second call with the same examples and configuration finds the result, and one that was cut
    off goes on.
    """
    told = repr((asdict(config), list(examples)))
    name = hashlib.sha256(told.encode()).hexdigest()[:12]
    out = (cache or settings.cache_dir() / "training") / f"reader-{name}"
    return train(examples, out, config, on_step=on_step)
