"""The leaderboard's figure: how often each system is right, and how often confidently wrong.

Knows: how the rows are drawn. Does not know: how a run is read (``leaderboard``).
Used by ``python -m labkit leaderboard`` and lessons 01 and 09.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from labkit.classroom.figures.style import COLOURS, MARKERS, course_axes
from labkit.types import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def standings(
    rows: Mapping[str, Mapping[str, Interval]],
    *,
    title: str,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw one row a system, one marker with its interval a measure.

    Parameters
    ----------
    rows
        ``{"rag, SmolLM2": {"right": Interval, "wrong but confident": Interval}, …}``, shares
        between 0 and 1, drawn top to bottom.
    title, caption
        The finding, as a sentence; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    measures = list(dict.fromkeys(name for row in rows.values() for name in row))
    for i, measure in enumerate(measures):
        places = [(row, shares[measure]) for row, shares in enumerate(rows.values())
                  if measure in shares]  # fmt: skip
        height = [row + 0.12 * (2 * i - len(measures) + 1) for row, _ in places]
        mean = [100 * share.mean for _, share in places]
        ends = [[100 * max(0.0, s.mean - s.low) for _, s in places],
                [100 * max(0.0, s.high - s.mean) for _, s in places]]  # fmt: skip
        ax.errorbar(mean, height, xerr=ends, fmt=MARKERS[i % 8], color=COLOURS[(0, 5, 2)[i % 3]],
                    capsize=3, label=measure, clip_on=False)  # fmt: skip
    ax.set_yticks(range(len(rows)), list(rows), fontsize="small")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(0, 100)
    ax.set_xlabel("share of all exam questions (%)")
    ax.grid(axis="x", alpha=0.3)
    ax.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
    return ax
