"""Lesson 05 builds the metrics by hand: what stands on the page equals ``labkit``'s."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import measure, retrieval_metrics
from labkit.rerank import newer_wins
from labkit.types import Hit

SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "05_measure_rag.py"
WANTED = {"hit_at", "recall_at", "one_over_rank", "ndcg", "sign_flip", "newer_wins"}
marks = st.lists(st.sets(st.integers(0, 2)), max_size=8)


@pytest.fixture(scope="module")
def by_hand() -> dict[str, Any]:
    """Return the functions that the lesson defines, solutions in place of stubs."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    defined = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in WANTED]
    assert {node.name for node in defined} == WANTED
    names: dict[str, Any] = {"np": np}
    exec(compile(ast.Module(defined, []), SOURCE.name, "exec"), names)
    return names


@given(found=marks, k=st.integers(1, 6))
def test_metrics_by_hand_equal_the_packages(by_hand: dict, found: list[set[int]], k: int) -> None:
    assert by_hand["hit_at"](found, k) == retrieval_metrics.hit_at_k(found, k)
    assert by_hand["recall_at"](found, k, 3) == retrieval_metrics.recall_at_k(found, k, 3)
    assert by_hand["one_over_rank"](found) == retrieval_metrics.reciprocal_rank(found)


@given(relevant=st.lists(st.integers(0, 1), min_size=1, max_size=8), k=st.integers(1, 8))
def test_the_solutions_ndcg_equals_the_packages(by_hand: dict, relevant: list, k: int) -> None:
    n = sum(relevant) + 1
    found = [{i} if r else set() for i, r in enumerate(relevant)]
    expected = retrieval_metrics.ndcg_at_k(found, k, n)
    assert by_hand["ndcg"](relevant, n, k) == pytest.approx(expected)


def test_the_solutions_sign_flip_equals_the_packages(by_hand: dict) -> None:
    draw = np.random.default_rng(0)
    a, b = (draw.random((2, 40)) < [[0.7], [0.5]]).astype(float)
    signs = draw.choice([-1, 1], (20_000, 40))
    assert by_hand["sign_flip"](a, b, signs) == pytest.approx(measure.sign_flip_p(a, b), abs=0.02)


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(["A", "B", None])), max_size=6))
def test_the_solutions_rule_equals_the_packages(by_hand: dict, drawn: list) -> None:
    rows = [{"id": f"{i}", "document": d, "supersedes": s} for i, (d, s) in enumerate(drawn)]
    hits = [
        Hit(f"{i}", d, "", "", "", "", 0.0, None, "", {"supersedes": s} if s else {})
        for i, (d, s) in enumerate(drawn)
    ]
    assert by_hand["newer_wins"](rows) == [hit.chunk_id for hit in newer_wins(hits)]
