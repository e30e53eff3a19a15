"""Build the lessons: notebooks with outputs, made from ``notebooks/src`` and never edited by hand.

Knows: which notebooks are stale, how one is built and stamped, and what is wrong with a built one.
Does not know: how sources are cut, cells are run or anatomy is judged (``source``, ``outputs``,
``rules``).
Used by ``make notebooks`` and ``make course`` (``python -m labkit.authoring.notebooks --help``).
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import labkit
from labkit import doctor, settings
from labkit.authoring import outputs, rules
from labkit.authoring.source import VARIANTS, Lesson, Variant, convert, lessons, locate

MAX_BYTES = 1_000_000
_UNTOUCHED = "not attempted yet"


def build_lesson(lesson: Lesson, variant: Variant, *, fast: bool = False) -> Path:
    """Convert, run, clean and write one notebook; nothing is written when something is wrong.

    Parameters
    ----------
    lesson : Lesson
        Which lesson.
    variant : {"student", "solutions"}
        Which version.
    fast : bool
        Build with ``LABKIT_FAST=1``. Quick to try; a fast build must not be committed.

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
    outputs.execute(notebook, lesson.root / "notebooks", fast=fast)
    return _save(notebook, lesson, variant, mode="fast" if fast else "full")


def reword(lesson: Lesson, variant: Variant) -> bool:
    """Write new prose around the old outputs if no code has changed since; tell whether it was so.

    Raises
    ------
    ValueError
        If the outputs may not be saved; the message lists why.
    """
    path = lesson.built(variant)
    if not path.is_file():
        return False
    built, notebook = _read(path), convert(lesson, variant)
    stamp = built.metadata.get("labkit", {})
    ran, cells = ([c for c in n.cells if c.cell_type == "code"] for n in (built, notebook))
    same_code = [cell.source for cell in ran] == [cell.source for cell in cells]
    same_labkit = stamp.get("labkit_version") == labkit.__version__
    if not (same_code and same_labkit and stamp.get("mode") == "full") or any(_run_faults(built)):
        return False
    for cell, old in zip(cells, ran, strict=True):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    _save(notebook, lesson, variant, mode="full")
    return True


def _save(notebook: Any, lesson: Lesson, variant: Variant, *, mode: str) -> Path:
    notebook.metadata["labkit"] = {
        "source_sha256": lesson.source_sha256(),
        "mode": mode,
        "labkit_version": labkit.__version__,
    }
    outputs.clean(notebook)
    path = lesson.built(variant)
    faults = [*outputs.dirt(notebook), *check_faults(notebook, variant)]
    if faults:
        raise ValueError(f"{path.name} ({variant}) was not written:\n  " + "\n  ".join(faults))
    _write(notebook, path)
    return path


def is_stale(lesson: Lesson, variant: Variant, *, fast: bool = False) -> bool:
    """Tell whether a notebook is missing, differs from its source, or is fast where full is due."""
    path = lesson.built(variant)
    if not path.is_file():
        return True
    notebook = _read(path)
    mode = notebook.metadata.get("labkit", {}).get("mode")
    return any(_stamp_faults(notebook, lesson, variant)) or (mode != "full" and not fast)


def problems(path: Path) -> list[str]:
    """Name what is wrong with a built notebook, without running it.

    Stale or hand-edited cells, fast builds, cells that were not run or not in order, outputs that
    may not be saved, size, the lengths of cells, and for students' versions the lesson's anatomy.

    Returns
    -------
    list of str
        One sentence a finding; empty when the notebook may be committed.
    """
    lesson, variant = locate(path)
    if not lesson.source.is_file():
        return [f"There is no source notebooks/src/{lesson.name}.py; delete this notebook."]
    if not path.is_file():
        return [f"{path.name} ({variant}) is not built; run `make notebooks`."]
    notebook = _read(path)
    found = [*_stamp_faults(notebook, lesson, variant), *_run_faults(notebook)]
    if notebook.metadata.get("labkit", {}).get("mode") != "full":
        found.append("This is not a full build; run `make notebooks`.")
    if (size := path.stat().st_size) > MAX_BYTES:
        found.append(f"The notebook has {size:,} bytes; at most {MAX_BYTES:,} are allowed.")
    found += outputs.dirt(notebook)
    found += check_faults(notebook, variant)
    found += rules.cell_faults(notebook)
    if variant == "student":
        found += rules.anatomy_faults(notebook, name=lesson.name)
    return found


def _stamp_faults(notebook: Any, lesson: Lesson, variant: Variant) -> Iterator[str]:
    stamp = notebook.metadata.get("labkit", {})
    if stamp.get("source_sha256") != lesson.source_sha256():
        yield "The source changed after this build; run `make notebooks`."
        return
    expected = convert(lesson, variant).cells
    if [cell.source for cell in expected] != [cell.source for cell in notebook.cells]:
        yield "The cells are not those of the source: edit notebooks/src, then `make notebooks`."
    elif [cell.id for cell in expected] != [cell.get("id") for cell in notebook.cells]:
        yield "The cell ids are not the builder's; run `make notebooks`."


def _run_faults(notebook: Any) -> Iterator[str]:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "The cells were not all run in order from the first; run `make notebooks`."
    if not any(cell.outputs for cell in code):
        yield "No cell has an output; run `make notebooks`."
    if any("execution" in cell.metadata for cell in code):
        yield "Cells carry execution times, which differ at every build."


def check_faults(notebook: Any, variant: Variant) -> Iterator[str]:
    """Require that students' exercises are untouched and that the solutions pass."""
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code" or not re.search(r"^check\.\w+\(", cell.source, re.M):
            continue
        said = "".join(t for output in cell.outputs for t in outputs.texts(output))
        if variant == "student" and _UNTOUCHED not in said:
            yield f"Cell {number}: the untouched exercise does not say {_UNTOUCHED!r}."
        if variant == "solutions" and "✓" not in said:
            yield f"Cell {number}: the solution does not pass its check: {said.strip()!r}."


def _read(path: Path) -> Any:
    import nbformat

    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def _write(notebook: Any, path: Path) -> None:
    import nbformat

    nbformat.validate(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        text = nbformat.writes(notebook).rstrip("\n") + "\n"
        draft.write_text(text, encoding="utf-8", newline="\n")
        if draft.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.name} would have {draft.stat().st_size:,} bytes; draw less.")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _chosen(root: Path, names: list[str]) -> list[Lesson]:
    every = lessons(root)
    for name in names:
        if not any(lesson.name.startswith(name) for lesson in every):
            known = ", ".join(lesson.name for lesson in every) or "none yet"
            raise ValueError(f"No lesson starts with {name!r}; there are: {known}.")
    return [x for x in every if not names or any(x.name.startswith(name) for name in names)]


def _build(chosen: list[Lesson], *, fast: bool, force: bool) -> int:
    failed = 0
    for lesson, variant in ((x, v) for x in chosen for v in VARIANTS):
        label = f"{lesson.name} ({variant})"
        start = time.perf_counter()
        try:
            if not force and not is_stale(lesson, variant, fast=fast):
                print(f"{label}: up to date")
            elif not force and reword(lesson, variant):
                print(f"{label}: only prose has changed; outputs kept")
            else:
                build_lesson(lesson, variant, fast=fast)
                wall_s = time.perf_counter() - start
                print(f"{label}: built in {wall_s:.1f} s", flush=True)
                if variant == "student" and not fast:
                    folder = lesson.root / "data" / "results"
                    doctor.record_lesson_time(lesson.name, wall_s, folder=folder)
        except (outputs.CellError, ValueError) as error:
            failed += 1
            print(f"{label}: FAILED\n{error}", file=sys.stderr)
        except outputs.KernelError as error:  # Ctrl-C means all of them
            print(f"{label}: {error} The lessons after it were not built.", file=sys.stderr)
            return 1
    return 1 if failed else 0


def _check(chosen: list[Lesson]) -> int:
    paths = [lesson.built(variant) for lesson in chosen for variant in VARIANTS]
    found = {path: problems(path) for path in paths}
    for path, sentences in found.items():
        print(f"{path.relative_to(path.parents[1])}: {len(sentences) or 'no'} problems")
        print("".join(f"  {sentence}\n" for sentence in sentences), end="")
    return 1 if any(found.values()) else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the builder's command line; return 0, 1 (the work failed) or 2 (bad usage)."""
    parser = argparse.ArgumentParser(prog="labkit.authoring.notebooks", description=__doc__)
    parser.add_argument(
        "command",
        choices=("build", "check", "course"),
        help="build the notebooks whose source changed; check the built ones without running "
        "them; run every lesson of the course and write pages to build/html",
    )
    parser.add_argument("lesson", nargs="*", help="a lesson's number or name; default: all")
    parser.add_argument("--fast", action="store_true", help="build with LABKIT_FAST=1")
    parser.add_argument("--force", action="store_true", help="build fresh ones, too")
    parser.add_argument("--again", action="store_true", help="course: run finished ones, too")
    options = parser.parse_args(arguments)
    root = settings.course_dir()
    try:
        chosen = _chosen(root, options.lesson)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if options.command == "build":
        return _build(chosen, fast=options.fast, force=options.force)
    if options.command == "check":
        return _check(chosen)
    from labkit.authoring import course

    return course.run(chosen, root / "build" / "html", again=options.again)


if __name__ == "__main__":
    sys.exit(main())
