"""The door ``python -m labkit finetune``: train on the course's examples or on your own.

Knows: arguments. Does not know: how anything is trained (``train``).
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from labkit import settings
from labkit.cli.common import json_flag, model_name, positive, print_result

if TYPE_CHECKING:
    from labkit.types import Example, TrainResult

COURSE_DATA = ("closed-book", "open-book", "both-books", "contrast", "evidence")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser(
        "finetune", help="train full, LoRA or QLoRA; resumes after a kill"
    )
    command.add_argument("--method", choices=["full", "lora", "qlora"], default="lora")
    command.add_argument(
        "--data",
        default="both-books",
        help=f"your own JSONL, or one of the course's sets: {', '.join(COURSE_DATA)} (default: "
        "both-books); contrast: open book, half of the questions also without their evidence; "
        "evidence: open book, never without it",
    )
    command.add_argument("--out", required=True, type=Path, help="folder of this run alone")
    command.add_argument("--model", default="auto", type=model_name)
    command.add_argument("--rank", type=positive, default=16)
    command.add_argument("--alpha", type=positive, default=32, help="scale is alpha / rank")
    command.add_argument("--learning-rate", type=float, help="default: 1e-3, for full 5e-5")
    command.add_argument("--epochs", type=positive, default=1)
    command.add_argument("--batch", type=positive, default=8)
    command.add_argument("--seq", type=positive, default=1024, help="most tokens an example")
    command.add_argument("--checkpointing", action="store_true", help="less memory, more time")
    command.add_argument("-k", type=positive, default=3, help="passages an open-book example")
    command.add_argument(
        "--rerank", action="store_true", help="draw the passages as exam --rerank shows them"
    )
    command.add_argument("--seed", type=int, default=0)
    json_flag(command)
    command.set_defaults(run=_finetune)


def _finetune(arguments: argparse.Namespace) -> int:
    from labkit import catalogue, hardware, train

    model = arguments.model
    if model == "auto":
        model = catalogue.choose(hardware.detect()).model
    config = train.TrainConfig(
        model=model,
        method=arguments.method,
        rank=arguments.rank,
        alpha=arguments.alpha,
        learning_rate=arguments.learning_rate,
        n_epochs=arguments.epochs,
        batch_size=arguments.batch,
        max_tokens=arguments.seq,
        checkpointing=arguments.checkpointing,
        seed=arguments.seed,
        command=command_of(arguments, model),
    )
    examples = load_examples(
        arguments.data, k=arguments.k, rerank=arguments.rerank, seed=arguments.seed
    )
    show = None if arguments.json else print_step
    result = train.train(examples, arguments.out, config, on_step=show)
    row = {name: value for name, value in asdict(result).items() if name != "log"}
    print_result(render(result), row | {"final_loss": result.log[-1]["loss"]}, arguments.json)
    return 0


def command_of(arguments: argparse.Namespace, model: str) -> str:
    """Return the line that repeats this run, with what differs from the defaults."""
    options = {
        "--model": model,
        "--method": arguments.method,
        "--data": settings.shown(arguments.data),
    }
    usual = {"--rank": 16, "--alpha": 32, "--learning-rate": None, "--epochs": 1, "--batch": 8,
             "--seq": 1024, "-k": 3, "--seed": 0}  # fmt: skip
    given = {name: vars(arguments)[name.strip("-").replace("-", "_")] for name in usual}
    options |= {name: value for name, value in given.items() if value != usual[name]}
    words = [f"{name} {value}" for name, value in options.items()]
    words += ["--checkpointing"] * arguments.checkpointing + ["--rerank"] * arguments.rerank
    words.append(f"--out {settings.shown(arguments.out)}")
    return f"python -m labkit finetune {' '.join(words)}"


def load_examples(data: str, *, k: int, rerank: bool = False, seed: int) -> "list[Example]":
    """Return the course's training examples by name, or those of a JSONL file."""
    from labkit import exam, training_data

    if data not in COURSE_DATA:
        path = Path(data)
        if not path.is_file():
            raise ValueError(
                f"There is no file {data!r}; give your JSONL or one of {', '.join(COURSE_DATA)}."
            )
        return training_data.read_examples(path)
    questions = exam.load_exam("train")
    answerable = [question for question in questions if question.evidence]
    examples = []
    if data in ("closed-book", "both-books"):
        examples += training_data.closed_book_examples(answerable)
    if data != "closed-book":
        from labkit.rerank import Reranked, course_scorer
        from labkit.store.course import open_course_store

        store = open_course_store()
        searcher = Reranked(store, course_scorer()) if rerank else store
        if data == "contrast":
            examples += training_data.contrast_examples(questions, searcher, k=k, seed=seed)
        elif data == "evidence":
            examples += training_data.open_book_examples(
                answerable, searcher, k=k, absent_share=0, seed=seed
            )
        else:
            examples += training_data.open_book_examples(questions, searcher, k=k, seed=seed)
    return examples


def print_step(step: dict) -> None:
    """Print one line a step, as a terminal without cursor movement wants it."""
    speed = step["tokens"] / step["seconds"]
    print(
        f"step {step['step']:4}/{step['n_steps']}  loss {step['loss']:.3f}  "
        f"{step['seconds']:.1f} s  {speed:.0f} tokens/s",
        flush=True,
    )


def render(result: "TrainResult") -> str:
    """Return what a run gave, as lines for a terminal."""
    peaks = ", ".join(f"{b / 2**30:.2f} GiB {name}" for name, b in result.peak_bytes.items())
    return "\n".join(
        (
            f"{result.config.method}: loss {result.log[0]['loss']:.3f} → "
            f"{result.log[-1]['loss']:.3f} in {len(result.log)} steps, {result.train_s:.0f} s, "
            f"{result.n_tokens / result.train_s:.0f} tokens/s, peak {peaks}",
            f"trained {result.n_trainable:,} of {result.n_parameters:,} parameters; "
            f"saved {result.saved_bytes / 2**20:.1f} MiB in {result.folder}",
            f"Examine it with: python -m labkit exam --system both --tuned {result.folder}",
        )
    )
