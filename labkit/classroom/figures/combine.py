"""Figures of lesson 09: the two-by-two, the score against the number of examples, a placeholder.

Knows: how these are drawn. Does not know: how anything was measured (``combine_report``).
Used by lesson 09.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from labkit.classroom.figures.style import COLOURS, MARKERS, SEQUENTIAL_MAP, course_axes
from labkit.types import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def two_by_two(
    shares: Mapping[str, Interval | None],
    *,
    title: str,
    label: str = "right answers",
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw readers as rows and books as columns, each cell with its percent and interval.

    Parameters
    ----------
    shares
        ``{"base, closed book": Interval, …}``: reader, comma, book. ``None`` or an absent cell is
        shown as not recorded.
    title, label, caption
        The finding; what the percents mean; where and when they were measured.
    """
    ax = course_axes(ax, title, caption)
    pairs = [name.split(", ", 1) for name in shares]
    readers, books = (list(dict.fromkeys(pair[i] for pair in pairs)) for i in (0, 1))
    table = np.full((len(readers), len(books)), np.nan)
    for (reader, book), part in zip(pairs, shares.values(), strict=True):
        table[readers.index(reader), books.index(book)] = np.nan if part is None else part.mean
    ax.imshow(table, cmap=SEQUENTIAL_MAP, vmin=0, vmax=1, aspect="auto")
    for (i, j), mean in np.ndenumerate(table):
        part = shares.get(f"{readers[i]}, {books[j]}")
        colour = "white" if part is not None and mean <= 0.5 else "black"
        told = "not recorded\nyet" if part is None else f"{100 * mean:.0f} %"
        size = "medium" if part is None else "x-large"
        ax.text(j, i, told, ha="center", va="center", fontsize=size, color=colour)
        if part is not None:
            ends = f"({100 * part.low:.0f}–{100 * part.high:.0f})"
            ax.text(j, i + 0.22, ends, ha="center", va="center", fontsize="small", color=colour)
    ax.set_xticks(range(len(books)), books)
    ax.set_yticks(range(len(readers)), readers)
    ax.set_xlabel(f"{label} (%, 95 % interval in brackets)")
    return ax


def data_size(
    points: Sequence[tuple[int, float, Interval]],
    *,
    title: str,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw right answers against the number of examples; wrong labels get a marker of their own.

    Parameters
    ----------
    points
        ``(examples, share of wrong labels, right answers)``, as ``combine_report.size_points``
        gives them.
    title, caption
        The finding; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    by_noise: dict[float, list[tuple[int, Interval]]] = {}
    for n, noise, part in sorted(points, key=lambda point: point[:2]):
        by_noise.setdefault(noise, []).append((n, part))
    for i, (noise, row) in enumerate(by_noise.items()):
        x = [n * (1.08 if noise else 1) for n, _ in row]  # beside its clean twin, not on it
        mean = [100 * part.mean for _, part in row]
        ends = [[max(0.0, 100 * (p.mean - p.low)) for _, p in row],
                [max(0.0, 100 * (p.high - p.mean)) for _, p in row]]  # fmt: skip
        label = f"{noise:.0%} wrong labels" if noise else "labels as written"
        ax.errorbar(x, mean, yerr=ends, fmt=f"{MARKERS[i]}{'' if noise else '-'}", capsize=3,
                    color=COLOURS[(0, 5)[i % 2]], label=label)  # fmt: skip
    ax.set_xscale("symlog", linthresh=10, linscale=0.6)
    numbers = sorted({n for n, _, _ in points})
    ax.set_xticks(numbers, [str(n) for n in numbers])
    ax.minorticks_off()
    ax.set_ylim(0, 105)
    ax.set_xlabel("training examples (log scale beyond 10)")
    ax.set_ylabel("right answers (%)")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax


def not_recorded(command: str, *, ax: Axes | None = None) -> Axes:
    """Draw an empty figure that says which command records what belongs here."""
    ax = course_axes(ax, "Not recorded yet")
    ax.text(0.5, 0.5, f"run:\n{command}", ha="center", va="center", transform=ax.transAxes)
    ax.set_axis_off()
    return ax
