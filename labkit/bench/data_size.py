"""Benchmark of training data: how many examples it takes, and what wrong labels cost.

Knows: nested sets of open-book examples, how often each is seen, and how labels are spoiled.
Does not know: how a model is trained (``train``) or examined (``evaluate``).
Used by ``python -m labkit bench data-size`` and read by lesson 09.

The rule of the budget: a set of n examples is seen ``round(VISITS / n)`` times, at least once. So
sets of 10, 30 and 100 take about the same number of optimizer steps, and only what they hold
differs; the set of 300 is seen once and takes more. Batches are small, since few steps teach this
model to refuse before they teach it to read. The sets are nested: the 30 are among the 100.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from labkit import catalogue, evaluate, exam, rag, settings
from labkit.bench import held_out, runner
from labkit.measure import bootstrap_mean
from labkit.train import train
from labkit.types import Example, TrainConfig

COMMAND = "python -m labkit bench data-size"
PLAN = ((0, 0.0), (10, 0.0), (30, 0.0), (100, 0.0), (100, 0.2), (300, 0.0))  # examples, noise
VISITS = 120
BATCH_SIZE = 4
EVERY = 4  # the exam asks every fourth test question


def name(model: str) -> str:
    """Return the name of the record."""
    return runner.here(f"data-size-{model.lower()}")


def run(
    *,
    folder: Path | None = None,
    model: str = catalogue.SMALL_MODEL,
    adapters: Path | None = None,
    plan: Sequence[tuple[int, float]] = PLAN,
    seed: int = 0,
) -> dict:
    """Train and examine each entry of the plan, then record; a run that was killed goes on.

    Parameters
    ----------
    folder
        Where to record; ``data/results`` unless given.
    model
        What is trained.
    adapters
        Where adapters and finished exams are kept; in the cache unless given.
    plan
        Numbers of examples, each with the share of labels that are wrong.
    seed
        Of the choice of examples, of the spoiled labels and of the training.
    """
    from labkit.store.course import open_course_store

    store = open_course_store()
    learned, _ = held_out.split(max(n for n, _ in plan), 0, store, seed=seed)
    told = repr((model, VISITS, BATCH_SIZE, learned, exam.load_exam("test")[::EVERY]))
    fingerprint = hashlib.sha256(told.encode()).hexdigest()[:12]
    adapters = adapters or settings.cache_dir() / "training" / f"data-size-{fingerprint}"
    config = {"command": COMMAND, "model": model, "k": 1, "visits": VISITS, "every": EVERY}
    config |= {"batch_size": BATCH_SIZE, "seed": seed}
    known = runner.recorded(name(model), config, folder=folder).get("runs", [])
    done = {(row["n_examples"], row["noise"]): row for row in known}
    rows = []
    for n, noise in plan:
        out = adapters / run_name(n, noise)
        learned_here = spoil(learned[:n], noise, seed=seed)
        rows.append(done.get((n, noise)) or one_run(learned_here, noise, store, out, model, seed))
        runner.record(name(model), {"runs": rows}, config=config, folder=folder)
    return {"runs": rows}


def run_name(n_examples: int, noise: float) -> str:
    """Return the name of one run's folder."""
    return f"n-{n_examples}" + (f"-noise-{100 * noise:.0f}" if noise else "")


def n_epochs(n_examples: int) -> int:
    """Return how often a set is seen, by the rule of the budget.

    Examples
    --------
    >>> [n_epochs(n) for n in (10, 30, 100, 300)]
    [12, 4, 1, 1]
    """
    return max(1, round(VISITS / n_examples))


def spoil(examples: Sequence[Example], share: float, *, seed: int) -> list[Example]:
    """Return the examples with a share of their answers taken from other examples.

    Parameters
    ----------
    share
        Between 0 and 1; so many answers are wrong, to the nearest whole number.

    Raises
    ------
    ValueError
        If the share is outside 0 to 1, or every example has the same answer.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; give a number from 0 to 1.")
    chance = random.Random(seed)
    spoiled = list(examples)
    for i in chance.sample(range(len(examples)), round(share * len(examples))):
        others = [other.answer for other in examples if other.answer != examples[i].answer]
        if not others:
            raise ValueError("All examples have the same answer; there is no wrong one to give.")
        spoiled[i] = replace(examples[i], answer=chance.choice(others))
    return spoiled


def one_run(
    learned: Sequence[Example], noise: float, store: rag.Searcher, out: Path, model: str, seed: int
) -> dict:
    """Train on the examples, if there are any, and sit the exam."""
    n = len(learned)
    row: dict = {"n_examples": n, "noise": noise, "n_epochs": 0, "n_tokens": 0, "train_s": 0.0}
    if n:
        config = TrainConfig(
            model, n_epochs=n_epochs(n), batch_size=BATCH_SIZE, seed=seed, command=COMMAND
        )
        trained = train(learned, out, config)
        row |= {"n_epochs": config.n_epochs, "n_steps": len(trained.log)}
        row |= {"n_tokens": trained.n_tokens, "train_s": trained.train_s}
    limit = len(exam.load_exam("test")[::EVERY])
    tuned = out if n else None
    sat = evaluate.sit(
        "both" if n else "rag", model=model, tuned=tuned, k=1, limit=limit, store=store
    )["figures"]
    kept = ("exact_match", "wrong_but_confident", "house_format", "answers")
    return row | {key: sat[key] for key in kept}


def render(figures: dict) -> str:
    """Return the figures as lines for a terminal."""
    lines = ["examples  wrong labels  seen   train s   right, 95 %"]
    for row in figures["runs"]:
        right = bootstrap_mean([answer["exact_match"] for answer in row["answers"]])
        lines.append(
            f"{row['n_examples']:8}  {row['noise']:12.0%}  {row['n_epochs']:4}×  "
            f"{row['train_s']:8.0f}   {right} of {right.n}"
        )
    return "\n".join(lines)
