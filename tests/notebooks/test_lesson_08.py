"""Lesson 08's solutions agree with what ``labkit`` computes from a shape and from a log."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit import memory
from labkit.bench import gpu as bench_gpu
from labkit.bench import methods as bench_methods
from labkit.memory import METHODS, StepConfig, adapter_parameters

SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "08_lora_vs_qlora.py"
WANTED = {"real_tokens_per_s", "learning_bytes"}


@pytest.fixture(scope="module")
def by_hand() -> dict[str, Any]:
    """Return the functions that the lesson defines, solutions in place of stubs."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    defined = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in WANTED]
    assert {node.name for node in defined} == WANTED
    names: dict[str, Any] = {}
    exec(compile(ast.Module(defined, []), SOURCE.name, "exec"), names)
    return names


@pytest.mark.parametrize("method", METHODS)
def test_what_learning_costs_equals_the_planners_gradients_and_states(by_hand, method) -> None:
    shape, step = bench_gpu.TINY, StepConfig(dtype="fp32", rank=4)
    step = replace(step, method=method)
    gradients = 4 * sum(memory.trained_tensors(shape, step))
    planned = gradients + memory.optimizer_bytes(shape, step)[0]
    n_adapter = adapter_parameters(shape, step)
    assert by_hand["learning_bytes"](method, shape.n_parameters(), n_adapter) == planned


def test_the_speed_by_hand_is_the_recorded_one_but_for_the_first_step(by_hand) -> None:
    batches, seconds = [[90], [10, 4], [3, 3, 1]], [9.0, 2.0, 1.0]
    rows = zip(batches, seconds, strict=True)
    log = [{"tokens": sum(b), "seconds": s} for b, s in rows]
    found = by_hand["real_tokens_per_s"](batches[1:], seconds[1:])
    assert found == pytest.approx(bench_methods.tokens_per_s(log))
