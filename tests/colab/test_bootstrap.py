"""The setup cell as on Colab: no course around the notebook, nothing of labkit installed."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.authoring import bootstrap
from labkit.authoring.source import SETUP_CELL
from labkit.settings import REPOSITORY_URL


class FakePip:
    """Record what would have been run, and the constraints that were handed over."""

    def __init__(self) -> None:
        self.code, self.commands, self.constraints = 0, [], []

    def __call__(self, command: list[str]) -> int:
        self.commands.append(command)
        file = Path(command[command.index("--constraint") + 1])
        self.constraints = file.read_text().splitlines()
        return self.code


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> FakePip:
    fake = FakePip()
    monkeypatch.setattr(subprocess, "call", fake)
    return fake


@pytest.fixture
def project(tmp_path: Path) -> Path:
    def write(*requirements: str) -> Path:
        path = tmp_path / "pyproject.toml"
        path.write_text(f"[project]\ndependencies = {list(requirements)!r}\n")
        return path

    return write


def test_nothing_is_run_or_said_when_all_is_there(project, pip, capsys) -> None:
    assert bootstrap.install_missing(project("numpy>=1.26", "pytest")) == []
    assert pip.commands == []
    assert capsys.readouterr().out == ""


def test_only_the_missing_is_installed_and_the_rest_is_pinned(project, pip) -> None:
    missing = bootstrap.install_missing(project("numpy>=1.26", "no-such-thing>=2"))
    assert missing == ["no-such-thing>=2"]
    ((*_, last),) = pip.commands
    assert last == "no-such-thing>=2"
    assert "--upgrade" not in pip.commands[0]
    assert f"numpy=={importlib.metadata.version('numpy')}" in pip.constraints
    installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    assert {line.split("==")[0].lower() for line in pip.constraints} == installed


def test_older_package_is_named_but_not_replaced(project, pip, capsys) -> None:
    assert bootstrap.install_missing(project("numpy>=99")) == []
    assert pip.commands == []
    assert "numpy>=99 (here: " in capsys.readouterr().out


def test_missing_part_of_an_extra_counts_as_missing(project, monkeypatch) -> None:
    needs = ["absent-reader; extra == 'pdf'", "numpy; extra == 'docx'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needs)
    assert bootstrap.missing_requirements(project("pytest[docx]>=8")) == []
    assert bootstrap.missing_requirements(project("pytest[pdf]>=8")) == ["pytest[pdf]>=8"]


def test_requirement_for_another_system_is_left_out(project) -> None:
    path = project("no-such-thing; sys_platform == 'nowhere'")
    assert bootstrap.missing_requirements(path) == []


def test_without_network_the_message_says_what_to_do(project, pip) -> None:
    pip.code = 1
    with pytest.raises(
        RuntimeError, match="Could not install no-such-thing .* run this cell again"
    ):
        bootstrap.install_missing(project("no-such-thing"))


def test_on_colab_the_advice_is_colabs(project, pip, monkeypatch) -> None:
    pip.code = 1
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    with pytest.raises(RuntimeError, match="Runtime > Change runtime type"):
        bootstrap.install_missing(project("no-such-thing"))


def test_the_courses_own_requirements_are_met_here() -> None:
    assert bootstrap.missing_requirements() == []
    assert bootstrap.outdated_requirements() == []


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """Make a git remote that holds a labkit of one module."""
    repository = tmp_path / "remote"
    package = repository / "labkit" / "authoring"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "bootstrap.py").write_text(
        "from pathlib import Path\n"
        "def install_missing():\n    Path('called.txt').write_text(__file__)\n"
    )
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    return repository


def run_setup(folder: Path, remote: Path, *, allow_installed: bool = False) -> str:
    """Run the setup cell in `folder` as an interpreter without site-packages; return its output."""
    cell = SETUP_CELL.replace(REPOSITORY_URL, remote.as_uri())
    isolation = [] if allow_installed else ["-S"]
    clean = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-E", *isolation, "-c", cell],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def test_notebook_alone_clones_the_course_and_prints_nothing(tmp_path: Path, remote: Path) -> None:
    folder = tmp_path / "content"
    folder.mkdir()
    assert run_setup(folder, remote) == ""
    assert (folder / "called.txt").read_text() == str(
        folder / "nordvind" / "labkit" / "authoring" / "bootstrap.py"
    )


def test_second_run_uses_the_clone_that_is_there(tmp_path: Path, remote: Path) -> None:
    folder = tmp_path / "content"
    folder.mkdir()
    run_setup(folder, remote)
    (remote / "labkit").rename(remote / "gone")
    assert run_setup(folder, remote) == ""


def test_inside_the_course_nothing_is_cloned(tmp_path: Path, remote: Path) -> None:
    folder = remote / "notebooks" / "solutions"
    folder.mkdir(parents=True)
    assert run_setup(folder, tmp_path / "no-such-remote") == ""
    assert (folder / "called.txt").read_text() == str(
        remote / "labkit" / "authoring" / "bootstrap.py"
    )
    assert not (folder / "nordvind").exists()


def test_installed_course_is_used_from_any_folder(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    assert run_setup(folder, tmp_path / "no-such-remote", allow_installed=True) == ""
    assert not (folder / "nordvind").exists()


def test_setup_cell_is_short_plain_python() -> None:
    compile(SETUP_CELL, "setup", "exec")
    assert len(SETUP_CELL.splitlines()) <= 15
    assert "!" not in SETUP_CELL.replace("!=", "")
