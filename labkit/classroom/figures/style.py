"""The one style of the course's figures: size, colours plus hatches or markers, titles, captions.

Knows: how axes look and how a notebook shows a figure. Does not know: what is drawn (``plots``).
Used by the ``plots`` modules only.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES = (6.4, 3.6)
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo", "--")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SEQUENTIAL_MAP = "cividis"


def course_axes(ax: Axes | None, title: str, caption: str = "") -> Axes:
    """Return the given or new axes with a title on the left and a caption below the figure."""
    if ax is None:
        ax = _new_figure().subplots()
    ax.set_title(title, fontsize="medium", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    if caption:
        ax.figure.text(0.99, -0.02, caption, ha="right", va="top", fontsize="x-small", color="#444")
    return ax


def _new_figure() -> Any:
    from matplotlib.figure import Figure

    class CourseFigure(Figure):
        """A figure that a notebook shows as a PNG, without pyplot's global state."""

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=110, bbox_inches="tight", facecolor="white")
            return buffer.getvalue()

    return CourseFigure(figsize=SIZE_INCHES, layout="constrained")
