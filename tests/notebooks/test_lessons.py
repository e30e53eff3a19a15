"""Every lesson runs from the first to the last cell, and what is committed is fit to be read."""

from pathlib import Path

import pytest

from labkit.authoring import notebooks, outputs
from labkit.authoring.source import VARIANTS, Lesson, Variant, convert, lessons

ROOT = Path(__file__).resolve().parents[2]
LESSONS = [
    pytest.param(lesson, variant, id=f"{lesson.name}-{variant}")
    for lesson in lessons(ROOT)
    for variant in VARIANTS
]
COMMITTED = sorted(
    {lesson.built(variant) for lesson in lessons(ROOT) for variant in VARIANTS}
    | set((ROOT / "notebooks").glob("*.ipynb"))
    | set((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
)


@pytest.mark.long
@pytest.mark.parametrize(("lesson", "variant"), LESSONS)
def test_lesson_runs_in_fast_mode(lesson: Lesson, variant: Variant, tmp_path: Path) -> None:
    notebook = convert(lesson, variant)
    failure = None
    try:
        outputs.execute(notebook, tmp_path, fast=True, timeout_s=600)
    except (outputs.CellError, outputs.KernelError) as error:
        failure = str(error)
    if failure:  # outside the handler: the report shows the cell and its error, not this test
        pytest.fail(failure, pytrace=False)
    outputs.clean(notebook)
    faults = [*outputs.dirt(notebook), *notebooks.check_faults(notebook, variant)]
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_committed_notebook_has_no_problems(path: Path) -> None:
    found = notebooks.problems(path)
    if found:
        pytest.fail("\n".join(found), pytrace=False)
