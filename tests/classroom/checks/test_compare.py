import math

import numpy as np
import pandas as pd
import pytest
import torch

from labkit.classroom.checks.compare import difference, same, show


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (1.00001, 1.0),
        (np.float32(0.5), 0.5),
        (torch.tensor(2.0), 2.0),
        (torch.ones(3, dtype=torch.bfloat16, requires_grad=True), np.ones(3)),
        ([1, 2], np.array([1, 2])),
        ([torch.tensor(1.0), torch.tensor(2.0)], [1.0, 2.0]),
        (math.nan, math.nan),
        ({"a": 1.0}, {"a": 1.0 + 1e-9}),
        ([("a", 0.5)], [("a", 0.5)]),
        ({"a", "b"}, {"b", "a"}),
        ([], []),
        (np.bool_(True), True),
        ("text", "text"),
        (None, None),
    ],
)
def test_equal_results_are_the_same(result: object, expected: object) -> None:
    assert same(result, expected)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (1.1, 1.0),
        (np.ones((3, 1)), np.ones(3)),
        (np.ones(3), np.ones((3, 1))),
        (1, True),
        (1.0, np.ones(1)),
        ("1", 1),
        (1, "1"),
        ([[1], [1, 2]], [[1, 2], [1, 2]]),
        ([1, 2], [1, 2, 3]),
        ("ab", ["a", "b"]),
        ({"a": 1}, {"b": 1}),
        (None, 0),
        (0, None),
        (object(), 1.0),
        (True, 1),
        (pd.DataFrame({"a": ["text"]}), "text"),
        (["text"], "text"),
    ],
)
def test_different_results_are_not_the_same(result: object, expected: object) -> None:
    assert not same(result, expected)


def test_difference_names_the_shapes() -> None:
    phrase = difference(np.ones((3, 1)), np.ones(3))
    assert phrase == "expected numbers of shape (3,), yours is numbers of shape (3, 1)"


def test_difference_names_the_kind_of_value() -> None:
    assert difference("0.5", 0.5) == "expected a number, yours is a str: '0.5'"


def test_shown_values_fit_on_one_line() -> None:
    assert "\n" not in show(np.zeros((40, 40)))
    assert len(show("word " * 100)) == 90
