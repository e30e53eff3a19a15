"""transformers' Trainer with three changes that a learner can read.

Knows: batches come in the order given; padding stands on the right, so causal attention needs no
mask; logits are computed for the answer's tokens only, a small part of a RAG prompt. One process
trains on one card.
Does not know: adapters or number formats (``train``).
Used by ``train`` and ``bench training``; equal in loss to the stock Trainer (see the tests).
"""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.catalogue import learning_rate
from labkit.measure import Device
from labkit.types import IGNORED

FIRST_SCALE = 1024.0  # torch begins at 65,536, which overflows: the first steps would be skipped

if TYPE_CHECKING:
    import torch

    from labkit.types import Precision, TrainConfig


def pad_right(rows: Sequence[dict[str, list[int]]], *, pad_id: int) -> dict[str, "torch.Tensor"]:
    """Return ``input_ids`` and ``labels``, ``(B, T)`` as the longest row, and ``n_tokens``."""
    import torch

    lengths = [len(row["input_ids"]) for row in rows]
    fill = {"input_ids": pad_id, "labels": IGNORED}
    batch = {
        name: torch.tensor([row[name] + [value] * (max(lengths) - len(row[name])) for row in rows])
        for name, value in fill.items()
    }
    return batch | {"n_tokens": torch.tensor(lengths)}


def answer_loss(model: Any, batch: dict[str, "torch.Tensor"], n_answer_tokens: Any) -> Any:
    """Return the mean cross entropy over the answers' tokens.

    The output layer turns every position into a vector as wide as the vocabulary; the prompt's
    positions are dropped before it, not after.

    Parameters
    ----------
    model
        A transformers causal language model, with or without peft around it.
    batch
        ``input_ids`` and ``labels``, ``(B, T)``, padded on the right.
    n_answer_tokens
        What to divide by: tokens with a label in all micro-batches of the step.
    """
    import torch.nn.functional as F

    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = causal.get_decoder()(input_ids=batch["input_ids"]).last_hidden_state  # (B, T, d)
    following = batch["labels"][:, 1:]  # (B, T - 1)
    counted = following != IGNORED
    logits = causal.get_output_embeddings()(hidden[:, :-1][counted])  # (n, V)
    total = F.cross_entropy(logits.float(), following[counted], reduction="sum")
    return total / n_answer_tokens


def make_trainer(
    model: Any,
    rows: Sequence[dict[str, list[int]]],
    watched: Sequence[dict[str, list[int]]],
    tokenizer: Any,
    out: Path,
    config: "TrainConfig",
    formats: "Precision",
    on_step: Callable[[dict], None] | None = None,
) -> Any:
    """Return a Trainer over encoded rows, which it takes in the order given."""
    import torch
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    class Clock(TrainerCallback):
        """Times each step and hands its figures on."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            trainer.tokens = 0
            self.started = trainer.on.now()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            trainer.step_s = trainer.on.now() - self.started
            trainer.n_skipped += trainer.accelerator.optimizer_step_was_skipped

        def on_log(self, args: Any, state: Any, control: Any, logs: Any, **_: Any) -> None:
            if on_step and "tokens" in logs:
                on_step({"step": state.global_step, "n_steps": state.max_steps, **logs})

    logging.getLogger("transformers.trainer").setLevel(logging.ERROR)
    trainer = _trainer_class()(
        model=model,
        args=arguments(out, config, formats, len(rows), bool(watched)),
        train_dataset=list(rows),
        eval_dataset=list(watched) or None,
        data_collator=lambda part: pad_right(part, pad_id=tokenizer.pad_token_id),
        callbacks=[Clock()],
    )
    for silent in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(silent)
    if trainer.accelerator.scaler is not None:
        trainer.accelerator.scaler = torch.amp.GradScaler(init_scale=FIRST_SCALE)
    return trainer


def arguments(
    out: Path, config: "TrainConfig", formats: "Precision", n_rows: int, watch: bool = False
) -> Any:
    """Return transformers' ``TrainingArguments`` of a run; one card, however many there are."""
    from transformers import TrainingArguments

    n_steps = -(-n_rows // config.batch_size)
    told = TrainingArguments(
        output_dir=str(out),
        num_train_epochs=1,  # the rows already hold every epoch
        per_device_train_batch_size=config.rows_at_once,
        per_device_eval_batch_size=config.rows_at_once,
        gradient_accumulation_steps=config.batch_size // config.rows_at_once,
        learning_rate=learning_rate(config),
        lr_scheduler_type="cosine",
        warmup_steps=max(1, n_steps // 20),
        weight_decay=0.0,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        fp16=formats.autocast == "float16",
        bf16=formats.autocast == "bfloat16",
        use_cpu=Device().kind == "cpu",
        logging_steps=1,
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=1,
        eval_strategy="steps" if watch else "no",
        eval_steps=max(1, n_steps // 20),
        prediction_loss_only=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        report_to=[],
        seed=config.seed,
    )
    if told.n_gpu > 1:  # more cards want a process each, started by torchrun (lesson 11)
        told._n_gpu = 1
    return told


def _trainer_class() -> type:
    import torch
    from transformers import Trainer

    class AnswerTrainer(Trainer):
        """Trainer with the loss of ``answer_loss`` and the rows in their order."""

        step_s = 0.0
        tokens = n_skipped = 0

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.on = Device(self.args.device.type)

        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def autocast_smart_context_manager(self, *_: Any, **__: Any) -> Any:
            # accelerate casts inside ``model.forward``, which the loss above goes around.
            return self.accelerator.autocast()

        def compute_loss(
            self,
            model: Any,
            inputs: dict,
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            n = num_items_in_batch
            n = (inputs["labels"][:, 1:] != IGNORED).sum() if n is None else n
            loss = answer_loss(model, inputs, n)
            return (loss, {}) if return_outputs else loss

        def training_step(self, model: Any, inputs: dict, *rest: Any, **named: Any) -> Any:
            self.tokens += int(inputs["n_tokens"].sum())
            loss = super().training_step(model, inputs, *rest, **named)
            _require_finite(loss, "loss", self.args.learning_rate)
            return loss

        def log(self, logs: dict, *rest: Any) -> None:
            if "loss" in logs:
                if not self.args.fp16:  # the scaler skips such steps, and lowers its scale
                    _require_finite(logs["grad_norm"], "gradient", self.args.learning_rate)
                logs |= {"tokens": self.tokens, "seconds": self.step_s}
            super().log(logs, *rest)

    return AnswerTrainer


def _require_finite(value: Any, what: str, learning_rate: float) -> None:
    """Raise ``FloatingPointError`` where training has left the numbers: it cannot come back."""
    if not math.isfinite(value):
        raise FloatingPointError(
            f"The {what} is {float(value)}; training stops, and nothing is saved as finished. "
            f"Use a lower learning rate than {learning_rate:g}, or look at the examples."
        )
