"""The whole course in one go: every lesson in order, a summary, pages to read.

Knows: how to run lessons into ``build/`` without touching the committed notebooks, and how to go
on where an earlier run was stopped. Does not know: how a single notebook is built (``notebooks``).
Used by ``make course``; no lesson calls it.
"""

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from labkit import results
from labkit.authoring import outputs as notebook_outputs
from labkit.authoring.source import Lesson, convert
from labkit.hardware import GIB

STATE_FILE = "course.json"
PEAK_CELL = "from labkit.measure import peak_rss_bytes\n\nprint(peak_rss_bytes())"
_LEFT_OUT = re.compile(r"\b(?:skipped|not measured yet|not recorded yet|not tried)\b", re.I)
_SHOWN_LEFT_OUT = 3


@dataclass(frozen=True)
class LessonRun:
    """One lesson's run: seconds, the kernel's peak bytes, the failing cell's message, if any.

    ``left_out`` holds lines in which the lesson itself says what it did not do; ``stamp`` changes
    with the lesson's source and with labkit's; ``earlier`` is the day of a run that was kept.
    """

    name: str
    stamp: str
    wall_s: float
    peak_bytes: int | None = None
    error: str | None = None
    left_out: tuple[str, ...] = ()
    date: str = ""
    earlier: bool = False


def run(chosen: list[Lesson], html_dir: Path, *, again: bool = False) -> int:
    """Run the lessons in full mode, print a summary and write one HTML page each.

    A lesson that fails, or whose kernel dies, does not stop the others. Ctrl-C does: the same
    command goes on then, since finished lessons whose stamp is unchanged are not run again.

    Parameters
    ----------
    chosen
        Which lessons, in order.
    html_dir
        Where the pages go; what is finished is noted beside it.
    again
        Run finished lessons too.

    Returns
    -------
    int
        0 when every lesson ran, else 1.
    """
    if not chosen:
        print("There are no lessons in notebooks/src yet.")
        return 0
    finished = {} if again else _finished(html_dir)
    runs: list[LessonRun] = []
    stopped = False
    for number, lesson in enumerate(chosen, 1):
        print(f"[{number} of {len(chosen)}] {lesson.name} …", end=" ", flush=True)
        kept = finished.get(lesson.name)
        try:
            one = kept if kept and kept.stamp == stamp(lesson) else _run_lesson(lesson, html_dir)
        except (notebook_outputs.Interrupted, KeyboardInterrupt):
            print("stopped")
            stopped = True
            break
        runs.append(one)
        print(_result(one), flush=True)
        _note(one, html_dir)
    print("\n" + summary(runs, chosen))
    _write_index(runs, html_dir)
    print(f"\nPages to read: {html_dir / 'index.html'}")
    if stopped:
        print("Stopped. Run the same command again to go on.")
    return 1 if stopped or any(one.error for one in runs) else 0


def stamp(lesson: Lesson) -> str:
    """Return a hash that changes with the lesson's source and with any module of labkit."""
    found = hashlib.sha256(lesson.source_sha256().encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def summary(runs: Sequence[LessonRun], chosen: Sequence[Lesson]) -> str:
    """Return times, peaks, exam scores, failures and what was left out, as lines."""
    width = max(len(lesson.name) for lesson in chosen)
    lines = [f"{'lesson':<{width}}  {'time':>9}  {'peak':>9}  result"]
    lines += [f"{one.name:<{width}}  {_cells(one)}" for one in runs]
    total = sum(one.wall_s for one in runs if not one.earlier)
    lines.append(f"{'this run':<{width}}  {total:>7.1f} s")
    for one in runs:
        if one.error:
            lines.append(f"\n{one.name}:\n{one.error}")
    left_out = [f"  {name}: {why}" for name, why in _skipped(runs, chosen)]
    if left_out:
        lines += ["\nSkipped, and why:", *left_out]
    if scores := _scores():
        lines += ["\nRecorded exam scores (python -m labkit leaderboard):", *scores]
    return "\n".join(lines)


def _cells(one: LessonRun) -> str:
    peak = f"{one.peak_bytes / GIB:.1f} GiB" if one.peak_bytes else "–"
    return f"{one.wall_s:>7.1f} s  {peak:>9}  {_result(one)}"


def _result(one: LessonRun) -> str:
    if one.error:
        return "failed"
    return f"finished earlier ({one.date})" if one.earlier else "ran"


def _skipped(runs: Sequence[LessonRun], chosen: Sequence[Lesson]) -> list[tuple[str, str]]:
    found = [(one.name, "unchanged since it finished; --again runs it") for one in runs
             if one.earlier]  # fmt: skip
    found += [(one.name, line) for one in runs for line in one.left_out]
    ran = {one.name for one in runs}
    found += [(lesson.name, "the run was stopped") for lesson in chosen if lesson.name not in ran]
    drafts = sorted((chosen[0].source.parent / "drafts").glob("[0-9][0-9]_*.py"))
    return found + [(path.stem, "a draft, not part of the course yet") for path in drafts]


def _scores() -> list[str]:
    from labkit.claims import leaderboard

    return [
        f"  {leaderboard.name_of(run)}: {leaderboard.share_text(run['figures']['exact_match'])} %"
        for run in results.leaderboard()
    ]


def _run_lesson(lesson: Lesson, html_dir: Path) -> LessonRun:
    import nbformat

    notebook = convert(lesson, "student")
    notebook.cells.append(nbformat.v4.new_code_cell(PEAK_CELL))
    start, error = time.perf_counter(), None
    try:
        notebook_outputs.execute(notebook, lesson.root / "notebooks")
    except notebook_outputs.Interrupted:
        raise
    except (notebook_outputs.CellError, notebook_outputs.KernelError) as failure:
        error = str(failure)
    wall_s = time.perf_counter() - start
    measured = notebook.cells.pop()
    notebook_outputs.clean(notebook)
    _write_html(notebook, html_dir / f"{lesson.name}.html")
    return LessonRun(
        name=lesson.name,
        stamp=stamp(lesson),
        wall_s=wall_s,
        peak_bytes=None if error else int(measured.outputs[0].text),
        error=error,
        left_out=tuple(_left_out(notebook)),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
    )


def _left_out(notebook: Any) -> list[str]:
    """Return the printed lines in which a lesson says what it did not do."""
    texts = (
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    )
    lines = (line.strip() for text in texts for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if _LEFT_OUT.search(line)))[:_SHOWN_LEFT_OUT]


def _finished(html_dir: Path) -> dict[str, LessonRun]:
    """Return the lessons that finished in earlier runs and whose pages are still there."""
    path = html_dir.parent / STATE_FILE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        kept = [LessonRun(**row | {"left_out": tuple(row["left_out"])}) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return {
        one.name: LessonRun(**asdict(one) | {"earlier": True})
        for one in kept
        if (html_dir / f"{one.name}.html").is_file()
    }


def _note(one: LessonRun, html_dir: Path) -> None:
    """Write down that a lesson finished; one that failed is forgotten, so that it runs again."""
    rows = {name: run for name, run in _finished(html_dir).items() if name != one.name}
    if not one.error:
        rows[one.name] = one
    text = json.dumps([asdict(row) | {"earlier": False} for row in rows.values()], indent=1)
    results.write_atomically(html_dir.parent / STATE_FILE, text + "\n")


def _write_index(runs: Sequence[LessonRun], html_dir: Path) -> None:
    """Write the page that leads to all others, and the leaderboard's."""
    from labkit.claims import leaderboard, verdicts

    rows = "".join(
        f'<tr><td><a href="{escape(one.name)}.html">{escape(one.name)}</a></td>'
        f"<td><pre>{escape(_cells(one))}</pre></td></tr>"
        for one in runs
    )
    more = ""
    if recorded := results.leaderboard():
        page = leaderboard.page(recorded, verdicts.judge_all(verdicts.load_records()))
        results.write_atomically(html_dir / "leaderboard.html", page)
        more = '<p><a href="leaderboard.html">Leaderboard and verdicts</a></p>'
    page = leaderboard.html("The course", f"<table>{rows}</table>{more}")
    results.write_atomically(html_dir / "index.html", page)


def _write_html(notebook: Any, path: Path) -> None:
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(notebook)
    results.write_atomically(path, page)
