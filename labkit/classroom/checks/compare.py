"""Compare two results of any kind, within rounding, and say in words how they differ.

Knows: numbers, NumPy arrays, torch tensors (without importing torch), lists, tuples, dicts, sets.
Does not know: which of the two is right for the exercise (``check``).
Used by ``labkit.classroom.checks.check``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

TOLERANCES = {"rtol": 1e-4, "atol": 1e-6}


def same(result: Any, expected: Any) -> bool:
    """Tell whether two results are equal; floats within 1e-4 of each other's size.

    Lists and tuples are told apart from arrays by content only: ``[1, 2]`` equals an array of 1
    and 2. Shapes must agree: ``(3, 1)`` is not ``(3,)``. NaN equals NaN, and 1 is not True.
    """
    result, expected = _plain(result), _plain(expected)
    ours, right = _numbers(result), _numbers(expected)
    if right is not None:
        if ours is None or (ours.shape, ours.dtype == bool) != (right.shape, right.dtype == bool):
            return False
        return np.allclose(ours, right, equal_nan=True, **TOLERANCES)
    if isinstance(expected, Mapping):
        alike = isinstance(result, Mapping) and result.keys() == expected.keys()
        return alike and all(same(result[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        alike = isinstance(result, list) and len(result) == len(expected)
        return alike and all(map(same, result, expected))
    return (result == expected) is True  # a data frame compares to a data frame


def difference(result: Any, expected: Any) -> str:
    """Say in a short phrase how `result` differs from `expected`."""
    kind, wanted = _kind(result), _kind(expected)
    if _numbers(expected) is None or kind == wanted:
        return f"expected {show(expected)}, yours is {show(result)}"
    shown = f": {show(result)}" if _numbers(result) is None else ""
    return f"expected {wanted}, yours is {kind}{shown}"


def show(value: Any, *, limit: int = 90) -> str:
    """Return a value on one line, shortened, floats with four significant digits."""
    numbers, text = _numbers(value), repr(value)
    if numbers is not None:
        text = np.array2string(numbers, precision=4, threshold=8, separator=", ")
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _plain(value: Any) -> Any:
    """Return a value with its arrays, tensors and tuples as lists of Python's own numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, list | tuple | range) else value


def _numbers(value: Any) -> np.ndarray | None:
    """Return a number, or a nest of numbers of one shape, as an array; None for all else."""
    try:
        array = np.asarray(_plain(value))
    except ValueError:  # a ragged nest
        return None
    return array if array.size and array.dtype.kind in "biufc" else None


def _kind(value: Any) -> str:
    numbers = _numbers(value)
    if numbers is None:
        return f"a {type(value).__name__}"
    return f"numbers of shape {numbers.shape}" if numbers.shape else "a number"
