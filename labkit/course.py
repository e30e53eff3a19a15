"""The whole course in one go: every lesson run in order, a table of times, pages to read.

Knows: how to run lessons into ``build/`` without touching the committed notebooks.
Does not know: how a single notebook is built (``notebooks``).
Used by ``make course``; no lesson calls it.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import notebook_outputs
from labkit.notebook_source import Lesson, convert


@dataclass(frozen=True)
class LessonRun:
    """One lesson's run: its time in seconds and the failing cell's message, if any."""

    name: str
    wall_s: float
    error: str | None


def run(chosen: list[Lesson], html_dir: Path) -> int:
    """Run the lessons in full mode, print a table and write one HTML page each.

    A lesson that fails does not stop the others; a kernel that dies does (see `KernelError`).

    Returns
    -------
    int
        0 when every lesson ran, else 1.
    """
    if not chosen:
        print("There are no lessons in notebooks/src yet.")
        return 0
    try:
        runs = [_run_lesson(lesson, html_dir) for lesson in chosen]
    except notebook_outputs.KernelError as error:
        print(f"{error} Run the same command again.")
        return 1
    width = max(len(one.name) for one in runs)
    print(f"\n{'lesson':<{width}}  {'time':>9}  result")
    for one in runs:
        print(f"{one.name:<{width}}  {one.wall_s:>7.1f} s  {'failed' if one.error else 'ran'}")
    for one in runs:
        if one.error:
            print(f"\n{one.name}:\n{one.error}")
    print(f"\nPages to read: {html_dir}")
    return 1 if any(one.error for one in runs) else 0


def _run_lesson(lesson: Lesson, html_dir: Path) -> LessonRun:
    print(f"{lesson.name} …", flush=True)
    notebook = convert(lesson, "student")
    start, error = time.perf_counter(), None
    try:
        notebook_outputs.execute(notebook, lesson.root / "notebooks")
    except notebook_outputs.CellError as failure:
        error = str(failure)
    wall_s = time.perf_counter() - start
    notebook_outputs.clean(notebook)
    _write_html(notebook, html_dir / f"{lesson.name}.html")
    return LessonRun(name=lesson.name, wall_s=wall_s, error=error)


def _write_html(notebook: Any, path: Path) -> None:
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
