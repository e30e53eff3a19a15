"""Benchmark of answering many prompts: one by one, in batches, in batches of similar length.

Knows: the three ways, run in turns on the same prompts. Does not know: whether answers are right.
Used by ``python -m labkit bench decoding``; the result is recorded.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labkit import catalogue, exam, rag, results
from labkit.models import Generation, LanguageModel, Messages, load_language_model

NAME = "bench-decoding"
COMMAND = "python -m labkit bench decoding"
BATCH = 16
MAX_NEW_TOKENS = 32


def run(
    *,
    n_prompts: int = 32,
    repeats: int = 3,
    llm: LanguageModel | None = None,
    store: rag.Searcher | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Answer the same prompts three ways, in rotating order; record and return the seconds.

    Parameters
    ----------
    n_prompts
        Half closed book, half with three passages, shuffled: what an unsorted batch has to pad.
    llm, store
        The small model and the course's database unless given.
    folder
        Where to record; ``data/results`` unless given.
    """
    llm = llm or load_language_model(catalogue.SMALL_MODEL)
    prompts = mixed_prompts(n_prompts, store)
    ways: dict[str, Callable[[], list[Generation]]] = {
        "one by one": lambda: [llm.generate(p, max_new_tokens=MAX_NEW_TOKENS) for p in prompts],
        "batches": lambda: in_given_order(llm, prompts),
        "batches of similar length": lambda: llm.generate_batch(
            prompts, max_new_tokens=MAX_NEW_TOKENS, batch_size=BATCH
        ),
    }
    llm.generate(prompts[0], max_new_tokens=2)
    names = list(ways)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    texts: dict[str, list[str]] = {}
    for turn in range(repeats):
        for name in names[turn % 3 :] + names[: turn % 3]:
            started = time.perf_counter()
            texts[name] = [generation.text for generation in ways[name]()]
            seconds[name].append(time.perf_counter() - started)
    figures = {
        "seconds": seconds,
        "median_s": {name: statistics.median(runs) for name, runs in seconds.items()},
        "same_answers_as_one_by_one": {
            name: sum(map(str.__eq__, texts[name], texts["one by one"])) for name in names[1:]
        },
    }
    config = {"command": COMMAND, "model": llm.name, "n_prompts": len(prompts), "batch": BATCH}
    config |= {"max_new_tokens": MAX_NEW_TOKENS, "repeats": repeats}
    results.record(NAME, figures, config=config, folder=folder)
    return figures


def mixed_prompts(n: int, store: rag.Searcher | None = None) -> list[Messages]:
    """Return short and long prompts of the exam's test questions in random order."""
    from labkit.course_store import open_course_store

    questions = exam.load_exam("test")[: n // 2]
    found = (store or open_course_store()).search_many([q.question for q in questions], k=3)
    prompts = [rag.closed_book_messages(q.question) for q in questions]
    prompts += [
        rag.build_messages(q.question, hits) for q, hits in zip(questions, found, strict=True)
    ]
    random.Random(0).shuffle(prompts)
    return prompts


def in_given_order(llm: LanguageModel, prompts: Sequence[Messages]) -> list[Generation]:
    """Answer in batches as the prompts come: every short one is padded to a long one."""
    parts = [prompts[i : i + BATCH] for i in range(0, len(prompts), BATCH)]
    batches = [
        llm.generate_batch(part, max_new_tokens=MAX_NEW_TOKENS, batch_size=BATCH) for part in parts
    ]
    return [generation for batch in batches for generation in batch]


def render(figures: dict[str, Any]) -> str:
    """Return the medians as lines for a terminal, each beside one by one."""
    alone = figures["median_s"]["one by one"]
    same = figures["same_answers_as_one_by_one"]
    return "\n".join(
        f"{name:25} {seconds:6.1f} s  {alone / seconds:5.2f}×"
        + (f"  {same[name]} answers as one by one" if name in same else "")
        for name, seconds in figures["median_s"].items()
    )
