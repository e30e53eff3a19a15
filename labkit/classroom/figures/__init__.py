"""Figures: pure functions from data to axes, in one grammar.

``bars``, ``dots``, ``forest``, ``lines``, ``losses``, ``heat``, ``stacked`` and ``guide`` draw what
every lesson needs; ``topics`` holds the few that only one topic needs. An ``Interval`` is a share:
it is drawn in percent, with whiskers. A plain number is drawn as it is; ``None`` is left out.
Matplotlib is loaded by the first figure, not by the import.
"""

from labkit.classroom.figures.bars import bars, dots, forest, heat, stacked
from labkit.classroom.figures.lines import lines, losses
from labkit.classroom.figures.style import guide, not_recorded
from labkit.classroom.figures.topics import (
    ALL_PARTS,
    MemoryBar,
    energy,
    levels_over_histogram,
    memory_parts,
    pareto_front,
    precision_recall,
    recall_latency,
)

__all__ = [
    "ALL_PARTS", "MemoryBar", "bars", "dots", "energy", "forest", "guide", "heat",
    "levels_over_histogram", "lines", "losses", "memory_parts", "not_recorded", "pareto_front",
    "precision_recall", "recall_latency", "stacked",
]  # fmt: skip
