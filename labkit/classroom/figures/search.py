"""Figures of search: what recall costs.

Knows: which measured searches no other beats. Does not know: how anything was measured
(``bench_retrieval``). Used by lesson 03.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from labkit.classroom.figures.style import COLOURS, MARKERS, course_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pareto_front(searches: Sequence[dict], *, latency: str = "p50_s") -> list[dict]:
    """Return the searches that no other beats in both recall and latency, fastest first.

    Parameters
    ----------
    searches
        Of ``bench_retrieval.searches``: dicts with ``recall`` and seconds under ``latency``.
    latency
        The key of the seconds.
    """
    front: list[dict] = []
    for search in sorted(searches, key=lambda one: (one[latency], -one["recall"])):
        if not front or search["recall"] > front[-1]["recall"]:
            front.append(search)
    return front


def recall_latency(
    searches: Sequence[dict],
    *,
    title: str,
    caption: str = "",
    latency: Literal["p50_s", "p95_s", "batch_s"] = "p50_s",
    ax: Axes | None = None,
) -> Axes:
    """Draw recall against milliseconds a query, one line a kind, and the Pareto front.

    Parameters
    ----------
    searches
        Of ``bench_retrieval.searches``.
    title, caption
        The finding, as a sentence; where and when it was measured.
    latency
        Which seconds: one query a call (median, 95th percentile) or many in one call.
    """
    ax = course_axes(ax, title, caption)
    front = pareto_front(searches, latency=latency)
    ax.plot(
        [1e3 * search[latency] for search in front],
        [search["recall"] for search in front],
        color="#BBBBBB", linewidth=6, solid_capstyle="round", zorder=0, label="Pareto front",
    )  # fmt: skip
    for i, kind in enumerate(dict.fromkeys(search["kind"] for search in searches)):
        mine = [search for search in searches if search["kind"] == kind]
        ours = kind.startswith("LanceDB")
        ax.plot(
            [1e3 * search[latency] for search in mine],
            [search["recall"] for search in mine],
            linestyle="none",
            marker=MARKERS[i % 8], color=COLOURS[i % 8], label=kind,
            markerfacecolor=COLOURS[i % 8] if ours else "white",
        )  # fmt: skip
    ax.set_xscale("log")
    many = latency == "batch_s"
    ax.set_xlabel(f"milliseconds a query, {'in one call' if many else 'one a call'} (log scale)")
    ax.set_ylabel("recall@10")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
