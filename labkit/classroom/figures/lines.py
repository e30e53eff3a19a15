"""Values along an axis of numbers: lines or loose points, with whiskers, on plain or log axes.

Knows: line styles, markers, ticks of log axes, running means. Does not know: how anything was
measured.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from labkit.classroom.figures import style
from labkit.types import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_TICKS = 10  # values of x that a log axis still names one by one
Series = Mapping[str, Sequence[tuple[float, Interval]] | Sequence[tuple[float, float]]]


def lines(
    series: Series, *, title: str, xlabel: str, ylabel: str, log: Literal["", "x", "xy"] = "",
    joined: bool = True, from_zero: bool = True, hollow: Collection[str] = (),
    caption: str = "", ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw ``(x, y)`` points, one line with markers a series.

    Parameters
    ----------
    series
        ``{"RAG": [(10, Interval), …], …}``: shares in percent, or numbers.
    title, xlabel, ylabel, caption
        The finding; the axes with their units; where and when it was measured.
    log
        Which axes are logarithmic; their labels say so. An x of 0 is kept.
    joined, from_zero
        Whether points are joined to lines, and whether a plain y axis starts at zero.
    hollow
        Series whose markers are not filled.
    """
    ax = style.course_axes(title, caption, ax)
    for i, (name, points) in enumerate(series.items()):
        x, found = zip(*points, strict=True)
        values = style.measured(found)
        ax.errorbar(
            x, values[0], yerr=style.whiskers_of(values), capsize=3, label=name,
            linestyle=style.LINE_STYLES[i % 4] if joined else "none", markersize=5,
            markevery=max(1, len(x) // 12) if joined else 1,
            **style.marker(i, hollow=name in hollow),
        )  # fmt: skip
    places = {x for points in series.values() for x, _ in points}
    ax.set_xlabel(xlabel + (_log_x(ax, places) if log else ""))
    ax.set_ylabel(ylabel + (" (log scale)" if log == "xy" else ""))
    if log == "xy":
        ax.set_yscale("log")
    elif from_zero:
        ax.set_ylim(bottom=0)
    ax.grid(alpha=0.3)
    style.legend(ax)
    return ax


def losses(
    runs: Mapping[str, Sequence[float]], *, title: str,
    seconds: Mapping[str, Sequence[float]] | None = None, window: int = 5, caption: str = "",
) -> Axes:  # fmt: skip
    """Draw the loss of each run as a running mean; of a single run, every step faintly as well.

    Parameters
    ----------
    runs
        ``{"rank 8": (loss of step 1, loss of step 2, …), …}``, in nats a token.
    seconds
        What each step took; given, the losses are drawn against the seconds spent so far.
    window
        Steps that the running mean looks back over.
    title, caption
        The finding; where and when it was measured.
    """
    series: dict[str, list[tuple[float, float]]] = {}
    for name, found in runs.items():
        x: Any = np.cumsum(seconds[name]) if seconds else range(1, len(found) + 1)
        series[name] = list(zip(x, running_mean(found, window), strict=True))
    ax = lines(
        series, title=title, xlabel="seconds of training" if seconds else "training step",
        ylabel=f"loss (nats a token, mean of {window} steps)", caption=caption,
    )  # fmt: skip
    if len(runs) == 1:
        ax.plot([x for x, _ in series[name]], found, color=style.COLOURS[0], alpha=0.3, linewidth=1)
    return ax


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Return the mean of each value and up to ``window - 1`` before it, ``(n,)``."""
    return np.array([np.mean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))])


def _log_x(ax: Axes, places: Collection[float]) -> str:
    """Make the x axis logarithmic, name the values if they are few, and return what to call it."""
    smallest = min((x for x in places if x > 0), default=1.0)
    if min(places, default=1.0) > 0:
        ax.set_xscale("log")
        kind = " (log scale)"
    else:
        ax.set_xscale("symlog", linthresh=smallest, linscale=0.6)
        kind = f" (log scale beyond {smallest:g})"
    if len(places) <= MOST_TICKS:
        named: list[float] = []
        for x in sorted(places):
            if not named or x > 1.15 * named[-1]:
                named.append(x)
        ax.set_xticks(named, [f"{x:,g}" for x in named])
        ax.minorticks_off()
    return kind
