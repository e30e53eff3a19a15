"""Compare two results of any kind, within rounding, and say in words how they differ.

Knows: numbers, NumPy arrays, torch tensors (without importing torch), lists, tuples, dicts, sets.
Does not know: which of the two is right for the exercise (``check``).
Used by ``labkit.classroom.checks.check``.
"""

from collections.abc import Mapping, Sequence, Set
from numbers import Number
from typing import Any

RELATIVE_TOLERANCE = 1e-4
ABSOLUTE_TOLERANCE = 1e-6


def same(result: Any, expected: Any) -> bool:
    """Tell whether two results are equal; floats within 1e-4 of each other's size.

    Lists and tuples are told apart from arrays by content only: ``[1, 2]`` equals an array of 1
    and 2. Shapes must agree: ``(3, 1)`` is not ``(3,)``. NaN equals NaN.
    """
    if isinstance(expected, str | bytes | bool) or expected is None:
        return type(_scalar(result)) is type(expected) and _scalar(result) == expected
    if isinstance(expected, Mapping):
        return (
            isinstance(result, Mapping)
            and result.keys() == expected.keys()
            and all(same(result[key], expected[key]) for key in expected)
        )
    if isinstance(expected, Set):
        return isinstance(result, Set) and result == expected
    if is_numeric(expected):
        return is_numeric(result) and _close(result, expected)
    if isinstance(expected, Sequence):
        return (
            isinstance(result, Sequence)
            and not isinstance(result, str)
            and len(result) == len(expected)
            and all(same(a, b) for a, b in zip(result, expected, strict=True))
        )
    return bool(result == expected)


def difference(result: Any, expected: Any, *, exact: bool = True) -> str:
    """Say in a short phrase how `result` differs from `expected`.

    Parameters
    ----------
    result, expected : any
        The student's and the reference's result.
    exact : bool
        False where other answers are right too: then only the result is shown.
    """
    if not exact:
        return f"yours is {show(result)}, which is not right"
    if is_numeric(expected) and not is_numeric(result):
        return f"expected {_kind(expected)}, yours is {_kind(result)}: {show(result)}"
    if is_numeric(expected) and _array(result).shape != _array(expected).shape:
        return f"expected {_kind(expected)}, yours is {_kind(result)}"
    return f"expected {show(expected)}, yours is {show(result)}"


def show(value: Any, *, limit: int = 90) -> str:
    """Return a value on one line, shortened, floats with four significant digits."""
    if is_numeric(value):
        import numpy as np

        array = _array(value)
        text = np.array2string(array, precision=4, threshold=8, separator=", ")
        text = " ".join(text.split())
    else:
        text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def is_numeric(value: Any) -> bool:
    """Tell whether a value is a number, or an array, tensor or nest of lists of numbers."""
    if isinstance(value, Number):
        return True
    if hasattr(value, "detach") or hasattr(value, "__array__"):
        return bool(_array(value).dtype.kind in "biufc")
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value):
        return all(is_numeric(item) for item in value) and _array(value).dtype.kind in "biufc"
    return False


def _array(value: Any) -> Any:
    """Return a value as a NumPy array; a ragged nest of lists becomes an array of objects."""
    import numpy as np

    if hasattr(value, "detach"):  # a torch tensor, perhaps on a GPU or in bfloat16
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
        return value.numpy()
    if isinstance(value, Sequence) and any(hasattr(item, "detach") for item in value):
        value = [_array(item) for item in value]
    try:
        return np.asarray(value)
    except ValueError:
        return np.asarray(value, dtype=object)


def _close(result: Any, expected: Any) -> bool:
    import numpy as np

    a, b = _array(result), _array(expected)
    tolerances = {"rtol": RELATIVE_TOLERANCE, "atol": ABSOLUTE_TOLERANCE}
    return a.shape == b.shape and bool(np.allclose(a, b, equal_nan=True, **tolerances))


def _scalar(value: Any) -> Any:
    """Return the Python value of a NumPy or torch scalar."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _kind(value: Any) -> str:
    if isinstance(value, Number):
        return "a number"
    if is_numeric(value):
        return f"numbers of shape {_array(value).shape}"
    return f"a {type(value).__name__}"
