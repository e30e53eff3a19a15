"""Benchmark of the reader: methods, formats and seeds on the same 400 questions.

Knows: which trainings are compared, the search for each method's learning rate, and which exams a
trained reader sits. Does not know: how a model is trained (``train``) or examined (``evaluate``).
Used by ``labkit bench reader``; it takes hours on two cores and goes on after a stop. First seeds
of everything come before second ones, so that a run cut short has something of each.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Literal

from labkit import catalogue, evaluate, exam, hardware, reading, settings, training_data
from labkit.bench import held_out, runner
from labkit.finder import open_course_finder
from labkit.train import load_base, precision, train
from labkit.types import Example, Method, TrainConfig

Format = Literal["passages", "evidence", "nothing"]
NAME = "bench-reader"
N_QUESTIONS = 400
RATE_STEPS = 25
SEEDS = (0, 1, 2)
RATES: dict[Method, tuple[float, ...]] = {
    "lora": (2e-4, 5e-4, 1e-3),
    "qlora": (2e-4, 5e-4, 1e-3),
    "full": (1e-5, 3e-5, 1e-4),
}
TRAININGS: tuple[tuple[Method, Format], ...] = (
    ("lora", "passages"), ("qlora", "passages"), ("full", "passages"),
    ("lora", "nothing"), ("lora", "evidence"),
)  # fmt: skip
# What each is examined in: a reader of passages with them, one that learned facts also without.
EXAMS: dict[Format, tuple[evaluate.System, ...]] = {
    "passages": ("both",), "evidence": ("both",), "nothing": ("lora", "both"),
}  # fmt: skip


def run(*, folder: Path | None = None, model: str = catalogue.READER) -> dict:
    """Do what is not recorded yet: learning rates first, then trainings with their exams."""
    config = {"command": "labkit bench reader", "model": model, "n_questions": N_QUESTIONS}
    config |= {"rates": RATES, "rate_steps": RATE_STEPS, "seeds": SEEDS}
    each = partial(runner.each, NAME, config=config, folder=folder)
    figures = each({
        f"{method} at {rate:g}": _in_own_process("try_rate", model, method, rate)
        for method, rates in RATES.items() for rate in rates
    })  # fmt: skip
    return each({
        f"{method}, {shown}, seed {seed}": _in_own_process(
            "train_and_sit", model, method, shown, seed, best_rate(figures, method)
        )
        for seed in SEEDS for method, shown in TRAININGS
    })  # fmt: skip


def _in_own_process(function: str, *arguments: object) -> partial:
    return partial(runner.in_own_process, f"labkit.bench.reader:{function}", *arguments)


def best_rate(figures: dict, method: Method) -> float:
    """Return the learning rate with the lowest loss on kept questions."""
    return min(RATES[method], key=lambda rate: figures[f"{method} at {rate:g}"]["kept_loss"])


def questions() -> list[exam.Question]:
    """Return what every training learns from: the same questions, none of them kept."""
    return random.Random(0).sample(exam.training_questions(), N_QUESTIONS)


def examples(asked: Sequence[exam.Question], shown: Format) -> list[Example]:
    """Return the questions as one format shows them."""
    if shown == "nothing":
        return training_data.closed_book_examples([q for q in asked if q.evidence])
    finder = open_course_finder()
    if shown == "passages":
        return reading.reading_examples(asked, finder)
    proofs = [(q, training_data.passages(q, finder, "the proof")) for q in asked if q.evidence]
    return [Example(training_data.messages(q, hits), q.answer) for q, hits in proofs]


def config_of(model: str, method: Method, rate: float, seed: int = 0) -> TrainConfig:
    """Return a training: all but method, learning rate and seed is the same."""
    return TrainConfig(
        model, method, rank=8, alpha=16, learning_rate=rate, batch_size=2, max_tokens=1400,
        seed=seed, command="labkit bench reader",
    )  # fmt: skip


def try_rate(model: str, method: Method, rate: float) -> dict:
    """Train a few steps and return the loss on kept questions, in nats a token."""
    config = config_of(model, method, rate)
    llm = load_base(config, precision(method, hardware.detect()))
    learned = examples(questions(), "passages")[: RATE_STEPS * config.batch_size]
    train(learned, _folder(f"{model}-{method}-{rate:g}"), config, base=llm)
    return {"kept_loss": held_out.loss(llm, examples(exam.kept_questions(), "passages"))}


def train_and_sit(model: str, method: Method, shown: Format, seed: int, rate: float) -> dict:
    """Train once and return the run's figures and those of its exams."""
    config = config_of(model, method, rate, seed)
    out = _folder(f"{model}-{method}-{shown}-{seed}")
    result = train(examples(questions(), shown), out, config)
    figures: dict = asdict(result) | {"folder": out.name, "exams": {}}
    for system in EXAMS[shown]:
        store = open_course_finder() if system == "both" else None
        sat = evaluate.sit(system, model=model, tuned=out, store=store, folder=out / "results")
        figures["exams"][system] = sat["figures"]
    return figures


def _folder(name: str) -> Path:
    return settings.cache_dir() / "training" / f"reader-{name.lower()}"


def render(figures: dict) -> str:
    """Return learning rates and exams as lines for a terminal."""
    lines = []
    for name, row in figures.items():
        if "kept_loss" in row:
            lines.append(f"{name}: loss on kept questions {row['kept_loss']:.3f}")
        for system, sat in row.get("exams", {}).items():
            shares = {"right": sat["exact_match"], **sat["split"]}
            told = [f"{what.replace('_', ' ')} {100 * share['mean']:.0f} %"
                    for what, share in shares.items() if share]  # fmt: skip
            lines.append(f"{name}, {system}: {', '.join(told)}")
    return "\n".join(lines)
