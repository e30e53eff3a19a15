"""Figures of the training lessons: loss curves, spectra, 4-bit levels, errors.

Knows: how losses, singular values, code books and errors are drawn.
Does not know: how they were measured, nor the style (``figure_style``). Used by lessons 06 to 08.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from labkit.classroom.figures.style import COLOURS, HATCHES, MARKERS, course_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_STYLES = ("-", "--", ":", "-.")


def loss_curves(
    runs: Mapping[str, Sequence[float]],
    *,
    title: str,
    window: int = 5,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss of each run against its step: every step faint, a running mean on top.

    Parameters
    ----------
    runs
        ``{"rank 8": (loss of step 1, loss of step 2, …), …}``, in nats a token.
    window
        Steps that the running mean looks back over.
    title, caption
        The finding; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    for i, (name, losses) in enumerate(runs.items()):
        steps = np.arange(1, len(losses) + 1)
        colour, style = COLOURS[i % 8], LINE_STYLES[i % 4]
        if len(runs) == 1:
            ax.plot(steps, losses, color=colour, alpha=0.3, linewidth=1)
        ax.plot(
            steps, running_mean(losses, window), style, color=colour, label=name,
            marker=MARKERS[i % 8], markevery=max(1, len(losses) // 8), markersize=5,
        )  # fmt: skip
    ax.set_ylim(bottom=0)
    ax.set_xlabel("training step")
    ax.set_ylabel(f"loss (nats a token, mean of {window} steps)")
    ax.grid(alpha=0.3)
    if len(runs) > 1:
        ax.legend(frameon=False, fontsize="small")
    return ax


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Return the mean of each value and up to ``window - 1`` before it, ``(n,)``."""
    return np.array([np.mean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))])


def energy_by_rank(
    spectra: Mapping[str, Sequence[float]],
    *,
    title: str,
    rank: int,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how much of each matrix its best approximation of rank 1, 2, 3, … holds.

    Parameters
    ----------
    spectra
        ``{"weight": singular values, largest first, …}``.
    rank
        Marked by a line.
    title, caption
        The finding; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    for i, (name, values) in enumerate(spectra.items()):
        share = energy(values)
        ranks = np.arange(1, len(share) + 1)
        ax.plot(
            ranks, 100 * share, LINE_STYLES[i % 4], color=COLOURS[i % 8], label=name,
            marker=MARKERS[i % 8], markevery=[2**k - 1 for k in range(len(share).bit_length())],
        )  # fmt: skip
    ax.axvline(rank, color="#444444", linewidth=1)
    ax.annotate(f" rank {rank}", (rank, 97), fontsize="small")
    ax.set_xscale("log", base=2)
    ticks = [2**k for k in range(len(share).bit_length())]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_ylim(0, 105)
    ax.set_xlabel("rank of the approximation (log scale)")
    ax.set_ylabel("squared entries kept (%)")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="small")
    return ax


def energy(singular_values: Sequence[float]) -> np.ndarray:
    """Return the share of a matrix's squared entries that its k largest directions hold, ``(n,)``.

    Source: Eckart and Young 1936; the squares of the singular values sum to those of the entries.
    """
    squares = np.asarray(singular_values, dtype=np.float64) ** 2
    return np.cumsum(squares) / squares.sum()


def levels_over_histogram(
    values: np.ndarray,
    books: Mapping[str, Sequence[float]],
    *,
    title: str,
    xlabel: str,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
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
    ax = course_axes(ax, title, caption)
    heights, edges = np.histogram(values, bins=81, range=(-1, 1))
    share = 100 * heights / len(values)
    ax.bar(edges[:-1], share, np.diff(edges), align="edge", color="#CCCCCC")
    step = share.max() / 7
    for i, (name, levels) in enumerate(books.items()):
        height = -step * (i + 1)
        ax.plot(levels, [height] * len(levels), "|", color=COLOURS[i % 8], markersize=11, mew=2)
        ax.annotate(
            f"{name} ", (-1.04, height), ha="right", va="center", color=COLOURS[i % 8],
            annotation_clip=False, fontsize="small",
        )  # fmt: skip
    ax.axhline(0, color="#444444", linewidth=0.8)
    ax.set_ylim(bottom=-step * (len(books) + 0.7))
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= share.max()])
    ax.set_xlim(-1.04, 1.04)
    ax.set_xlabel(xlabel)
    ax.set_ylabel("weights (%)")
    return ax


def grouped_bars(
    groups: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    ylabel: str,
    form: str = "{:.1f}",
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw bars in groups, each labelled with its number; they start at zero.

    Parameters
    ----------
    groups
        ``{"q_proj": {"int4": 9.1, "NF4": 7.8}, …}``.
    form
        How a number is written.
    title, ylabel, caption
        The finding; what the height is, with its unit; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    width = 0.84 / len(series)
    for i, name in enumerate(series):
        places = [j for j, group in enumerate(groups.values()) if name in group]
        heights = [group[name] for group in groups.values() if name in group]
        drawn = ax.bar(
            [j - 0.42 + width * (i + 0.5) for j in places], heights, width, label=name,
            color=COLOURS[i % 8], hatch=HATCHES[i % 8], edgecolor="white",
        )  # fmt: skip
        ax.bar_label(drawn, [form.format(h) for h in heights], fontsize="x-small", padding=1)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.margins(y=0.12)
    ax.set_ylabel(ylabel)
    if len(series) > 1:
        ax.legend(ncols=len(series), loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)
    return ax
