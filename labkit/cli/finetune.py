"""The doors ``finetune`` and ``export``: train on the course's examples or yours, and hand it on.

Knows: arguments. Does not know: how anything is trained (``train``).
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Argument, Context, Option

from labkit import settings
from labkit.cli.common import JSON, MODEL, print_result
from labkit.types import Method

if TYPE_CHECKING:
    from labkit.types import Example, TrainConfig, TrainResult

COURSE_DATA = ("closed-book", "open-book", "both-books", "contrast", "evidence", "reading")
DATA = f"""your own JSONL, or one of the course's sets: {", ".join(COURSE_DATA)};
contrast: open book, half of the questions also without their evidence;
evidence: open book, never without it;
reading: all training questions of all industries, several on the same passages"""


def finetune(
    context: Context,
    model: str = MODEL,
    method: Method = "lora",
    data: str = Option("both-books", help=DATA),
    rank: int = Option(16, min=1),
    alpha: int = Option(32, min=1, help="scale is alpha / rank"),
    learning_rate: float = Option(
        None, help="default: 1e-3, from a billion parameters on 2e-4, for full 5e-5"
    ),
    n_epochs: int = Option(1, "--epochs", min=1),
    batch_size: int = Option(8, "--batch", min=1),
    max_tokens: int = Option(1024, "--seq", min=1, help="most tokens an example"),
    k: int = Option(3, "-k", min=1, help="passages an open-book example"),
    seed: int = 0,
    micro_batch: int = Option(None, min=1, help="rows at once; on a card what fits by plan"),
    checkpointing: bool = Option(False, "--checkpointing", help="less memory, more time"),
    rerank: bool = Option(False, "--rerank", help="draw passages as exam --rerank shows them"),
    out: Path = Option(help="folder of this run alone"),
    as_json: bool = JSON,
) -> None:
    """Train full, LoRA or QLoRA; resumes after a kill."""
    from labkit import catalogue, fetch, hardware, train
    from labkit.measure import Device

    if model == "auto":
        model = catalogue.choose(hardware.detect(), fetched=fetch.is_fetched).model
    fields = context.params.keys() & train.TrainConfig.__dataclass_fields__
    options = {name: context.params[name] for name in fields} | {"model": model}
    config = train.TrainConfig(**options, command=command_of(context, model))
    if (device := Device()).kind == "cuda":
        config = fitted(config, device.free_bytes(), say=(lambda _: None) if as_json else print)
    examples = load_examples(data, k=k, rerank=rerank, seed=seed)
    result = train.train(examples, out, config, on_step=None if as_json else print_step)
    row = {name: value for name, value in asdict(result).items() if name != "log"}
    print_result(render(result), row | {"final_loss": result.log[-1]["loss"]}, as_json)


def fitted(config: "TrainConfig", free_bytes: int, *, say: Callable[[str], None]) -> "TrainConfig":
    """Return the run as a card with that much free memory holds it, and say what was chosen."""
    from labkit import hardware, train
    from labkit.planner import fit, shapes

    machine = hardware.detect()
    formats = train.precision(config.method, machine)
    if machine.n_gpus > 1:
        say("One process trains on one card; torchrun starts one for each.")
    config, plan = fit.for_card(shapes.shape(config.model), config, formats, free_bytes)
    least, most = (size / hardware.GIB for size in plan.range_bytes)
    say(
        f"On this card ({free_bytes / hardware.GIB:.1f} GiB free): {config.rows_at_once} of "
        f"{config.batch_size} rows at once, {'with' if config.checkpointing else 'without'} "
        f"checkpointing, {least:.1f} to {most:.1f} GiB by plan; --micro-batch and --checkpointing "
        "overrule this."
    )
    if not plan.fits(free_bytes):
        say("It may run out of memory: lower --seq, or use --method qlora.")
    return config


def command_of(context: Context, model: str) -> str:
    """Return the line that repeats this run, with what differs from the defaults."""
    values = context.params | {"model": model}
    words = ["python -m labkit finetune"]
    for option in context.command.params:
        name, value = str(option.name), values[str(option.name)]
        if name in ("data", "out"):
            value = settings.shown(value)
        always = name in ("model", "method", "data", "out")
        if name != "as_json" and (always or value != option.default):
            words.append(option.opts[0] if value is True else f"{option.opts[0]} {value}")
    return " ".join(words)


def load_examples(data: str, *, k: int, rerank: bool = False, seed: int) -> "list[Example]":
    """Return the course's training examples by name, or those of a JSONL file."""
    from labkit import exam, reading, training_data
    from labkit.rerank import Reranked, course_scorer
    from labkit.store import course

    if data not in COURSE_DATA:
        path = Path(data)
        if not path.is_file():
            raise ValueError(
                f"There is no file {data!r}; give your JSONL or one of {', '.join(COURSE_DATA)}."
            )
        return training_data.read_examples(path)
    if data == "reading":
        return reading.course_examples(k=k, seed=seed)
    questions = exam.load_exam("train")
    answerable = [question for question in questions if question.evidence]
    closed = training_data.closed_book_examples(answerable)
    if data == "closed-book":
        return closed
    store = course.open_course_store()
    searcher = Reranked(store, course_scorer()) if rerank else store
    if data == "contrast":
        return training_data.contrast_examples(questions, searcher, k=k, seed=seed)
    drawn = partial(training_data.open_book_examples, store=searcher, k=k, seed=seed)
    if data == "evidence":
        return drawn(answerable, absent_share=0)
    return (closed if data == "both-books" else []) + drawn(questions)


def print_step(step: dict) -> None:
    """Print one line a step, as a terminal without cursor movement wants it."""
    pace = f"{step['seconds']:.1f} s  {step['tokens'] / step['seconds']:.0f} tokens/s"
    print(f"step {step['step']:4}/{step['n_steps']}  loss {step['loss']:.3f}  {pace}", flush=True)


def render(result: "TrainResult") -> str:
    """Return what a run gave, as lines for a terminal."""
    peaks = ", ".join(f"{b / 2**30:.2f} GiB {name}" for name, b in result.peak_bytes.items())
    skipped = f"; {result.n_skipped} steps skipped by fp16's scaler" if result.n_skipped else ""
    return (
        f"{result.config.method}: loss {result.log[0]['loss']:.3f} → "
        f"{result.log[-1]['loss']:.3f} in {len(result.log)} steps, {result.train_s:.0f} s, "
        f"{result.n_tokens / result.train_s:.0f} tokens/s, peak {peaks}{skipped}\n"
        f"trained {result.n_trainable:,} of {result.n_parameters:,} parameters; "
        f"saved {result.saved_bytes / 2**20:.1f} MiB in {result.folder}\n"
        f"Examine it with: python -m labkit exam --system both --tuned {result.folder}"
    )


def export(
    tuned: Path = Argument(metavar="FOLDER", help="a folder of finetune"),
    out: Path = Option(help="folder of the exported adapter"),
) -> None:
    """Write an adapter in 16 bits, with a card made from the records."""
    from labkit.export import export_adapter

    print(f"written: {export_adapter(tuned, out)}")
