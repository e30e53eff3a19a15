"""The anatomy of a lesson, as rules that a test can hold a notebook against.

Knows: which parts a lesson has (question, abilities, setup, predictions, exercises, recap, claims),
how long cells may be, how many there are, and how many modules of labkit they may import. Every
finding is one sentence.
Does not know: whether the notebook is up to date or its outputs are clean (``notebooks``,
``outputs``), nor whether what it says is true.
Used by ``notebooks``; no lesson calls it.
"""

import ast
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from statistics import median
from typing import Any

import labkit
from labkit.authoring.source import code_cells, tags

MAX_CODE_LINES = 25
MAX_MEDIAN_CODE_LINES = 6
MAX_PROSE_WORDS = 80
CODE_CELLS = (25, 45)
SHORT_LESSONS = {"00_start_here": (12, 45)}
MARKDOWN_PER_CODE = (0.8, 1.6)
SECTIONS = (4, 7)
EXERCISES = (2, 4)
ABILITIES = (3, 5)
MAX_RECAP_POINTS = 5
MAX_MODULES = 12
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+\.) ", re.M)
_SHELL = re.compile(r"^\s*(?:!|%\w|%%\w|\?\w)", re.M)
_EXERCISE = re.compile(r"^#{2,3} Exercise\b.*$", re.M)
_CHECK = re.compile(r"^check\.\w+\(", re.M)
_TABLE = re.compile(r"^\|.*\|\s*$", re.M)


def cell_faults(notebook: Any) -> list[str]:
    """Judge every cell by itself: its length, and that it is plain Python.

    These rules hold for the students' and the solutions' version.
    """
    faults = []
    front = _front(notebook)
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            found = _code_faults(cell)
        else:
            found = _prose_faults(cell, front_matter=number <= len(front))
        faults += [f"Cell {number} {fault}" for fault in found]
    return faults


def anatomy_faults(notebook: Any, *, name: str) -> list[str]:
    """Judge the lesson as a whole: its parts, their order and their number.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        The students' version.
    name : str
        The lesson's name; a few lessons are allowed to be short.

    Returns
    -------
    list of str
        One sentence a finding.
    """
    parts = (_front_faults, _section_faults, _exercise_faults, _closing_faults, _import_faults)
    return [*_size_faults(notebook, name=name), *(f for part in parts for f in part(notebook))]


def count_words(markdown: str, *, front_matter: bool = False) -> int:
    """Count the words a reader reads as prose.

    Tables, code, folded ``<details>``, pictures and addresses do not count; in the front matter
    (before the setup cell) lists do not count either.
    """
    text = re.sub(r"<details>.*?</details>|<!--.*?-->|```.*?```", " ", markdown, flags=re.S)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", " ", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<[^>]+>", " ", text)
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("|", "#"))]
    if front_matter:
        lines = [line for line in lines if not _BULLET.match(line)]
    return sum(any(c.isalnum() for c in word) for word in " ".join(lines).split())


def check_calls(notebook: Any) -> list[tuple[int, Any]]:
    """Return number and cell of everything that checks an exercise."""
    calls = ((n, c) for n, c in enumerate(notebook.cells, 1) if _CHECK.search(c.source))
    return [(number, cell) for number, cell in calls if cell.cell_type == "code"]


def count_code_lines(source: str) -> int:
    """Count the lines of a code cell that are not blank."""
    return sum(bool(line.strip()) for line in source.splitlines())


def imported_modules(notebook: Any) -> set[str]:
    """Return the modules of labkit that a lesson imports; the setup cell's own does not count.

    ``from labkit import rag, store`` are two modules, ``from labkit.store import open_store`` one.
    """
    code = [c for c in notebook.cells if c.cell_type == "code" and "setup" not in tags(c)]
    names: set[str] = set()
    for cell in code:
        plain = "" if _SHELL.search(cell.source) else cell.source
        for node in ast.walk(ast.parse(plain)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {_module(name) for name in names if name.split(".")[0] == "labkit"}


def _module(name: str) -> str:
    """Return a name if it is a module's, else the module that holds it."""
    place = Path(labkit.__file__).parents[1].joinpath(*name.split("."))
    is_module = place.is_dir() or place.with_suffix(".py").is_file()
    return name if is_module else name.rpartition(".")[0]


def _code_faults(cell: Any) -> Iterator[str]:
    lines = count_code_lines(cell.source)
    if lines > MAX_CODE_LINES:
        yield f"has {lines} lines of code; at most {MAX_CODE_LINES} fit."
    if _SHELL.search(cell.source):
        yield "holds a shell line or a magic; write plain Python."


def _prose_faults(cell: Any, *, front_matter: bool) -> Iterator[str]:
    words = count_words(cell.source, front_matter=front_matter)
    if words > MAX_PROSE_WORDS:
        yield f"has {words} words of prose; at most {MAX_PROSE_WORDS} fit."


def _front(notebook: Any) -> list[Any]:
    """Return the cells before the setup cell."""
    return list(takewhile(lambda cell: "setup" not in tags(cell), notebook.cells))


def _prose(cells: list[Any]) -> str:
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def _section(notebook: Any, title: str) -> str | None:
    """Return the text under the heading that starts with `title`, up to the next heading."""
    pattern = rf"^#{{2,3}} {title}\b[^\n]*\n(.*?)(?=^#{{1,3}} |\Z)"
    match = re.search(pattern, _prose(notebook.cells), flags=re.S | re.M | re.I)
    return match.group(1) if match else None


def _count_faults(count: float, what: str, allowed: tuple[float, float]) -> Iterator[str]:
    low, high = allowed
    if not low <= count <= high:
        yield f"The lesson has {count:.3g} {what}; {low} to {high} are asked for."


def _size_faults(notebook: Any, *, name: str) -> Iterator[str]:
    code = code_cells(notebook)
    n_markdown = sum(cell.cell_type == "markdown" for cell in notebook.cells)
    yield from _count_faults(len(code), "code cells", SHORT_LESSONS.get(name, CODE_CELLS))
    if not code:
        return
    middle = median(count_code_lines(cell.source) for cell in code)
    if middle > MAX_MEDIAN_CODE_LINES:
        yield f"The median code cell has {middle:g} lines; at most {MAX_MEDIAN_CODE_LINES}."
    yield from _count_faults(
        n_markdown / len(code), "Markdown cells a code cell", MARKDOWN_PER_CODE
    )


def _front_faults(notebook: Any) -> Iterator[str]:
    front = _front(notebook)
    first, prose = (front[0].source if front else ""), _prose(front)
    if not first.startswith("# ") or "?" not in first:
        yield "The first cell is not a `# Title` with the one question the lesson answers."
    if "colab-badge.svg" not in first:
        yield "The first cell has no Colab badge; write {{colab_badge}} under the title."
    if any(cell.cell_type == "code" for cell in front):
        yield "A code cell stands before the setup cell."
    after = re.split(r"You will be able to", prose, maxsplit=1, flags=re.I)
    following = after[1].strip("*: \n").split("\n\n")[0] if len(after) == 2 else ""
    points = len(_BULLET.findall("\n" + following))
    yield from _count_faults(points, "points below 'You will be able to'", ABILITIES)
    if not _TABLE.search(prose):
        yield "No table of reading time, run time, RAM, VRAM and download before the setup cell."


def _section_faults(notebook: Any) -> Iterator[str]:
    prose = _prose(notebook.cells)
    predict, explain = (len(re.findall(rf"\*\*{w}\b", prose)) for w in ("Predict", "Explain"))
    yield from _count_faults(predict, "passages that start with **Predict.**", SECTIONS)
    if explain != predict:
        yield f"{predict} passages **Predict**, {explain} **Explain**."


def _exercise_faults(notebook: Any) -> Iterator[str]:
    prose = _prose(notebook.cells)
    headers = _EXERCISE.findall(prose)
    yield from _count_faults(len(headers), "exercises", EXERCISES)
    for header in headers:
        body = prose.split(header, 1)[1].split("\n#", 1)[0]
        if "minute" not in header + body:
            yield f"'{header}' does not say its difficulty, minutes and goal."
        if "<details>" not in body:
            yield f"'{header}' has no hint in <details>."
    n_stubs = sum("stub" in tags(cell) for cell in code_cells(notebook))
    n_checks = len(check_calls(notebook))
    if len(headers) != n_stubs or len(headers) != n_checks:
        yield (
            f"{len(headers)} exercises, but {n_stubs} stubs and {n_checks} cells "
            "that call check.…(…)."
        )


def _closing_faults(notebook: Any) -> Iterator[str]:
    recap = _section(notebook, "Recap")
    if recap is None or not 1 <= len(_BULLET.findall(recap)) <= MAX_RECAP_POINTS:
        yield f"There is no '## Recap' with at most {MAX_RECAP_POINTS} points."
    for title in ("What this does not show", "Next"):
        if _section(notebook, title) is None:
            yield f"There is no '## {title}'."
    claims = _section(notebook, "Claims")
    if claims is None or not _TABLE.search(claims):
        yield "There is no '## Claims' with a table."


def _import_faults(notebook: Any) -> Iterator[str]:
    modules = imported_modules(notebook)
    if len(modules) > MAX_MODULES:
        told = ", ".join(sorted(modules))
        yield f"The lesson imports {len(modules)} modules of labkit; at most {MAX_MODULES}: {told}."
