"""Figures: pure functions from results to matplotlib axes.

Knows: the kinds of figures that every lesson draws; ``plots_*`` modules hold those of one topic.
Does not know: how anything was measured, nor the style (``figure_style``). Nothing here shows,
saves or touches global settings. Used by every lesson.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from labkit.classroom.figures.style import COLOURS, HATCHES, MARKERS, SEQUENTIAL_MAP, course_axes
from labkit.types import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def bars(
    groups: Mapping[str, Mapping[str, Interval | None]],
    *,
    title: str,
    ylabel: str,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw grouped bars in percent with their intervals as whiskers.

    Parameters
    ----------
    groups
        ``{"lookup": {"base": Interval, "RAG": Interval}, …}``; shares between 0 and 1.
        ``None`` leaves a gap.
    title
        The finding, as a sentence.
    ylabel, caption
        What the height means; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    width = 0.8 / max(1, len(series))
    for i, name in enumerate(series):
        for j, group in enumerate(groups.values()):
            share = group.get(name)
            if share is not None:
                _bar(ax, j - 0.4 + width * (i + 0.5), width, share, i, name if j == 0 else None)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set_ylim(0, 105)
    ax.set_ylabel(ylabel)
    if len(series) > 1:
        ax.legend(ncols=len(series), loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)
    return ax


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    log: bool = False,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw one line with markers for each series of ``(x, y)`` points; ``log`` makes both axes so.

    Returns
    -------
    Axes
        The axes, for more drawing.
    """
    ax = course_axes(ax, title, caption)
    for i, (name, points) in enumerate(series.items()):
        x, y = zip(*points, strict=True)
        ax.plot(x, y, marker=MARKERS[i % 8], color=COLOURS[i % 8], label=name)
    if log:
        ax.set_xscale("log")
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    suffix = " (log scale)" if log else ""
    ax.set_xlabel(xlabel + suffix)
    ax.set_ylabel(ylabel + suffix)
    ax.grid(alpha=0.3)
    if len(series) > 1:
        ax.legend(frameon=False, fontsize="small")
    return ax


def similarity_map(
    matrix: np.ndarray, labels: Sequence[str], *, title: str, ax: Axes | None = None
) -> Axes:
    """Draw a square similarity matrix ``(n, n)`` with its numbers written in the cells."""
    ax = course_axes(ax, title, "")
    ax.imshow(matrix, cmap=SEQUENTIAL_MAP, vmin=0, vmax=1, aspect="auto")
    for row in range(len(labels)):
        for column in range(len(labels)):
            shade = "black" if matrix[row, column] > 0.5 else "white"
            ax.text(
                column, row, f"{matrix[row, column]:.2f}", ha="center", va="center", color=shade
            )
    ax.set_xticks(range(len(labels)), [f"{i + 1}" for i in range(len(labels))])
    ax.set_yticks(range(len(labels)), [f"{i + 1}  {label}" for i, label in enumerate(labels)])
    ax.set_xlabel("cosine similarity of row and column")
    return ax


def meaning_map(
    points: np.ndarray,
    groups: Sequence[str],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw points ``(n, 2)``, one colour and marker a group, as a map of meaning."""
    ax = course_axes(ax, title, "")
    for i, name in enumerate(dict.fromkeys(groups)):
        chosen = np.array([group == name for group in groups])
        ax.scatter(
            points[chosen, 0],
            points[chosen, 1],
            s=16,
            alpha=0.8,
            color=COLOURS[i % 8],
            marker=MARKERS[i % 8],
            label=name,
        )
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def stages(
    runs: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the seconds of each stage as stacked horizontal bars, one bar a run."""
    ax = course_axes(ax, title, caption)
    names = list(dict.fromkeys(name for seconds in runs.values() for name in seconds))
    left = np.zeros(len(runs))
    for i, name in enumerate(names):
        widths = np.array([seconds.get(name, 0.0) for seconds in runs.values()])
        ax.barh(
            list(runs), widths, left=left, color=COLOURS[i % 8], hatch=HATCHES[i % 8],
            edgecolor="white", label=name,
        )  # fmt: skip
        left += widths
    ax.set_xlabel("seconds")
    ax.invert_yaxis()
    ax.legend(ncols=len(names), loc="upper center", bbox_to_anchor=(0.5, -0.25), frameon=False)
    return ax


def counts(
    rows: Mapping[str, Mapping[str, int]],
    *,
    title: str,
    xlabel: str,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how each row's count divides: stacked bars in percent, labelled with the counts.

    Parameters
    ----------
    rows
        ``{"lookup": {"both": 70, "only text": 9}, …}``; a missing part counts 0, a row has at
        least one count above 0.
    title
        The finding, as a sentence.
    xlabel, caption
        What the percents are of; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    totals = {name: sum(row.values()) for name, row in rows.items()}
    labels = [f"{name} ({total})" for name, total in totals.items()]
    left = np.zeros(len(rows))
    for i, part in enumerate(dict.fromkeys(part for row in rows.values() for part in row)):
        numbers = [row.get(part, 0) for row in rows.values()]
        widths = 100 * np.array(numbers) / list(totals.values())
        drawn = ax.barh(
            labels, widths, left=left, color=COLOURS[i % 8], hatch=HATCHES[i % 8],
            edgecolor="white", label=part,
        )  # fmt: skip
        shown = [str(number) if number else "" for number in numbers]
        for text in ax.bar_label(drawn, shown, label_type="center", fontsize="small"):
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.9})
        left += widths
    ax.set_xlim(0, 100)
    ax.set_xlabel(xlabel)
    ax.invert_yaxis()
    ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
    return ax


def _bar(ax: Axes, x: float, width: float, share: Interval, i: int, label: str | None) -> None:
    mean, low, high = (100 * value for value in (share.mean, share.low, share.high))
    whiskers = [[max(0.0, mean - low)], [max(0.0, high - mean)]]
    ax.bar(
        x, mean, width, yerr=whiskers, capsize=3, label=label, ecolor="#444444",
        color=COLOURS[i % 8], hatch=HATCHES[i % 8], edgecolor="white",
    )  # fmt: skip
    ax.annotate(f"{mean:.0f}", (x, max(mean, high)), ha="center", va="bottom", fontsize="small")
