"""Figures that compare methods of training: losses, step-time ratios, settings of LoRA's knobs.

Knows: axes, colours, markers. Does not know: how anything was measured (``bench_methods``,
``bench_sweeps``) or read (``methods_report``), nor the style (``figure_style``).
Used by lesson 08.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

import numpy as np

from labkit.classroom.figures.style import COLOURS, MARKERS, SEQUENTIAL_MAP, course_axes
from labkit.classroom.figures.training import LINE_STYLES, running_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Ratios = Mapping[int, Mapping[int, float]]
Points = Sequence[tuple[float, float]]


def losses(
    logs: Mapping[str, Sequence[Mapping[str, float]]],
    *,
    by: Literal["step", "seconds"],
    title: str,
    window: int = 4,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the training loss of each run, a running mean, against its steps or its seconds.

    Parameters
    ----------
    logs
        ``{"LoRA": [{"loss": 2.1, "seconds": 0.8}, …], …}``, one dict a step.
    window
        Steps that the running mean looks back over.
    title, caption
        The finding; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    for i, (name, log) in enumerate(logs.items()):
        spent = accumulate(row["seconds"] for row in log)
        x = list(spent) if by == "seconds" else list(range(1, len(log) + 1))
        ax.plot(
            x, running_mean([row["loss"] for row in log], window), LINE_STYLES[i % 4],
            color=COLOURS[i % 8], marker=MARKERS[i % 8], markersize=5,
            markevery=max(1, len(log) // 8), label=name,
        )  # fmt: skip
    ax.margins(y=0.15)
    ax.set_ylim(bottom=0)
    ax.set_xlim(left=0)
    ax.set_xlabel("training step" if by == "step" else "seconds of training")
    ax.set_ylabel(f"loss (nats a token, mean of {window} steps)")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="small", loc="lower left")
    return ax


def ratio_map(ratios: Ratios, *, title: str, caption: str = "", ax: Axes | None = None) -> Axes:
    """Draw ``{batch: {length: ratio}}`` as a heat map with the ratios written in.

    Parameters
    ----------
    ratios
        Step time of one method over that of another.
    title, caption
        The finding; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    lengths = sorted({length for row in ratios.values() for length in row})
    batches = sorted(ratios)
    table = np.array([[ratios[b].get(n, np.nan) for n in lengths] for b in batches], dtype=float)
    low, high = np.nanmin(table), max(np.nanmax(table), np.nanmin(table) + 0.01)
    image = ax.imshow(table, cmap=SEQUENTIAL_MAP, vmin=low, vmax=high, aspect="auto")
    for (i, j), ratio in np.ndenumerate(table):
        if not np.isnan(ratio):
            shade = "black" if ratio > (low + high) / 2 else "white"
            ax.text(j, i, f"{ratio:.2f}×", ha="center", va="center", color=shade)
    ax.set_xticks(range(len(lengths)), [str(n) for n in lengths])
    ax.set_yticks(range(len(batches)), [str(b) for b in batches])
    ax.set_xlabel("tokens a sequence")
    ax.set_ylabel("sequences a step")
    ax.figure.colorbar(image, ax=ax, label="step time, QLoRA / LoRA")
    return ax


def ratio_by_tokens(
    measured: Mapping[str, Points],
    cited: Mapping[str, Points],
    *,
    title: str,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw step-time ratios against the tokens of a step: ours filled, cited ones hollow.

    Parameters
    ----------
    measured, cited
        ``{"this CPU": [(tokens a step, ratio), …], …}``; cited names get "(cited)" behind them.
    title, caption
        The finding; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    series = [(name, points, True) for name, points in measured.items()]
    series += [(f"{name} (cited)", points, False) for name, points in cited.items()]
    for i, (name, points, ours) in enumerate(series):
        x, y = zip(*sorted(points), strict=True)
        ax.plot(
            x, y, linestyle="none" if ours else "--", marker=MARKERS[i % 8], color=COLOURS[i % 8],
            markerfacecolor=COLOURS[i % 8] if ours else "white", label=name, linewidth=1,
        )  # fmt: skip
    ax.axhline(1, color="#444444", linewidth=0.8)
    ax.axhline(1.3, color="#444444", linewidth=0.8, linestyle=":")
    ax.annotate(
        "“30 % slower”", (0.99, 1.32), xycoords=("axes fraction", "data"), ha="right",
        fontsize="small",
    )  # fmt: skip
    tokens = [x for _, points, _ in series for x, _ in points]
    ticks = [2**k for k in range(int(np.log2(min(tokens))), int(np.log2(max(tokens))) + 1, 2)]
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_ylim(bottom=0)
    ax.set_xlabel("tokens a step (log scale)")
    ax.set_ylabel("step time, QLoRA / LoRA")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    return ax


def knobs(
    table: Mapping[str, Mapping[str, Mapping]],
    *,
    title: str,
    caption: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss on kept answers for every setting, knob by knob, with the best as a line.

    Parameters
    ----------
    table
        ``{"rank": {"2": {"held_out_loss": 1.4}, …}, …}``, in nats a token.
    title, caption
        The finding; where and when it was measured.
    """
    ax = course_axes(ax, title, caption)
    labels: list[str] = []
    lowest = np.inf
    for i, (knob, runs) in enumerate(table.items()):
        found = [run["held_out_loss"] for run in runs.values()]
        places = [len(labels) + j for j in range(len(found))]
        ax.plot(found, places, MARKERS[i % 8], color=COLOURS[i % 8], markersize=8, label=knob)
        labels += list(runs)
        lowest = min(lowest, *found)
        ax.axhline(len(labels) - 0.5, color="#cccccc", linewidth=0.8)
    ax.axvline(lowest, color="#444444", linestyle="--", linewidth=1)
    ax.set_yticks(range(len(labels)), labels, fontsize="small")
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.set_xlabel("loss on kept answers (nats a token); the line is the best")
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return ax
