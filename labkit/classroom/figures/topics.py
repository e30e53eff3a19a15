"""Figures that one topic alone needs: search, abstaining, 4-bit levels, memory.

Knows: how these are drawn, where it can with the grammar of the other files.
Does not know: how anything was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from labkit.classroom.figures import style
from labkit.classroom.figures.bars import stacked
from labkit.classroom.figures.lines import lines
from labkit.hardware import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from labkit.retrieval_metrics import Threshold

ALL_PARTS = "all parts"
PARTS = ("weights", "constants", "adapters", "gradients", "optimizer", "activations", "logits",
         "gathered", ALL_PARTS)  # fmt: skip


def pareto_front(searches: Sequence[dict], *, latency: str = "p50_s") -> list[dict]:
    """Return the searches that no other beats in both recall and latency, fastest first.

    Parameters
    ----------
    searches
        Of ``bench.retrieval.searches``: dicts with ``recall`` and seconds under ``latency``.
    latency
        The key of the seconds.
    """
    front: list[dict] = []
    for search in sorted(searches, key=lambda one: (one[latency], -one["recall"])):
        if not front or search["recall"] > front[-1]["recall"]:
            front.append(search)
    return front


def recall_latency(
    searches: Sequence[dict], *, title: str,
    latency: Literal["p50_s", "p95_s", "batch_s"] = "p50_s", caption: str = "",
) -> Axes:  # fmt: skip
    """Draw recall against milliseconds a query, one marker a kind, and the Pareto front.

    Parameters
    ----------
    searches
        Of ``bench.retrieval.searches``; kinds of LanceDB are filled, the others hollow.
    title, caption
        The finding, as a sentence; where and when it was measured.
    latency
        Which seconds: one query a call (median, 95th percentile) or many in one call.
    """
    ax = style.course_axes(title)
    front = [(1e3 * one[latency], one["recall"]) for one in pareto_front(searches, latency=latency)]
    ax.plot(
        *np.reshape(front, (-1, 2)).T, color="#BBBBBB", linewidth=6, solid_capstyle="round",
        zorder=0, label="Pareto front",
    )  # fmt: skip
    series: dict[str, list[tuple[float, float]]] = {}
    for one in searches:
        series.setdefault(one["kind"], []).append((1e3 * one[latency], one["recall"]))
    many = "in one call" if latency == "batch_s" else "one a call"
    return lines(
        series, title=title, xlabel=f"milliseconds a query, {many}", ylabel="recall@10", log="x",
        joined=False, from_zero=False, caption=caption, ax=ax,
        hollow=[kind for kind in series if not kind.startswith("LanceDB")],
    )  # fmt: skip


def precision_recall(
    curves: Mapping[str, Sequence[Threshold]], *, base_rate: float, chosen: Mapping[str, Threshold],
    title: str, caption: str = "",
) -> Axes:  # fmt: skip
    """Draw precision against recall of abstaining, one curve a signal, and the chosen points.

    Parameters
    ----------
    curves
        ``{"cosine": [Threshold, …], …}``, one point a threshold.
    base_rate
        Share of unanswerable questions: the precision of abstaining by coin.
    chosen
        What the thresholds from the training questions give here.
    """
    points = {f"{name}, threshold from training": [point] for name, point in chosen.items()}
    ax = lines(
        {name: [(100 * p.recall, 100 * p.precision) for p in found]
         for name, found in {**curves, **points}.items()},
        title=title, xlabel="unanswerable questions abstained from (recall, %)",
        ylabel="abstentions that were\nright (precision, %)", caption=caption,
    )  # fmt: skip
    for line in ax.lines:
        line.set_drawstyle("steps-post")
    ax.set_xlim(0, 102)
    ax.set_ylim(0, 105)
    return style.guide(ax, "abstaining by coin", y=100 * base_rate)


def energy(singular_values: Sequence[float]) -> np.ndarray:
    """Return the share of a matrix's squared entries that its k largest directions hold, ``(n,)``.

    Source: Eckart and Young 1936; the squares of the singular values sum to those of the entries.
    """
    squares = np.square(np.asarray(singular_values, dtype=np.float64))
    return np.cumsum(squares) / squares.sum()


def levels_over_histogram(
    values: np.ndarray, books: Mapping[str, Sequence[float]], *, title: str, xlabel: str,
    caption: str = "",
) -> Axes:  # fmt: skip
    """Draw the histogram of scaled weights, and below it a row of ticks for each code book.

    Parameters
    ----------
    values
        ``(n,)`` between -1 and 1.
    books
        ``{"NF4": levels, …}``.
    title, xlabel, caption
        The finding; what the values are; where and when it was measured.
    """
    ax = style.course_axes(title, caption)
    heights, edges = np.histogram(values, bins=81, range=(-1, 1))
    share = 100 * heights / len(values)
    ax.bar(edges[:-1], share, np.diff(edges), align="edge", color="#CCCCCC")
    step = share.max() / 7
    for i, (name, levels) in enumerate(books.items()):
        height = -step * (i + 1)
        ax.plot(
            levels, [height] * len(levels), "|", color=style.COLOURS[i % 9], markersize=11, mew=2
        )
        ax.annotate(
            f"{name} ", (-1.04, height), ha="right", va="center", color=style.COLOURS[i % 9],
            annotation_clip=False, fontsize="small",
        )  # fmt: skip
    ax.axhline(0, color=style.GREY, linewidth=0.8)
    ax.set_ylim(bottom=-step * (len(books) + 0.7))
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= share.max()])
    ax.set_xlim(-1.04, 1.04)
    ax.set_xlabel(xlabel)
    ax.set_ylabel("weights (%)")
    return ax


@dataclass(frozen=True)
class MemoryBar:
    """One training step: predicted bytes by part and, where there are, measured ones.

    Who measured only the whole (a GPU, a process) calls it ``{ALL_PARTS: bytes}``.
    """

    label: str
    predicted: Mapping[str, int]
    measured: Mapping[str, int] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """Return how far predicted and measured lie apart, as a share of the measured."""
        return abs(sum(self.predicted.values()) / sum(self.measured.values()) - 1)


def memory_parts(
    bars: Sequence[MemoryBar], *, measured_name: str = "rehearsed", card_bytes: int | None = None,
    caption: str = "",
) -> Axes:  # fmt: skip
    """Draw each step as stacked parts, predicted above measured; the title is computed.

    Parameters
    ----------
    bars
        At least one step.
    measured_name
        Where the measured bars come from.
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
        raise ValueError("There is no step to draw; give at least one MemoryBar.")
    rows = {}
    for bar in bars:
        for how, parts in (("predicted", bar.predicted), (measured_name, bar.measured)):
            if parts:
                rows[f"{bar.label}, {how}"] = {part: parts.get(part, 0) / GIB for part in PARTS}
    ax = stacked(
        rows, title=_finding(bars, measured_name), xlabel="memory at the peak (GiB)",
        caption=caption,
    )  # fmt: skip
    return style.guide(ax, "card", x=card_bytes / GIB) if card_bytes else ax


def _finding(bars: Sequence[MemoryBar], measured_name: str) -> str:
    """Say what is largest, and how far the predictions are off where something was measured."""
    by_size = sorted(bars, key=lambda bar: sum(bar.predicted.values()))
    low, high = by_size[0], by_size[-1]
    ratio = sum(high.predicted.values()) / max(1, sum(low.predicted.values()))
    finding = f"{low.label} needs {ratio:.1f}× less than {high.label}"
    if len(bars) == 1:
        largest = max(low.predicted, key=lambda part: low.predicted[part])
        finding = f"{low.label}: {largest} weigh most"
    errors = [bar.error for bar in bars if bar.measured]
    if not errors:
        return finding
    return f"{finding}\npredicted and {measured_name}: at most {100 * max(errors):.1f} % apart"
