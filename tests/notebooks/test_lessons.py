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
    if faults := notebooks.content_faults(notebook, variant):
        pytest.fail("\n".join(faults), pytrace=False)


@pytest.mark.parametrize(("lesson", "variant"), LESSONS)
def test_committed_notebook_has_no_problems(lesson: Lesson, variant: Variant) -> None:
    found = notebooks.problems(lesson, variant)
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_every_notebook_has_a_source() -> None:
    there = {*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/solutions/*.ipynb")}
    assert there == {lesson.built(variant) for lesson in lessons(ROOT) for variant in VARIANTS}
