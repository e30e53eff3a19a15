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

import nbformat
from nbconvert import HTMLExporter

from labkit import results
from labkit.authoring import outputs
from labkit.authoring.source import Lesson, convert
from labkit.claims import leaderboard, verdicts
from labkit.hardware import GIB

PEAK_CELL = "from labkit.measure import peak_rss_bytes\n\nprint(peak_rss_bytes())"
_LEFT_OUT = re.compile(r".*\b(?:skipped|not (?:measured|recorded) yet|not tried)\b.*", re.I)


@dataclass(frozen=True)
class LessonRun:
    """One lesson's run: seconds, the kernel's peak bytes, the failing cell's message, if any.

    ``left_out`` holds lines in which the lesson itself says what it did not do; ``stamp`` changes
    with the lesson's source and with labkit's; ``earlier`` marks a run that was kept.
    """

    name: str
    stamp: str
    wall_s: float
    date: str
    peak_bytes: int | None = None
    error: str | None = None
    left_out: Sequence[str] = ()
    earlier: bool = False

    def __str__(self) -> str:
        """Show time, peak and how it went in one line."""
        peak = f"{self.peak_bytes / GIB:.1f} GiB" if self.peak_bytes else "–"
        return f"{self.wall_s:>7.1f} s  {peak:>9}  {self.outcome}"

    @property
    def outcome(self) -> str:
        """How it went, in a word or two."""
        if self.error:
            return "failed"
        return f"finished earlier ({self.date})" if self.earlier else "ran"


def run(chosen: list[Lesson], html_dir: Path, *, again: bool = False) -> int:
    """Run the lessons in full mode, print a summary and write one HTML page each.

    A lesson that fails, or whose kernel dies, does not stop the others. Ctrl-C does: the same
    command goes on then, since finished lessons whose stamp is unchanged are not run again.

    Parameters
    ----------
    chosen
        Which lessons, in order.
    html_dir
        Where the pages go, each beside a note of how its lesson went.
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
    runs: list[LessonRun] = []
    for number, lesson in enumerate(chosen, 1):
        print(f"[{number} of {len(chosen)}] {lesson.name} …", end=" ", flush=True)
        try:
            finished = None if again else _finished(lesson, html_dir)
            runs.append(finished or _run_lesson(lesson, html_dir))
        except KeyboardInterrupt:
            print("stopped")
            break
        print(runs[-1].outcome, flush=True)
    print("\n" + summary(runs, chosen))
    _write_index(runs, html_dir)
    print(f"\nPages to read: {html_dir / 'index.html'}")
    if len(runs) < len(chosen):
        print("Stopped. Run the same command again to go on.")
        return 1
    return int(any(one.error for one in runs))


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
    lines += [f"{one.name:<{width}}  {one}" for one in runs]
    total = sum(one.wall_s for one in runs if not one.earlier)
    lines.append(f"{'this run':<{width}}  {total:>7.1f} s")
    lines += [f"\n{one.name}:\n{one.error}" for one in runs if one.error]
    unchanged = "unchanged since it finished; --again runs it"
    skipped = [f"  {one.name}: {unchanged}" for one in runs if one.earlier]
    skipped += [f"  {one.name}: {line}" for one in runs for line in one.left_out]
    skipped += [f"  {lesson.name}: the run was stopped" for lesson in chosen[len(runs) :]]
    lines += ["\nSkipped, and why:", *skipped] if skipped else []
    recorded = results.leaderboard()
    lines += ["\nRecorded exam scores (python -m labkit leaderboard):"] if recorded else []
    for run in recorded:
        share = leaderboard.share_text(run["figures"]["exact_match"])
        lines.append(f"  {leaderboard.name_of(run)}: {share} %")
    return "\n".join(lines)


def _run_lesson(lesson: Lesson, html_dir: Path) -> LessonRun:
    notebook = convert(lesson, "student")
    notebook.cells.append(nbformat.v4.new_code_cell(PEAK_CELL))
    start, error = time.perf_counter(), None
    try:
        outputs.execute(notebook, lesson.root / "notebooks")
    except (outputs.CellError, outputs.KernelError) as failure:
        error = str(failure)
    wall_s = time.perf_counter() - start
    measured = notebook.cells.pop()
    outputs.clean(notebook)
    page = HTMLExporter().from_notebook_node(notebook)[0]
    results.write_atomically(html_dir / f"{lesson.name}.html", page)
    run = LessonRun(
        name=lesson.name,
        stamp=stamp(lesson),
        wall_s=wall_s,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        peak_bytes=None if error else int(measured.outputs[0].text),
        error=error,
        left_out=_left_out(notebook),
    )
    results.write_atomically(html_dir / f"{lesson.name}.json", json.dumps(asdict(run)))
    return run


def _left_out(notebook: Any) -> list[str]:
    """Return the first three printed lines in which a lesson says what it did not do."""
    streams = (o.text for c in notebook.cells for o in c.get("outputs", []) if "text" in o)
    found = dict.fromkeys(line.strip() for text in streams for line in _LEFT_OUT.findall(text))
    return list(found)[:3]


def _finished(lesson: Lesson, html_dir: Path) -> LessonRun | None:
    """Return an earlier run without a fault, if nothing has changed since and its page is there."""
    note = html_dir / f"{lesson.name}.json"
    try:
        run = LessonRun(**json.loads(note.read_text(encoding="utf-8")) | {"earlier": True})
    except (OSError, ValueError, TypeError):
        return None
    unchanged = run.stamp == stamp(lesson) and note.with_suffix(".html").is_file()
    return run if unchanged and not run.error else None


def _write_index(runs: Sequence[LessonRun], html_dir: Path) -> None:
    """Write the page that leads to all others, and the leaderboard's."""
    rows = "".join(
        f'<tr><td><a href="{escape(one.name)}.html">{escape(one.name)}</a></td>'
        f"<td><pre>{escape(str(one))}</pre></td></tr>"
        for one in runs
    )
    more = ""
    if recorded := results.leaderboard():
        page = leaderboard.page(recorded, verdicts.judge_all(verdicts.load_records()))
        results.write_atomically(html_dir / "leaderboard.html", page)
        more = '<p><a href="leaderboard.html">Leaderboard and verdicts</a></p>'
    page = leaderboard.html("The course", f"<table>{rows}</table>{more}")
    results.write_atomically(html_dir / "index.html", page)
