"""A table as a heat map with its numbers written in.

Knows: shades, and which colour can be read on them. Does not know: how anything was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.classroom.figures import style
from labkit.types import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def heat(
    rows: Mapping[Any, Mapping[Any, style.Value]], *, title: str, xlabel: str, ylabel: str = "",
    form: str = "{:.0f}", limits: tuple[float, float] | None = None, best: bool = False,
    intervals: bool = False, absent: str = "", caption: str = "", ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw ``{row: {column: value}}``, each cell with its number.

    Parameters
    ----------
    rows
        ``{"vector": {"lookup": Interval, …}, …}``: shares in percent, or numbers.
    title, xlabel, ylabel, caption
        The finding; what the numbers mean and what rows are; where and when they were measured.
    form
        How a number is written.
    limits
        Values of the darkest and lightest shade: 0 and 100 % for shares, else the data's own.
    best, intervals, absent
        Whether the highest of a column is bold; whether each share's interval stands below it;
        what is written where there is no value.
    """
    ax = style.course_axes(ax, title, caption)
    columns = style.names_of(rows)
    cells = [[row.get(column) for column in columns] for row in rows.values()]
    table = np.array(
        [style.measured([np.nan if v is None else v for v in row])[0] for row in cells]
    )
    shares = any(isinstance(value, Interval) for row in cells for value in row)
    low, high = limits or ((0, 100) if shares else (np.nanmin(table), np.nanmax(table)))
    ax.imshow(table, cmap=style.SEQUENTIAL_MAP, vmin=low, vmax=max(high, low + 0.01), aspect="auto")
    for (i, j), number in np.ndenumerate(table):
        value = cells[i][j]
        told = absent if value is None else form.format(number)
        if intervals and isinstance(value, Interval):
            told += f"\n({100 * value.low:.0f}–{100 * value.high:.0f})"
        top = best and told == form.format(np.nanmax(table[:, j]))
        ax.text(
            j, i, told, ha="center", va="center", fontsize="large" if intervals else "small",
            color="white" if number <= (low + high) / 2 else "black",
            weight="bold" if top else "normal",
        )  # fmt: skip
    labels = [style.wrapped(column, style.TICKS_WIDTH // len(columns)) for column in columns]
    ax.set_xticks(range(len(columns)), labels, fontsize="small")
    style.name_rows(ax, rows, width=40)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return ax
