"""Rows that are made of parts: stacked horizontal bars.

Knows: places, colours, counts. Does not know: how anything was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from labkit.classroom.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def stacked(
    rows: Mapping[str, Mapping[str, float]], *, title: str, xlabel: str, counts: bool = False,
    caption: str = "", ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw one stacked bar a row, top to bottom.

    Parameters
    ----------
    rows
        ``{"lookup": {"both": 70, "only text": 9}, …}``; a missing part is 0.
    counts
        Draw how each row divides, in percent, with its counts written in; a row has at least one.
    title, xlabel, caption
        The finding; what the lengths are, with their unit; where and when.
    """
    ax = style.course_axes(ax, title, caption)
    names = style.names_of(rows)
    table = np.array([[row.get(name, 0) for name in names] for row in rows.values()], dtype=float)
    totals = table.sum(axis=1, keepdims=True)
    widths = 100 * table / totals if counts else table
    left = widths.cumsum(axis=1) - widths
    for i, name in enumerate(names):
        if not table[:, i].any():
            continue
        drawn = ax.barh(
            range(len(rows)), widths[:, i], left=left[:, i], label=name, **style.filling(i)
        )
        if counts:
            shown = [f"{number:.0f}" if number else "" for number in table[:, i]]
            for text in ax.bar_label(drawn, shown, label_type="center", fontsize="small"):
                text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.9})
    told = [f"{row} ({n:.0f})" for row, n in zip(rows, totals[:, 0], strict=True)]
    style.name_rows(ax, told if counts else rows, width=30)
    ax.set_xlabel(xlabel)
    if counts:
        ax.set_xlim(0, 100)
    style.legend(ax)
    return ax
