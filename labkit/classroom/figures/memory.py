"""Figures of memory: what a training step is made of, predicted beside measured.

Knows: axes, colours, hatches, titles. Does not know: how the bytes were found (``memory``,
``rehearsal``). Used by lessons 08 and 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.classroom.figures.style import COLOURS, HATCHES, course_axes
from labkit.hardware import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARTS = (
    "weights",
    "constants",
    "adapters",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "gathered",
)
WIDTH = 0.36


@dataclass(frozen=True)
class Bar:
    """One step: predicted bytes by part and, where there are, measured ones.

    ``measured`` is a dict by part (a rehearsal), or one number (a GPU says only how much).
    """

    label: str
    predicted: Mapping[str, int]
    measured: Mapping[str, int] | int | None = None


def memory_parts(
    bars: Sequence[Bar],
    *,
    measured_name: str = "rehearsed",
    card_bytes: int | None = None,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw each step as stacked parts: predicted on the left, measured on the right.

    Parameters
    ----------
    bars
        At least one step.
    measured_name
        Where the right-hand bars come from, for the title.
    card_bytes
        Drawn as a line: what a card holds.
    caption
        Hardware and date.

    Raises
    ------
    ValueError
        If there is no step to draw.
    """
    if not bars:
        raise ValueError("There is no step to draw; give at least one Bar.")
    ax = course_axes(ax, _title(bars, measured_name), caption)
    used = [part for part in PARTS if any(_size(bar, part) for bar in bars)]
    for index, bar in enumerate(bars):
        offset = WIDTH / 2 + 0.02 if bar.measured is not None else 0
        _stack(ax, index - offset, bar.predicted, used)
        if isinstance(bar.measured, int):
            ax.bar(index + offset, bar.measured / GIB, WIDTH, color="#bbbbbb", edgecolor="black")
        elif bar.measured is not None:
            _stack(ax, index + offset, bar.measured, used)
    if card_bytes:
        ax.axhline(card_bytes / GIB, color="black", linestyle="--", linewidth=1)
        place: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": "small"}
        ax.text(len(bars) - 0.5, card_bytes / GIB, "card ", **place)
    ax.set_xticks(range(len(bars)), [bar.label for bar in bars])
    ax.set_ylabel("memory at the peak (GiB)")
    ax.set_ylim(bottom=0)
    _legend(ax, used)
    return ax


def _stack(ax: Axes, x: float, parts: Mapping[str, int], used: Sequence[str]) -> None:
    bottom = 0.0
    for part in used:
        height = parts.get(part, 0) / GIB
        index = PARTS.index(part)
        ax.bar(
            x,
            height,
            WIDTH,
            bottom=bottom,
            color=COLOURS[index],
            hatch=HATCHES[index],
            edgecolor="white" if part != "logits" else "black",
            linewidth=0.5,
        )
        bottom += height


def _legend(ax: Axes, used: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(
            facecolor=COLOURS[PARTS.index(part)],
            hatch=HATCHES[PARTS.index(part)],
            edgecolor="white" if part != "logits" else "black",
            label=part,
        )
        for part in reversed(used)
    ]
    ax.legend(
        handles=handles, frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1)
    )


def _size(bar: Bar, part: str) -> int:
    measured = bar.measured if isinstance(bar.measured, Mapping) else {}
    return max(bar.predicted.get(part, 0), measured.get(part, 0))


def _total(parts: Mapping[str, int] | int) -> int:
    return parts if isinstance(parts, int) else sum(parts.values())


def _title(bars: Sequence[Bar], measured_name: str) -> str:
    """Say what is largest, and how far the predictions are off where something was measured."""
    high = max(bars, key=lambda bar: _total(bar.predicted))
    low = min(bars, key=lambda bar: _total(bar.predicted))
    ratio = _total(high.predicted) / max(1, _total(low.predicted))
    one_line = [bar.label.replace("\n", " ") for bar in (low, high)]
    finding = f"{one_line[0]} needs {ratio:.1f}× less than {one_line[1]}"
    if len(bars) == 1:
        largest = max(high.predicted, key=lambda part: high.predicted[part])
        finding = f"{one_line[1]}: {largest} weigh most"
    errors = [
        abs(_total(bar.predicted) / _total(bar.measured) - 1)
        for bar in bars
        if bar.measured is not None
    ]
    if not errors:
        return finding
    apart = f"at most {100 * max(errors):.1f} % apart"
    return f"{finding}\nleft predicted, right {measured_name}: {apart}"
