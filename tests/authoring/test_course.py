"""The whole course in one go, on tiny made-up lessons: summary, pages, going on after a stop."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from labkit import results
from labkit.authoring import course, notebooks, outputs
from labkit.authoring.source import Lesson

HEAD = """\
# %% [markdown]
# # A toy lesson

# %% tags=["setup"]
# The builder fills this in.
"""


def make(root: Path, name: str, code: str = "print('hello')") -> Lesson:
    lesson = Lesson(root=root, name=name)
    lesson.source.parent.mkdir(parents=True, exist_ok=True)
    lesson.source.write_text(f"{HEAD}\n# %%\n{code}\n", encoding="utf-8")
    return lesson


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder of recorded runs, which is all that the course sees."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(results, "default_folder", lambda: folder)
    return folder


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the kernel: the last cell prints a peak, the others what they say they print.

    A cell with ``fail``, ``die`` or ``stop`` in it does so. Returns the names of what was run.
    """
    ran: list[str] = []
    errors = {
        "fail": outputs.CellError("boom"),
        "die": outputs.KernelError("The kernel died"),
        "stop": KeyboardInterrupt("The kernel died"),
    }

    def execute(notebook: Any, cwd: Path) -> None:
        *cells, last = notebook.cells
        ran.append(cells[-1].source)
        for word, error in errors.items():
            if word in cells[-1].source:
                raise error
        cells[-1].outputs = [nbformat.v4.new_output("stream", text=f"{cells[-1].source}\n")]
        assert last.source == course.PEAK_CELL
        last.outputs = [nbformat.v4.new_output("stream", text=f"{3 * 2**30}\n")]

    monkeypatch.setattr(outputs, "execute", execute)
    return ran


def test_a_real_run_shows_time_and_peak_and_writes_a_page(tmp_path: Path, capsys) -> None:
    lesson = make(tmp_path, "01_fine")
    assert course.run([lesson], tmp_path / "build" / "html") == 0
    said = capsys.readouterr().out
    assert re.search(r"01_fine +[\d.]+ s +0\.\d GiB  ran", said)
    page = (tmp_path / "build" / "html" / "01_fine.html").read_text(encoding="utf-8")
    assert "hello" in page and "peak_rss_bytes" not in page
    assert not lesson.built("student").exists()


def test_a_failure_and_a_dead_kernel_do_not_stop_the_rest(tmp_path, kernel, capsys) -> None:
    chosen = [make(tmp_path, f"0{i}_{code}", code) for i, code in enumerate(["fail", "die", "ok"])]
    assert course.run(chosen, tmp_path / "build" / "html") == 1
    said = capsys.readouterr().out
    assert kernel == ["fail", "die", "ok"]
    assert "[2 of 3] 01_die … failed" in said and "[3 of 3] 02_ok … ran" in said
    assert re.search(r"00_fail +[\d.]+ s +–  failed", said) and "00_fail:\nboom" in said
    assert re.search(r"02_ok +[\d.]+ s +3\.0 GiB  ran", said)


def test_only_what_did_not_finish_runs_again(tmp_path: Path, kernel, capsys) -> None:
    chosen = [make(tmp_path, "00_a", "a"), make(tmp_path, "01_b", "fail"), make(tmp_path, "02_c")]
    html = tmp_path / "build" / "html"
    assert course.run(chosen, html) == 1
    make(tmp_path, "01_b", "mended")
    kernel.clear()
    assert course.run(chosen, html) == 0
    assert kernel == ["mended"]
    said = capsys.readouterr().out
    assert re.search(r"00_a .* finished earlier \(\d{4}-\d\d-\d\d\)", said)
    assert "00_a: unchanged since it finished; --again runs it" in said
    kernel.clear()
    assert course.run(chosen, html, again=True) == 0
    assert len(kernel) == 3


def test_a_lesson_that_fails_after_it_finished_is_forgotten(tmp_path: Path, kernel) -> None:
    lesson, html = make(tmp_path, "00_a", "a"), tmp_path / "build" / "html"
    course.run([lesson], html)
    make(tmp_path, "00_a", "fail")
    course.run([lesson], html)
    make(tmp_path, "00_a", "a")
    assert course.run([lesson], html) == 0
    assert kernel == ["a", "fail", "a"]


def test_what_failed_runs_again_although_nothing_changed(tmp_path: Path, kernel) -> None:
    lesson, html = make(tmp_path, "00_a", "fail"), tmp_path / "build" / "html"
    assert [course.run([lesson], html) for _ in range(2)] == [1, 1]
    assert kernel == ["fail", "fail"]


@pytest.mark.parametrize("change", ["source", "labkit", "page", "state"])
def test_a_change_makes_a_finished_lesson_run_again(tmp_path, kernel, monkeypatch, change) -> None:
    lesson, html = make(tmp_path, "00_a", "a"), tmp_path / "build" / "html"
    course.run([lesson], html)
    if change == "source":
        make(tmp_path, "00_a", "b")
    elif change == "labkit":
        package = tmp_path / "labkit"
        package.mkdir()
        (package / "course.py").write_text("changed = True")
        monkeypatch.setattr(course, "__file__", str(package / "course.py"))
    elif change == "page":
        (html / "00_a.html").unlink()
    else:
        (html / "00_a.json").write_text('{"name": "00_a"}')
    course.run([lesson], html)
    assert len(kernel) == 2


def test_a_stop_ends_the_run_and_keeps_what_finished(tmp_path: Path, kernel, capsys) -> None:
    names = {"00_a": "a", "01_b": "stop", "02_c": "c"}
    chosen = [make(tmp_path, name, code) for name, code in names.items()]
    html = tmp_path / "build" / "html"
    assert course.run(chosen, html) == 1
    said = capsys.readouterr().out
    assert kernel == ["a", "stop"]
    assert "Run the same command again to go on." in said
    assert "01_b: the run was stopped" in said and "02_c: the run was stopped" in said
    assert [note.name for note in html.glob("*.json")] == ["00_a.json"]


def test_lessons_say_what_they_left_out(tmp_path, kernel, capsys) -> None:
    lines = ["QLoRA on a GPU: not measured yet", "all fine", "faiss was skipped: not installed"]
    lesson = make(tmp_path, "00_a", "\n".join(lines))
    assert course.run([lesson], tmp_path / "build" / "html") == 0
    said = capsys.readouterr().out.partition("Skipped, and why:")[2]
    assert f"00_a: {lines[0]}" in said and f"00_a: {lines[2]}" in said and "all fine" not in said


def exam_run(folder: Path, name: str) -> None:
    from labkit.claims import leaderboard

    share = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    config = {"system": "rag", "model": name, "k": None, "command": "x"}
    keys = {*leaderboard.SHORT, *leaderboard.METRICS}
    figures = dict.fromkeys(keys, share) | {"retrieval": None, "by_kind": {}, "answers": []}
    results.record(f"exam-rag-{name}", figures, config=config, folder=folder)


def test_the_summary_has_recorded_scores_and_the_index_leads_to_all_pages(
    tmp_path: Path, kernel, records: Path, capsys
) -> None:
    exam_run(records, "tiny")
    html = tmp_path / "build" / "html"
    assert course.run([make(tmp_path, "00_a", "a")], html) == 0
    assert "rag, tiny: 50 (40–60) %" in capsys.readouterr().out
    index = (html / "index.html").read_text(encoding="utf-8")
    for target in re.findall(r'href="([^"]+)"', index):
        assert (html / target).is_file()
    assert index.count("href=") == 2


def test_no_lessons_is_no_failure(tmp_path: Path, capsys) -> None:
    assert course.run([], tmp_path) == 0
    assert "no lessons" in capsys.readouterr().out


def test_the_door_takes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "00_a")
    asked: list[Any] = []

    def run(chosen: list[Lesson], html_dir: Path, *, again: bool) -> int:
        asked.append((chosen[0].name, html_dir, again))
        return 1

    monkeypatch.setattr(course, "run", run)
    monkeypatch.setattr(notebooks.settings, "course_dir", lambda: tmp_path)
    assert notebooks.main(["course", "--again"]) == 1
    assert asked == [("00_a", tmp_path / "build" / "html", True)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_told_from_a_kernel_that_died(tmp_path: Path, how: int) -> None:
    code = "import os, time\nfrom pathlib import Path\nPath('pid').write_text(str(os.getpid()))\n"
    make(tmp_path, "00_slow", f"{code}time.sleep(120)")
    make(tmp_path, "01_after")
    program = (
        "import pathlib, signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from labkit import results\nfrom labkit.authoring import course, source\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "results.default_folder = lambda: root / 'results'\n"
        "sys.exit(course.run(source.lessons(root), root / 'build' / 'html'))"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    pid = tmp_path / "notebooks" / "pid"
    wait(lambda: (pid.exists() and bool(pid.read_text())) or running.poll() is not None)
    running.send_signal(how)
    said = running.communicate(timeout=60)[0]
    assert running.returncode == 1
    assert "[1 of 2] 00_slow … stopped" in said and "[2 of 2]" not in said
    assert "Run the same command again to go on." in said
    assert not psutil.pid_exists(int(pid.read_text()))


def test_a_kernel_that_dies_for_real_is_a_failure_and_the_next_lesson_runs(tmp_path, capsys):
    chosen = [make(tmp_path, "00_dies", "import os\nos._exit(1)"), make(tmp_path, "01_fine")]
    assert course.run(chosen, tmp_path / "build" / "html") == 1
    said = capsys.readouterr().out
    assert "00_dies … failed" in said and "01_fine … ran" in said


def wait(until: Callable[[], bool]) -> None:
    while not until():
        time.sleep(0.1)
