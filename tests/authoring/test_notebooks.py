"""The builder on a tiny made-up lesson: what it writes, and which faults it finds."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pytest

from labkit.authoring import notebooks, outputs, rules
from labkit.authoring.source import SETUP_CELL, Lesson, convert, lessons

ROOT = Path(__file__).resolve().parents[2]
HEAD = """\
# %% [markdown]
# # A toy lesson
# {{colab_badge}}
#
# **Does twice two make four?**

# %% [markdown]
# You will be able to
#
# - add
# - double
# - check
#
# | run time | RAM |
# |---|---|
# | not measured | not measured |

# %% tags=["setup"]
# The builder fills this in.

# %%
import sys
"""
SECTION = """
# %% [markdown]
# ## Section {n}
# **Predict.** What is twice {n}?

# %%
print("twice {n} is", 2 * {n})

# %%
value = {n}

# %%
value + 1

# %% [markdown]
# **Explain.** It is what you said.

# %%
value + 2

# %% [markdown]
# A word more.
"""
EXERCISE = """
# %% [markdown]
# ### Exercise {n} (easy, 5 minutes): double a number
# <details><summary>Hint</summary> Add it to itself. </details>

# %% tags=["stub"]
def double(x):
    raise NotImplementedError

# %% tags=["solution"]
def double(x):
    return 2 * x

# %%
class check:
    def double(fn):
        try:
            print("✓ double" if fn(2) == 4 else "✗ double")
        except NotImplementedError:
            print("· double: not attempted yet.")

check.double(double)
"""
TAIL = """
# %% [markdown]
# ## Recap
# - Doubling works.

# %% [markdown]
# ## What this does not show
# Anything else.

# %% [markdown]
# ## Next
# Nothing.

# %% [markdown]
# ## Claims
# | claim | measured |
# |---|---|
# | 2 + 2 = 4 | 4 |
"""
SOURCE = (
    HEAD
    + "".join(SECTION.format(n=n) for n in range(1, 6))
    + "".join(EXERCISE.format(n=n) for n in (1, 2))
    + TAIL
)


def make(root: Path, source: str = SOURCE, name: str = "90_toy") -> Lesson:
    """Write a course of one lesson, with a labkit that installs nothing."""
    (root / "notebooks" / "src").mkdir(parents=True, exist_ok=True)
    (root / "labkit").mkdir(exist_ok=True)
    (root / "labkit" / "__init__.py").write_text("")
    (root / "labkit" / "bootstrap.py").write_text("def install_missing(): ...\n")
    lesson = Lesson(root=root, name=name)
    lesson.source.write_text(source)
    return lesson


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    lesson = make(tmp_path_factory.mktemp("course"))
    notebooks.build_lesson(lesson, "student")
    notebooks.build_lesson(lesson, "solutions")
    return lesson


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def test_built_notebooks_have_no_problems(built: Lesson) -> None:
    assert notebooks.problems(built, "student") == []
    assert notebooks.problems(built, "solutions") == []


def test_student_gets_stubs_and_solutions_get_solutions(built: Lesson) -> None:
    student = built.built("student").read_text()
    solved = built.built("solutions").read_text()
    assert "raise NotImplementedError" in student and "return 2 * x" not in student
    assert "raise NotImplementedError" not in solved and "return 2 * x" in solved
    assert "not attempted yet" in student and "✓ double" in solved


def test_setup_cell_and_badge_are_filled_in(built: Lesson) -> None:
    cells = read(built.built("solutions")).cells
    assert SETUP_CELL in [cell.source for cell in cells]
    assert "blob/main/notebooks/solutions/90_toy.ipynb)" in cells[0].source
    assert "{{colab_badge}}" not in cells[0].source


def test_notebook_is_valid_and_stamped(built: Lesson) -> None:
    notebook = read(built.built("student"))
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.labkit.mode == "full"
    assert re.fullmatch("[0-9a-f]{64}", notebook.metadata.labkit.source_sha256)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "version" not in notebook.metadata.language_info


def test_second_build_is_the_same_to_the_byte(built: Lesson) -> None:
    before = built.built("student").read_bytes()
    notebooks.build_lesson(built, "student")
    assert built.built("student").read_bytes() == before


def test_only_changed_sources_are_stale(tmp_path: Path) -> None:
    lesson = make(tmp_path)
    assert notebooks.is_stale(lesson, "student")
    notebooks.build_lesson(lesson, "student")
    assert not notebooks.is_stale(lesson, "student")
    lesson.source.write_bytes(lesson.source.read_bytes().replace(b"\n", b"\r\n"))
    assert not notebooks.is_stale(lesson, "student")
    lesson.source.write_text(SOURCE + "\n# %%\n1 + 1\n")
    assert notebooks.is_stale(lesson, "student")


def test_new_prose_keeps_the_outputs_and_new_code_does_not(tmp_path: Path) -> None:
    lesson = make(tmp_path)
    notebooks.build_lesson(lesson, "student")
    lesson.source.write_text(
        lesson.source.read_text("utf-8").replace("A word more.", "Two more words.")
    )
    assert notebooks.is_stale(lesson, "student") and notebooks.reword(lesson, "student")
    assert not notebooks.is_stale(lesson, "student")
    assert not notebooks.problems(lesson, "student")
    assert "Two more words." in lesson.built("student").read_text("utf-8")
    lesson.source.write_text(lesson.source.read_text("utf-8").replace("value + 2", "value + 3"))
    before = lesson.built("student").read_bytes()
    assert not notebooks.reword(lesson, "student") and not notebooks.reword(lesson, "solutions")
    assert lesson.built("student").read_bytes() == before


@pytest.mark.parametrize(("stamp", "value"), [("mode", "fast"), ("labkit_version", "0.0.1")])
def test_outputs_of_another_mode_or_version_are_not_kept(
    tmp_path: Path, stamp: str, value: str
) -> None:
    lesson = make(tmp_path)
    path = notebooks.build_lesson(lesson, "student")
    old = read(path)
    old.metadata["labkit"][stamp] = value
    nbformat.write(old, path)
    assert not notebooks.reword(lesson, "student")


def test_failing_cell_stops_the_build_and_keeps_the_old_notebook(tmp_path: Path) -> None:
    lesson = make(tmp_path, SOURCE + "\n# %%\n1 / 0\n")
    lesson.built("student").write_text("old")
    with pytest.raises(outputs.CellError, match="ZeroDivisionError"):
        notebooks.build_lesson(lesson, "student")
    assert lesson.built("student").read_text() == "old"
    assert not list(lesson.built("student").parent.glob("*.tmp"))


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("import warnings\nwarnings.warn('old')", "text on the error stream"),
        ("print('FutureWarning: x will change')", "a warning"),
        ("print('/home/someone/x')", "an absolute path"),
        ("import os\nos.getcwd()", "an absolute path"),
        ("import sys\nsys.prefix", "a path of this machine"),
        ("import traceback\ntry:\n    1/0\nexcept ZeroDivisionError:\n    "
         "print(traceback.format_exc())", "a traceback"),
        ("print('  0%|          | 0/10')", "an unfinished progress bar"),
        ("object()", "an object's address"),
        ("import sys\nprint('oops', file=sys.stderr)", "'oops'"),
    ],
)  # fmt: skip
def test_outputs_that_may_not_be_saved_are_refused(tmp_path: Path, code: str, finding: str) -> None:
    lesson = make(tmp_path, f"{HEAD}\n# %%\n{code}\n")
    with pytest.raises(ValueError, match="was not written") as caught:
        notebooks.build_lesson(lesson, "student")
    assert finding in str(caught.value)
    assert not lesson.built("student").exists()


def test_widget_views_are_dropped_and_streams_joined(tmp_path: Path) -> None:
    code = (
        "import ipywidgets\nfrom IPython.display import display\n"
        "display(ipywidgets.IntSlider())\nprint('a', flush=True)\nprint('\\x1b[31mb\\x1b[0m')\n"
        "print('old\\rnew')"
    )
    lesson = make(tmp_path, f"{HEAD}\n# %%\n{code}\n")
    notebook = read(notebooks.build_lesson(lesson, "student"))
    assert "widgets" not in notebook.metadata
    assert [output.text for output in notebook.cells[-1].outputs] == ["a\nb\nnew\n"]


def test_modes_reach_the_kernel_and_it_runs_beside_the_notebooks(tmp_path: Path) -> None:
    code = (
        "import os\nfrom pathlib import Path\n"
        "print(os.environ['LABKIT_FAST'], os.environ['LABKIT_STATIC'], Path.cwd().name)"
    )
    lesson = make(tmp_path, f"{HEAD}\n# %%\n{code}\n")
    notebook = read(notebooks.build_lesson(lesson, "student"))
    assert notebook.cells[-1].outputs[0].text == "0 1 notebooks\n"


def test_kernel_is_gone_after_a_run_that_failed(tmp_path: Path) -> None:
    code = "import os\nfrom pathlib import Path\nPath('pid').write_text(str(os.getpid()))\n1 / 0"
    lesson = make(tmp_path, f"{HEAD}\n# %%\n{code}\n")
    with pytest.raises(outputs.CellError):
        notebooks.build_lesson(lesson, "student")
    assert not psutil.pid_exists(int((tmp_path / "notebooks" / "pid").read_text()))


def test_dead_kernel_stops_the_build_of_all_lessons(tmp_path: Path, monkeypatch, capsys) -> None:
    make(tmp_path, HEAD + "\n# %%\nimport os\nos._exit(1)\n", name="01_dies")
    after = make(tmp_path, HEAD + "\n# %%\nprint('hello')\n", name="02_fine")
    monkeypatch.setattr(notebooks.settings, "course_dir", lambda: tmp_path)
    assert notebooks.main(["build"]) == 1
    assert "The kernel died: out of memory, or stopped by Ctrl-C." in capsys.readouterr().err
    assert not after.built("student").exists()


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_build_and_its_kernel_in_words(tmp_path: Path, by: int) -> None:
    code = "import os, time\nfrom pathlib import Path\nPath('pid').write_text(str(os.getpid()))\n"
    make(tmp_path, f"{HEAD}\n# %%\n{code}time.sleep(120)\n")
    program = (
        "import pathlib, signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from labkit import settings\nfrom labkit.authoring import notebooks\n"
        "settings.course_dir = lambda: pathlib.Path(sys.argv[1])\n"
        "sys.exit(notebooks.main(['build']))"
    )
    build = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    pid = tmp_path / "notebooks" / "pid"
    while not (pid.exists() and pid.read_text()) and build.poll() is None:
        time.sleep(0.1)
    build.send_signal(by)
    said = build.communicate(timeout=60)[1]
    assert build.returncode == 1
    assert "The kernel died: out of memory, or stopped by Ctrl-C." in said.splitlines()[-1]
    assert not psutil.pid_exists(int(pid.read_text()))


def test_running_leaves_nothing_in_the_home_folder(tmp_path: Path, monkeypatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("IPYTHONDIR", raising=False)
    notebooks.build_lesson(make(tmp_path / "course"), "student")
    assert list(home.rglob("*")) == []


def edit_cell(index: int, **changes: object) -> Callable[[dict], None]:
    return lambda notebook: notebook["cells"][index].update(changes)


FAULTS = {
    "not all run in order": edit_cell(2, execution_count=7),
    "No cell has an output": lambda nb: [c.update(outputs=[]) for c in nb["cells"]
                                         if c["cell_type"] == "code"],
    "The source changed": lambda nb: nb["metadata"]["labkit"].update(source_sha256="0"),
    "an absolute path": lambda nb: nb["cells"][5]["outputs"][0].update(text="/tmp/x"),
    "bytes; at most": lambda nb: nb["cells"][5]["outputs"][0].update(text="x" * 1_100_000),
    "does not say 'not attempted yet'": lambda nb: [
        c.update(outputs=[]) for c in nb["cells"] if "check.double(" in "".join(c["source"])],
}  # fmt: skip


@pytest.mark.parametrize("sentence", FAULTS)
def test_seeded_fault_in_a_built_notebook_is_found(
    built: Lesson, tmp_path: Path, sentence: str
) -> None:
    lesson = make(tmp_path)
    notebook = json.loads(built.built("student").read_text())
    FAULTS[sentence](notebook)
    lesson.built("student").write_text(json.dumps(notebook))
    assert any(sentence in found for found in notebooks.problems(lesson, "student"))


@pytest.mark.parametrize(
    "change",
    [
        edit_cell(-1, id="random"),
        edit_cell(-1, metadata={"execution": {}}),
        edit_cell(-1, source="edited"),
        lambda nb: nb["cells"].pop(),
        lambda nb: nb["metadata"].update(widgets={}),
    ],
)
def test_what_is_not_the_builders_is_found(built, tmp_path: Path, change: Callable) -> None:
    lesson = make(tmp_path)
    notebook = json.loads(built.built("student").read_text())
    change(notebook)
    lesson.built("student").write_text(json.dumps(notebook))
    assert "This is not what the source says" in notebooks.problems(lesson, "student")[0]


def test_missing_notebook_is_named(tmp_path: Path) -> None:
    assert "is not built" in notebooks.problems(make(tmp_path), "student")[0]


def test_solution_that_fails_its_check_is_refused(tmp_path: Path) -> None:
    lesson = make(tmp_path, SOURCE.replace("return 2 * x", "return x"))
    with pytest.raises(ValueError, match="does not pass its check"):
        notebooks.build_lesson(lesson, "solutions")


ANATOMY = {
    "not a `# Title` with the one question": ("four?**", "four.**"),
    "no Colab badge": ("{{colab_badge}}", ""),
    "2 points below 'You will be able to'; 3 to 5": ("# - add\n", ""),
    "No table of reading time": ("# | run time | RAM |\n# |---|---|\n# | not measured | not "
                                 "measured |\n", ""),
    "0 passages that start with **Predict.**": ("**Predict.**", "Predict"),
    "5 passages **Predict**, 0 **Explain**": ("**Explain.**", "So"),
    "0 exercises; 2 to 4": ("### Exercise", "### Task"),
    "does not say its difficulty": ("5 minutes", "5 min"),
    "has no hint in <details>": ("<details>", "<em>"),
    "2 exercises, but 0 stubs": (' tags=["stub"]', ""),
    "no '## Recap'": ("## Recap", "## Summary"),
    "no '## What this does not show'": ("## What this does", "## What it does"),
    "no '## Next'": ("## Next", "## Later"),
    "no '## Claims'": ("## Claims", "## Results"),
    "lines of code; at most 25": ("value + 1", "(\n" + "1 +\n" * 30 + "1)"),
    "words of prose; at most 80": ("# A word more.", "# " + "word " * 81),
    "holds a shell line or a magic": ("value + 1", "!pip list"),
    "code cells; 25 to 45": ("\n# %%\nvalue + 1\n\n# %%", "\n# %%"),
    "The median code cell has": ("\n# %%\n", "\n# %%\n" + "value = 1\n" * 7),
    "Markdown cells a code cell": ("# %% [markdown]\n# A word more.\n", "# %%\nvalue\n"),
    "A code cell stands before the setup": ("# %% [markdown]\n# You will",
                                            "# %%\n1\n# %% [markdown]\n# You will"),
    "imports 13 modules of labkit; at most 12": (
        "import sys", "from labkit import catalogue, chunking, citations, corpus, embed, evaluate, "
        "exam, fetch, lora, measure, memory, models, nf4"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", ANATOMY)
def test_seeded_fault_in_the_anatomy_is_found(tmp_path: Path, sentence: str) -> None:
    old, new = ANATOMY[sentence]
    assert old in SOURCE
    notebook = convert(make(tmp_path, SOURCE.replace(old, new)), "student")
    faults = rules.cell_faults(notebook)
    faults += rules.anatomy_faults(notebook, name="90_toy")
    assert any(sentence in fault for fault in faults), faults


def test_modules_are_counted_once_whatever_is_taken_from_them(tmp_path: Path) -> None:
    code = (
        "import sys\nimport labkit.nf4\nfrom labkit import rag, exam as questions\n"
        "from labkit.store import open_store\n\n# %%\nfrom labkit.store import ivf_pq, Store\n"
        "from labkit.classroom.reports import claims_table, rag as report\nfrom labkit import rag"
    )
    notebook = convert(make(tmp_path, SOURCE.replace("import sys", code, 1)), "student")
    assert rules.imported_modules(notebook) == {
        "labkit.nf4", "labkit.rag", "labkit.exam", "labkit.store", "labkit.store.ivf_pq",
        "labkit.classroom.reports", "labkit.classroom.reports.rag",
    }  # fmt: skip


@pytest.mark.parametrize("lesson", lessons(ROOT), ids=lambda lesson: lesson.name)
def test_no_lesson_imports_more_modules_than_a_reader_can_learn(lesson: Lesson) -> None:
    assert len(rules.imported_modules(convert(lesson, "student"))) <= rules.MAX_MODULES


def test_words_in_tables_code_hints_and_addresses_do_not_count() -> None:
    markdown = (
        "# Title here\nTwo [words here](http://x.y/z)\n| a | b |\n```\ncode here\n```\n"
        "<details>folded words</details>\n- one"
    )
    assert rules.count_words(markdown) == 4
    assert rules.count_words(markdown, front_matter=True) == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (HEAD.replace("setup", "setpu"), "'setpu'; allowed are setup, solution, stub"),
        (HEAD.replace(' tags=["setup"]', ""), "0 cells are tagged setup"),
        (HEAD + '\n# %% tags=["setup"]\n1\n', "2 cells are tagged setup"),
    ],
)
def test_wrong_tags_are_refused(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        convert(make(tmp_path, source), "student")


def test_a_source_is_a_lesson(tmp_path: Path) -> None:
    assert [make(tmp_path)] == lessons(tmp_path)


def test_command_line_builds_and_names_unknown_lessons(tmp_path: Path, monkeypatch, capsys) -> None:
    make(tmp_path)
    monkeypatch.setattr(notebooks.settings, "course_dir", lambda: tmp_path)
    assert notebooks.main(["build", "90"]) == 0
    assert "90_toy (student): built in" in capsys.readouterr().out
    assert notebooks.main(["build"]) == 0
    assert "90_toy (solutions): up to date" in capsys.readouterr().out
    assert notebooks.main(["build", "--force"]) == 0
    assert "90_toy (student): built in" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        notebooks.main(["build", "42"])
    assert "No lesson starts with '42'; there are: 90_toy." in capsys.readouterr().err


def test_dirt_in_pictures_is_not_looked_for() -> None:
    output = nbformat.v4.new_output("display_data", data={"image/png": "/home/x"})
    cell = nbformat.v4.new_code_cell("x", outputs=[output])
    assert outputs.dirt(nbformat.v4.new_notebook(cells=[cell])) == []
