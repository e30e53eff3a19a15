"""Lesson 01's solutions equal what the package does."""

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import answer_metrics, exam
from labkit.claims.outcomes import of_parts
from labkit.classroom.checks import lesson_01 as checks_01

SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "01_rag_or_fine_tuning.py"
WANTED = {"is_right", "highest_share", "judge_claim"}


@pytest.fixture(scope="module")
def by_hand() -> dict[str, Any]:
    """Return the functions that the lesson defines, solutions in place of stubs."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    defined = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in WANTED]
    names: dict[str, Any] = {"answer_metrics": answer_metrics, "exam": exam}
    exec(compile(ast.Module(defined, []), SOURCE.name, "exec"), names)
    return names


def test_the_solution_marks_as_the_exam_does(by_hand: dict) -> None:
    for case in checks_01.is_right.cases():
        assert by_hand["is_right"](*case.arguments) == checks_01.is_right.reference(*case.arguments)


@given(n=st.integers(1, 5000))
def test_the_solutions_bound_equals_the_packages(by_hand: dict, n: int) -> None:
    assert by_hand["highest_share"](n) == pytest.approx(answer_metrics.highest_share(n))


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=5))
def test_the_solutions_rule_equals_the_packages(by_hand: dict, intervals: list) -> None:
    parts = {i: low > 0 for i, (low, _) in enumerate(intervals)}
    assert by_hand["judge_claim"](intervals) == of_parts(parts, "", condition="").state
