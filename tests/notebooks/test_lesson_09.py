"""Lesson 09: what stands on the page equals what labkit does with the same numbers."""

import ast
import random
from pathlib import Path
from typing import Any

import pytest

from labkit import training_data as contexts
from labkit.bench import data_size as bench_data_size
from labkit.types import Example

SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "09_rag_plus_fine_tuning.py"
WANTED = {"passages", "spoil", "decide"}


@pytest.fixture(scope="module")
def by_hand() -> dict[str, Any]:
    """Return the functions that the lesson defines, solutions in place of stubs."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    defined = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in WANTED]
    assert {node.name for node in defined} == WANTED
    names: dict[str, Any] = {"random": random}
    exec(compile(ast.Module(defined, []), SOURCE.name, "exec"), names)
    return names


@pytest.mark.parametrize(("share", "seed"), [(0.2, 0), (0.5, 1), (1.0, 2)])
def test_the_lesson_spoils_the_labels_that_the_benchmark_spoils(
    by_hand: dict, share: float, seed: int
) -> None:
    answers = ["Not documented."] * 10 + [f"{n} kg" for n in range(30)]
    spoiled = bench_data_size.spoil([Example([], a) for a in answers], share, seed=seed)
    assert by_hand["spoil"](answers, share, seed) == [example.answer for example in spoiled]


def test_the_lesson_shows_the_passages_that_labkit_shows(by_hand: dict, make_hit: Any) -> None:
    from labkit.types import Evidence, Question

    shelf = [make_hit(f"text {n}", document_id=f"D-{n}") for n in range(6)]

    class Shelf:
        def search(self, query: str, *, k: int = 5, mode: str = "hybrid") -> list:
            return shelf[:k]

    question = Question("q", "lookup", "?", "", ("text",), (Evidence("D-2", "text 2"),))
    shown = contexts.passages(question, Shelf(), "proof and distractors", k=3)  # type: ignore
    place = shown.index(shelf[2])
    mine = by_hand["passages"]("D-2", [hit.document_id for hit in shelf], 3, place)
    assert sorted(mine) == sorted(hit.document_id for hit in shown) == ["D-0", "D-1", "D-2"]
    assert mine[place] == "D-2"
