"""Figures of lesson 05: paired differences, scores by kind, and the price of refusing.

Knows: how these three are drawn. Does not know: how anything was measured.
Used by lessons 05 and 09.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from labkit.classroom.figures.style import COLOURS, MARKERS, SEQUENTIAL_MAP, course_axes
from labkit.types import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from labkit.retrieval_metrics import Threshold


def forest(
    differences: Mapping[str, Interval],
    *,
    title: str,
    xlabel: str = "change of hit@1 (percentage points)",
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw paired differences in percentage points, one row each, with their intervals.

    Filled markers exclude zero; hollow ones do not.

    Parameters
    ----------
    differences
        ``{"vector": Interval, …}``, shares between −1 and 1, drawn top to bottom.
    title
        The finding, as a sentence.
    xlabel, caption
        What is compared; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    for row, change in enumerate(differences.values()):
        mean, low, high = (100 * value for value in (change.mean, change.low, change.high))
        sure = change.excludes_zero
        colour = COLOURS[0 if mean > 0 else 5] if sure else "#666666"
        ax.plot([low, high], [row, row], color=colour, linewidth=1.5)
        ax.plot(mean, row, marker="o" if mean > 0 else "s", color=colour, linestyle="none",
                markerfacecolor=colour if sure else "white")  # fmt: skip
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(range(len(differences)), list(differences), fontsize="small")
    ax.set_ylim(len(differences) - 0.5, -0.5)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x", alpha=0.3)
    return ax


def heat(
    rows: Mapping[str, Mapping[str, float | None]],
    *,
    title: str,
    label: str,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a table of shares as a heat map with the percents written in, best of a column bold.

    Parameters
    ----------
    rows
        ``{"vector": {"lookup": 0.6, …}, …}``; the first row names the columns, ``None`` is blank.
    title
        The finding, as a sentence.
    label, caption
        What the percents mean; where and when they were measured.
    """
    ax = course_axes(ax, title, caption)
    columns = list(next(iter(rows.values())))
    table = np.array([[row.get(c) for c in columns] for row in rows.values()], dtype=float)
    ax.imshow(table, cmap=SEQUENTIAL_MAP, vmin=0, vmax=1, aspect="auto")
    best = np.nanmax(np.round(100 * table), axis=0)
    for (i, j), share in np.ndenumerate(table):
        if not np.isnan(share):
            ax.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize="small",
                    color="black" if share > 0.5 else "white",
                    weight="bold" if round(100 * share) == best[j] else "normal")  # fmt: skip
    ax.set_xticks(range(len(columns)), [_wrapped(column, 8) for column in columns])
    ax.set_yticks(range(len(rows)), [_wrapped(row, 28) for row in rows], fontsize="small")
    ax.set_xlabel(label)
    return ax


def precision_recall(
    curves: Mapping[str, Sequence[Threshold]],
    *,
    base_rate: float,
    chosen: Mapping[str, Threshold] | None = None,
    title: str,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw precision against recall of refusing, one curve a signal, and the chosen points.

    Parameters
    ----------
    curves
        ``{"cosine": [Threshold, …], …}``, as ``retrieval_metrics.precision_recall`` gives them.
    base_rate
        Share of unanswerable questions: the precision of refusing by coin.
    chosen
        What the thresholds from the training questions give here.
    """
    ax = course_axes(ax, title, caption)
    for i, (name, points) in enumerate(curves.items()):
        recall, precision = (
            [100 * getattr(p, what) for p in points] for what in ("recall", "precision")
        )
        ax.step(recall, precision, where="post", color=COLOURS[i], label=name,
                linestyle=("-", "--", ":", "-.")[i % 4])  # fmt: skip
        if chosen and name in chosen:
            ax.plot(100 * chosen[name].recall, 100 * chosen[name].precision, marker=MARKERS[i],
                    color=COLOURS[i], markeredgecolor="black", markersize=9, linestyle="none",
                    label=f"{name}, threshold from training")  # fmt: skip
    ax.axhline(100 * base_rate, color="#666666", linewidth=0.8)
    ax.text(1, 100 * base_rate - 1, "refusing by coin", va="top", fontsize="x-small")
    ax.set_xlim(0, 102)
    ax.set_ylim(0, 102)
    ax.set_xlabel("unanswerable questions that are refused (recall, %)")
    ax.set_ylabel("refused that were\nunanswerable (precision, %)")
    ax.legend(frameon=False, fontsize="small")
    return ax


def _wrapped(name: str, width: int) -> str:
    return textwrap.fill(name, width, break_long_words=False, break_on_hyphens=False)
