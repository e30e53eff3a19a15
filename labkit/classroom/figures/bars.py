"""Values by category: grouped bars, rows of dots, rows of differences.

Knows: places, widths, whiskers, labels. Does not know: how anything was measured.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from labkit.classroom.figures import style
from labkit.types import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUP, WIDEST = 0.84, 0.5  # of the room between two groups: all bars together, and one alone


def bars(
    groups: Mapping[str, Mapping[str, style.Value]], *, title: str, ylabel: str,
    form: str = "{:.0f}", caption: str = "", ax: Axes | None = None,
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
    ax = style.course_axes(ax, title, caption)
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
    hollow: Collection[str] = (), caption: str = "", ax: Axes | None = None,
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
    ax = style.course_axes(ax, title, caption)
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
    differences: Mapping[str, Interval], *, title: str, xlabel: str,
    caption: str = "", ax: Axes | None = None,
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
    ax = dots(rows, title=title, xlabel=xlabel, hollow=["cannot tell"], caption=caption, ax=ax)
    return style.guide(ax, x=0)
