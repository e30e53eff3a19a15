"""Values by category: bars in groups or stacked, rows of dots or differences, heat maps.

Knows: places, widths, whiskers, labels, shades and what can be read on them.
Does not know: how anything was measured.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.classroom.figures import style
from labkit.types import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUP, WIDEST = 0.84, 0.5  # of the room between two groups: all bars together, and one alone


def bars(
    groups: Mapping[str, Mapping[str, style.Value]], *, title: str, ylabel: str,
    form: str = "{:.0f}", caption: str = "",
) -> Axes:  # fmt: skip
    """Draw grouped bars from zero, each with its number above its whisker.

    Parameters
    ----------
    groups
        ``{"lookup": {"base": Interval, "RAG": Interval}, …}``: shares in percent, or numbers.
    title
        The finding, as a sentence.
    ylabel, form, caption
        What the height means, with its unit; how a number is written; where and when.
    """
    ax = style.course_axes(title, caption)
    names = style.names_of(groups)
    width = min(WIDEST, GROUP / max(1, len(names)))
    for i, name in enumerate(names):
        row = {j: group[name] for j, group in enumerate(groups.values())
               if group.get(name) is not None}  # fmt: skip
        values = style.measured([value for value in row.values() if value is not None])
        places = [j + width * (i - (len(names) - 1) / 2) for j in row]
        drawn = ax.bar(
            places, values[0], width, yerr=style.whiskers_of(values), capsize=3, ecolor=style.GREY,
            label=name if row else "", **style.filling(i),
        )  # fmt: skip
        ax.bar_label(drawn, [form.format(v) for v in values[0]], fontsize="x-small", padding=2)
    labels = [style.wrapped(name, style.TICKS_WIDTH // len(groups)) for name in groups]
    ax.set_xticks(range(len(groups)), labels, fontsize="small")
    ax.margins(y=0.12)
    if any(isinstance(value, Interval) for group in groups.values() for value in group.values()):
        ax.set_yticks(range(0, 101, 20))
        ax.set_ylim(0, 110)
    ax.set_ylabel(ylabel)
    style.legend(ax)
    return ax


def dots(
    rows: Mapping[str, Mapping[str, style.Value]], *, title: str, xlabel: str,
    hollow: Collection[str] = (), caption: str = "",
) -> Axes:  # fmt: skip
    """Draw a row of markers for each category, top to bottom, with whiskers where there are any.

    Parameters
    ----------
    rows
        ``{"rag, SmolLM2": {"right": Interval, …}, …}``: shares in percent, or numbers.
    hollow
        Series whose markers are not filled.
    title, xlabel, caption
        The finding; what is measured, with its unit; where and when.
    """
    ax = style.course_axes(title, caption)
    names = style.names_of(rows)
    for i, name in enumerate(names):
        places, found = [], []
        for j, row in enumerate(rows.values()):
            there = [key for key, value in row.items() if value is not None]
            if name in there:
                places.append(j + 0.24 * (there.index(name) - (len(there) - 1) / 2))
                found.append(row[name])
        values = style.measured([value for value in found if value is not None])
        ax.errorbar(
            values[0], places, xerr=style.whiskers_of(values), capsize=3, linestyle="none",
            label=name if places else "", **style.marker(i, hollow=name in hollow),
        )  # fmt: skip
    style.name_rows(ax, rows, width=44)
    if not any(isinstance(value, Interval) for row in rows.values() for value in row.values()):
        ax.set_xlim(left=0)
    ax.set_xlabel(xlabel)
    ax.grid(axis="x", alpha=0.3)
    style.legend(ax)
    return ax


def forest(
    differences: Mapping[str, Interval], *, title: str, xlabel: str, caption: str = "",
) -> Axes:  # fmt: skip
    """Draw paired differences in percentage points: filled where the interval excludes zero.

    Parameters
    ----------
    differences
        ``{"vector": Interval, …}``, shares between −1 and 1, drawn top to bottom.
    title, xlabel, caption
        The finding; what is compared; where and when it was measured.
    """
    rows = {}
    for name, change in differences.items():
        sign = "cannot tell" if not change.excludes_zero else "more" if change.mean > 0 else "less"
        rows[name] = dict.fromkeys(("more", "less", "cannot tell")) | {sign: change}
    ax = dots(rows, title=title, xlabel=xlabel, hollow=["cannot tell"], caption=caption)
    return style.guide(ax, x=0)


def stacked(
    rows: Mapping[str, Mapping[str, float]], *, title: str, xlabel: str, counts: bool = False,
    caption: str = "",
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
    ax = style.course_axes(title, caption)
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


def heat(
    rows: Mapping[Any, Mapping[Any, style.Value]], *, title: str, xlabel: str, ylabel: str = "",
    form: str = "{:.0f}", limits: tuple[float, float] | None = None, best: bool = False,
    intervals: bool = False, absent: str = "", caption: str = "",
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
    ax = style.course_axes(title, caption)
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
