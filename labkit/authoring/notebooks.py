"""Build the lessons: notebooks with outputs, made from ``notebooks/src`` and never edited by hand.

Knows: which notebooks are stale, how one is built and stamped, and what is wrong with a built one.
Does not know: how sources are cut, cells are run or anatomy is judged (``source``, ``outputs``,
``rules``).
Used by ``make notebooks`` and ``make course`` (``python -m labkit.authoring.notebooks --help``).
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

import labkit
from labkit import results, settings
from labkit.authoring import course, outputs, rules
from labkit.authoring.source import VARIANTS, Lesson, Variant, code_cells, convert, lessons
from labkit.classroom import doctor

MAX_BYTES = 1_000_000
_UNTOUCHED = "not attempted yet"


def build_lesson(lesson: Lesson, variant: Variant) -> Path:
    """Convert, run, clean and write one notebook; nothing is written when something is wrong.

    Returns
    -------
    Path
        The notebook that was written, in one step, so that a reader never sees half of it.

    Raises
    ------
    CellError, KernelError
        If a cell fails or the kernel dies.
    ValueError
        If the outputs may not be saved; the message lists why.
    """
    notebook = convert(lesson, variant)
    outputs.execute(notebook, lesson.root / "notebooks")
    return _save(notebook, lesson, variant)


def reword(lesson: Lesson, variant: Variant) -> bool:
    """Write new prose around the old outputs if no code has changed since; tell whether it was so.

    Raises
    ------
    ValueError
        If the outputs may not be saved; the message lists why.
    """
    if not lesson.built(variant).is_file():
        return False
    built, notebook = _read(lesson.built(variant)), convert(lesson, variant)
    ran, cells = code_cells(built), code_cells(notebook)
    same_code = [cell.source for cell in ran] == [cell.source for cell in cells]
    same_way = built.metadata.get("labkit", {}) | {"source_sha256": ""} == _stamp("")
    if not (same_code and same_way) or any(_run_faults(built)):
        return False
    for cell, old in zip(cells, ran, strict=True):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    _save(notebook, lesson, variant)
    return True


def _stamp(source_sha256: str) -> dict[str, str]:
    return {"source_sha256": source_sha256, "mode": "full", "labkit_version": labkit.__version__}


def _save(notebook: Any, lesson: Lesson, variant: Variant) -> Path:
    outputs.clean(notebook)
    notebook.metadata["labkit"] = _stamp(lesson.source_sha256())
    path = lesson.built(variant)
    if faults := content_faults(notebook, variant):
        raise ValueError(f"{path.name} ({variant}) was not written:\n  " + "\n  ".join(faults))
    nbformat.validate(notebook)
    results.write_atomically(path, _text(notebook))
    return path


def is_stale(lesson: Lesson, variant: Variant) -> bool:
    """Tell whether a notebook is missing or differs from its source."""
    path = lesson.built(variant)
    return not path.is_file() or any(_source_faults(_read(path), lesson, variant))


def problems(lesson: Lesson, variant: Variant) -> list[str]:
    """Name what is wrong with a built notebook, without running it.

    Stale or hand-edited cells, cells that were not run or not in order, outputs that may not be
    saved, size, the lengths of cells, and for students' versions the lesson's anatomy.

    Returns
    -------
    list of str
        One sentence a finding; empty when the notebook may be committed.
    """
    path = lesson.built(variant)
    if not path.is_file():
        return [f"{path.name} ({variant}) is not built; run `make notebooks`."]
    notebook = _read(path)
    found = [*_source_faults(notebook, lesson, variant), *_run_faults(notebook)]
    found += content_faults(notebook, variant) + rules.cell_faults(notebook)
    if variant == "student":
        found += rules.anatomy_faults(notebook, name=lesson.name)
    return found


def _source_faults(notebook: Any, lesson: Lesson, variant: Variant) -> Iterator[str]:
    if notebook.metadata.get("labkit", {}).get("source_sha256") != lesson.source_sha256():
        yield "The source changed after this build; run `make notebooks`."
        return
    expected = convert(lesson, variant)
    expected.metadata["labkit"] = notebook.metadata["labkit"]
    for cell, built in zip(code_cells(expected), code_cells(notebook), strict=False):
        cell.outputs, cell.execution_count = built.outputs, built.execution_count
    if expected != notebook:
        yield "This is not what the source says: edit notebooks/src, then `make notebooks`."


def _run_faults(notebook: Any) -> Iterator[str]:
    code = code_cells(notebook)
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "The cells were not all run in order from the first; run `make notebooks`."
    if not any(cell.outputs for cell in code):
        yield "No cell has an output; run `make notebooks`."


def content_faults(notebook: Any, variant: Variant) -> list[str]:
    """Name what may not be saved: dirt, students' exercises that are solved, solutions that fail.

    Returns
    -------
    list of str
        One sentence a finding.
    """
    found = outputs.dirt(notebook)
    for number, cell in rules.check_calls(notebook):
        said = "".join(t for output in cell.outputs for t in outputs.texts(output))
        if variant == "student" and _UNTOUCHED not in said:
            found.append(f"Cell {number}: the untouched exercise does not say {_UNTOUCHED!r}.")
        if variant == "solutions" and "✓" not in said:
            found.append(f"Cell {number}: the solution does not pass its check: {said.strip()!r}.")
    if (size := len(_text(notebook).encode())) > MAX_BYTES:
        found.append(f"The notebook has {size:,} bytes; at most {MAX_BYTES:,} are allowed.")
    return found


def _read(path: Path) -> Any:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def _text(notebook: Any) -> str:
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def _build(chosen: list[Lesson], *, again: bool) -> int:
    failed = False
    for lesson, variant in ((x, v) for x in chosen for v in VARIANTS):
        label = f"{lesson.name} ({variant})"
        start = time.perf_counter()
        try:
            if not again and not is_stale(lesson, variant):
                print(f"{label}: up to date")
            elif not again and reword(lesson, variant):
                print(f"{label}: only prose has changed; outputs kept")
            else:
                build_lesson(lesson, variant)
                wall_s = time.perf_counter() - start
                print(f"{label}: built in {wall_s:.1f} s", flush=True)
                if variant == "student":
                    folder = lesson.root / "data" / "results"
                    doctor.record_lesson_time(lesson.name, wall_s, folder=folder)
        except (outputs.CellError, ValueError) as error:
            failed = True
            print(f"{label}: FAILED\n{error}", file=sys.stderr)
        except (outputs.KernelError, KeyboardInterrupt) as error:  # it would meet the others too
            print(f"{label}: {error} The lessons after it were not built.", file=sys.stderr)
            return 1
    return int(failed)


def main(arguments: list[str] | None = None) -> int:
    """Run the builder's command line; return 0, 1 (the work failed) or 2 (bad usage)."""
    parser = argparse.ArgumentParser(prog="labkit.authoring.notebooks", description=__doc__)
    what = "build the notebooks whose source changed; run lessons and write pages to build/html"
    parser.add_argument("command", choices=("build", "course"), help=what)
    parser.add_argument("lesson", nargs="*", help="a lesson's number or name; default: all")
    again = "build or run what is up to date, too"
    parser.add_argument("--force", "--again", dest="again", action="store_true", help=again)
    options = parser.parse_intermixed_args(arguments)
    root, names = settings.course_dir(), tuple(options.lesson)
    every = lessons(root)
    for name in names:
        if not any(lesson.name.startswith(name) for lesson in every):
            known = ", ".join(lesson.name for lesson in every) or "none yet"
            parser.error(f"No lesson starts with {name!r}; there are: {known}.")
    chosen = [lesson for lesson in every if lesson.name.startswith(names or "")]
    if options.command == "build":
        return _build(chosen, again=options.again)
    return course.run(chosen, root / "build" / "html", again=options.again)


if __name__ == "__main__":
    sys.exit(main())
