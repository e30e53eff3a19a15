"""The one style of the course's figures: size, colours with markers or hatches, titles, captions.

Knows: how axes look, what an interval is drawn as, how a notebook shows a figure.
Does not know: what is drawn.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.types import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES = (6.4, 3.6)
# Okabe and Ito's eight, and a grey.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000",
           "#BBBBBB")  # fmt: skip
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo", "--", "")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINE_STYLES = ("-", "--", ":", "-.")
SEQUENTIAL_MAP = "cividis"
GREY = "#444444"
TITLE_WIDTH, CAPTION_WIDTH, TICKS_WIDTH = 68, 125, 72  # letters that fit into the figure's width

Value = Interval | float | None


def course_axes(title: str, caption: str = "", ax: Axes | None = None) -> Axes:
    """Return the given or new axes with a title on the left and a caption below the figure."""
    ax = ax or _new_figure().subplots()
    ax.set_title(wrapped(title, TITLE_WIDTH), fontsize="medium", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    if caption:
        told = wrapped(caption, CAPTION_WIDTH)
        ax.figure.text(0.99, -0.02, told, ha="right", va="top", fontsize="x-small", color=GREY)
    return ax


def wrapped(text: object, width: int) -> str:
    """Break long lines between words; breaks that are there stay."""
    return "\n".join(
        textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
        for line in str(text).split("\n")
    )


def measured(values: Collection[Interval | float]) -> np.ndarray:
    """Return heights and the whiskers' lengths below and above, ``(3, n)``; shares in percent."""
    rows = [
        (100 * v.mean, 100 * max(0.0, v.mean - v.low), 100 * max(0.0, v.high - v.mean))
        if isinstance(v, Interval) else (v, 0.0, 0.0)
        for v in values
    ]  # fmt: skip
    return np.array(rows, dtype=float).reshape(-1, 3).T


def filling(i: int) -> dict[str, Any]:
    """Return the look of the i-th series of bars."""
    return {"color": COLOURS[i % 9], "hatch": HATCHES[i % 9], "edgecolor": "white"}


def marker(i: int, *, hollow: bool = False) -> dict[str, Any]:
    """Return the look of the i-th series of markers."""
    colour = COLOURS[i % 9]
    return {"color": colour, "marker": MARKERS[i % 8],
            "markerfacecolor": "white" if hollow else colour}  # fmt: skip


def whiskers_of(values: np.ndarray) -> np.ndarray | None:
    """Return the whiskers out of ``measured``, ``(2, n)``, or ``None`` where there is no spread."""
    return values[1:] if values[1:].any() else None


def names_of(rows: Mapping[Any, Mapping[str, Any]]) -> list[str]:
    """Return the keys of all rows, each once, in the order in which they first appear.

    A series keeps its colour by this order, even where it has no value to draw.
    """
    return list(dict.fromkeys(name for row in rows.values() for name in row))


def legend(ax: Axes) -> None:
    """Set the legend outside the axes if there are several series: below, or beside if many."""
    handles, labels = ax.get_legend_handles_labels()
    if len(labels) < 2:
        return
    place: dict[str, Any] = {"loc": "outside center right", "fontsize": "x-small"}
    if len(labels) <= 4:
        columns = max(1, 96 // (max(map(len, labels)) + 6))
        place = {"loc": "outside lower center", "fontsize": "small", "ncols": columns}
    ax.figure.legend(handles, labels, frameon=False, **place)


def name_rows(ax: Axes, labels: Collection[object], *, width: int) -> None:
    """Write labels beside the rows, first on top; the figure grows where they need more lines."""
    told = [wrapped(label, width) for label in labels]
    ax.set_yticks(range(len(told)), told, fontsize="small")
    ax.set_ylim(len(told) - 0.5, -0.5)
    n_lines = sum(label.count("\n") + 1 for label in told)
    figure: Any = ax.figure
    figure.set_figheight(max(SIZE_INCHES[1], 1.5 + 0.2 * n_lines))


def guide(ax: Axes, label: str = "", *, x: float | None = None, y: float | None = None) -> Axes:
    """Draw a thin line across the axes at ``x`` or at ``y``, with its label at the end."""
    look: dict[str, Any] = {"color": GREY, "linewidth": 0.8, "linestyle": "--" if label else "-"}
    text: dict[str, Any] = {"fontsize": "x-small", "color": GREY, "va": "bottom", "ha": "right"}
    if x is not None:
        ax.axvline(x, **look)
        ax.text(x, 1, f"{label} ", transform=ax.get_xaxis_transform(), **text | {"va": "top"})
    if y is not None:
        ax.axhline(y, **look)
        ax.text(1, y, label, transform=ax.get_yaxis_transform(), **text)
    return ax


def not_recorded(missing: str) -> Axes:
    """Draw an empty figure that says which commands record what belongs here.

    Parameters
    ----------
    missing
        Of ``reports.combine.missing``: what stands behind "run: ", split at ``;`` and ``&&``.
    """
    ax = course_axes("Not recorded yet")
    told = "run:\n" + re.sub("(;| &&) ", r"\1\n", missing.partition("run: ")[2])
    ax.text(0.5, 0.5, told, ha="center", va="center", transform=ax.transAxes, fontsize="small")
    ax.set_axis_off()
    return ax


def _new_figure() -> Any:
    from matplotlib.figure import Figure

    class CourseFigure(Figure):
        """A figure that a notebook shows as a PNG, without pyplot's global state."""

        def _repr_png_(self) -> bytes:
            self.draw_without_rendering()
            # Trimming the PNG moves the outer box; a legend shall stay where it was laid out.
            self.set_layout_engine("none")
            for one in self.legends:
                one.set_bbox_to_anchor((0, 0, 1, 1), self.transFigure)
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=110, bbox_inches="tight", facecolor="white")
            return buffer.getvalue()

    return CourseFigure(figsize=SIZE_INCHES, layout="constrained")
