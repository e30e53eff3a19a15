"""Measuring: seconds, bytes, how sure a mean is, and whether two systems differ.

Knows: wall clock, peak memory of this process or a card, the bootstrap, the sign-flip test.
Does not know: what is being measured.
Used by lessons 04 onwards and by every benchmark.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from labkit.types import Interval

LEVEL = 0.95


class Stopwatch:
    """Seconds spent in named stages.

    Examples
    --------
    >>> watch = Stopwatch()
    >>> with watch.stage("retrieve"):
    ...     _ = sum(range(10))
    >>> sorted(watch.seconds)
    ['retrieve']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside the ``with`` block to ``seconds[name]``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def peak_rss_bytes() -> int:
    """Return the largest resident memory this process ever had, in bytes."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":
        # getrusage would report the parent's peak in a process that was just started.
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def rss_bytes() -> int:
    """Return the bytes that this process holds now; what it freed is given back first."""
    import psutil

    give_back_freed_memory()
    return psutil.Process().memory_info().rss


class Device:
    """A CUDA card, or the processor: its free memory, its peaks, and when its work is done.

    Everything here that asks ``torch.cuda`` stands in this class, so that a made-up card can take
    its place. On a card two numbers count, what PyTorch allocated and what it reserved for that;
    on the processor it is what the process holds.

    Parameters
    ----------
    kind
        ``"cuda"`` or ``"cpu"``; the first card where there is one, unless given.
    """

    def __init__(self, kind: str = "") -> None:
        import torch

        self.kind = kind or ("cuda" if torch.cuda.is_available() else "cpu")

    def free_bytes(self) -> int:
        """Return the memory that nobody uses; other programs may hold a part of a card."""
        import psutil
        import torch

        if self.kind == "cuda":
            return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
        return psutil.virtual_memory().available

    def clear(self) -> None:
        """Give back what no object holds, and start a new peak."""
        import gc

        import torch

        gc.collect()
        if self.kind == "cuda":
            torch.cuda.empty_cache()
        self.reset_peak()

    def reset_peak(self) -> None:
        """Start a new peak; memory that is reserved stays so, as in a long run."""
        import torch

        if self.kind == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def peaks(self) -> dict[str, int]:
        """Return ``allocated`` and ``reserved`` peak bytes, or ``resident`` on a processor."""
        import torch

        if self.kind == "cuda":
            allocated, reserved = torch.cuda.max_memory_allocated, torch.cuda.max_memory_reserved
            return {"allocated": allocated(), "reserved": reserved()}
        return {"resident": peak_rss_bytes()}

    def now(self) -> float:
        """Return the clock in seconds, once the device has nothing left to do."""
        import torch

        if self.kind == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on whichever device."""
    told = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in told or "alloc" in told


def give_back_freed_memory() -> None:
    """Have C's allocator return what was freed; it keeps a share for each thread for later.

    With many threads and arrays of ever new sizes that share grows for hours.
    """
    import ctypes

    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)


def bootstrap_mean(values: Sequence[float] | np.ndarray, *, n_resamples: int = 2000) -> Interval:
    """Return the mean of ``values`` with its 95 % percentile bootstrap interval.

    Resampling questions answers: how far would the score move on another exam of this size?

    Parameters
    ----------
    values
        One number a question, ``(n,)``; for a share, zeros and ones.
    n_resamples
        Number of resamples.

    Raises
    ------
    ValueError
        If ``values`` is empty.

    Source: Efron and Tibshirani, *An Introduction to the Bootstrap*, chapter 13.

    Examples
    --------
    >>> bootstrap_mean([1, 1, 1, 1])
    Interval(mean=1.0, low=1.0, high=1.0, n=4)
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise ValueError("There are no values to average; give at least one.")
    picks = np.random.default_rng(0).integers(0, data.size, (n_resamples, data.size))
    means = data[picks].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(data.mean()), float(low), float(high), int(data.size))


def paired_difference(
    a: Sequence[float], b: Sequence[float], *, n_resamples: int = 2000
) -> Interval:
    """Return the mean of ``a - b`` over the same questions with its bootstrap interval.

    Both systems meet the same hard questions, so their difference is surer than either score: two
    intervals that overlap say nothing yet, one of the difference that excludes zero does.

    Parameters
    ----------
    a, b
        One number a question, in the same order, ``(n,)``.
    n_resamples
        As in ``bootstrap_mean``.

    Raises
    ------
    ValueError
        If the two differ in length or are empty.

    Examples
    --------
    >>> paired_difference([1, 1, 1], [0, 0, 0])
    Interval(mean=1.0, low=1.0, high=1.0, n=3)
    """
    return bootstrap_mean(_differences(a, b), n_resamples=n_resamples)


def sign_flip_p(a: Sequence[float], b: Sequence[float], *, n_flips: int = 10_000) -> float:
    """Return how often chance alone gives a mean difference as large, in either direction.

    If two systems were alike, each question's difference could as well have the other sign; so flip
    signs by coin and see how often the mean gets as far from zero. Small means: not by chance.

    Parameters
    ----------
    a, b
        One number a question, in the same order, ``(n,)``.
    n_flips
        Number of random flips (the data as they are count as one more).

    Raises
    ------
    ValueError
        If the two differ in length or are empty.

    Source: Fisher's randomisation test, as in Smucker, Allan and Carterette 2007.
    """
    differences = _differences(a, b)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (n_flips, differences.size))
    sums = np.abs(signs @ differences)
    as_large = sums >= abs(differences.sum()) - 1e-9
    return float((as_large.sum() + 1) / (n_flips + 1))


def _differences(a: Sequence[float], b: Sequence[float]) -> np.ndarray:
    if len(a) != len(b) or len(a) == 0:
        raise ValueError(
            f"{len(a)} values cannot be paired with {len(b)}; give one of each per question."
        )
    return np.asarray(a, np.float64) - np.asarray(b, np.float64)
