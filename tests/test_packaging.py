"""The files that say what to install agree with each other, and importing labkit is cheap."""

import importlib.metadata
import logging
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from labkit import settings

HEAVY = {
    "torch",
    "transformers",
    "sentence_transformers",
    "lancedb",
    "pyarrow",
    "numpy",
    "datasets",
    "matplotlib",
    "ipywidgets",
    "IPython",
    "pandas",
    "huggingface_hub",
}


@pytest.fixture(scope="module")
def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)
    names = [canonicalize_name(line.split("==")[0]) for line in lines]
    assert len(set(names)) == len(names)
    return dict(zip(names, (line.split("==")[1] for line in lines), strict=True))


def pinned_requirements(project: dict) -> list[Requirement]:
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *extras["lab"], *extras["test"], *extras["docs"]]
    return [Requirement(text) for text in texts]


def test_repository_address_is_the_same_everywhere(project: dict) -> None:
    assert project["urls"]["Repository"] == settings.REPOSITORY_URL


def test_every_requirement_is_pinned_within_its_bounds(project: dict, pins: dict) -> None:
    for requirement in pinned_requirements(project):
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} has no pin in constraints.txt"
        assert requirement.specifier.contains(pin), f"{requirement} excludes {pin}"


def test_every_requirement_has_a_lower_bound_and_no_upper_one(project: dict) -> None:
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for text in (text for group in groups for text in group):
        operators = {bound.operator for bound in Requirement(text).specifier}
        assert operators == {">="}, f"{text}: Colab's own versions must stay possible"


def test_pins_install_on_the_oldest_python_we_promise(project: dict, pins: dict) -> None:
    """A pin may ask for a later patch release than a Linux ships (Debian 12 has 3.11.2)."""
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    for distribution in importlib.metadata.distributions():
        name, bound = distribution.metadata["Name"], distribution.metadata["Requires-Python"]
        if bound and pins.get(canonicalize_name(name)) == distribution.version:
            assert SpecifierSet(bound).contains(oldest), f"{name} needs Python {bound}"


def test_pins_draw_in_no_cuda_packages(pins: dict) -> None:
    assert not [name for name in pins if name.startswith(("nvidia", "cuda", "triton"))]


def test_environment_installs_the_package_with_its_pins(root: Path, project: dict) -> None:
    environment = yaml.safe_load((root / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    python = next(entry for entry in conda if entry.startswith("python="))
    assert Requirement(f"python{project['requires-python']}").specifier.contains(
        python.removeprefix("python=") + ".0"
    )
    assert "pip" in conda
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-c constraints.txt", "-e .[lab]"]
    assert "lab" in project["optional-dependencies"]


def test_every_line_of_the_environment_says_what_it_is_for(root: Path) -> None:
    lines = (root / "environment.yml").read_text().splitlines()
    assert not [line for line in lines if line.strip() and "#" not in line]


def test_only_labkit_is_packaged(root: Path) -> None:
    settings_ = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings_["packages"]["find"]["include"] == ["labkit*"]


@pytest.mark.parametrize("module", ["labkit", "labkit.settings", "labkit.__main__"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys; import {module}; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & {name.split(".")[0] for name in found}
    assert len(found) < 250


def test_no_native_code_is_fetched_from_a_hub_on_import(tmp_path: Path) -> None:
    """Where the package `kernels` is installed, bitsandbytes would fetch and run code unasked."""
    (tmp_path / "kernels.py").write_text("print('kernels was imported')\n")
    code = (
        "import labkit, bitsandbytes, importlib.util\n"
        "assert importlib.util.find_spec('kernels') is None\n"
        "try:\n    import kernels\nexcept ModuleNotFoundError:\n    print('forbidden')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert (ran.stdout, ran.stderr) == ("forbidden\n", "")


def test_only_the_message_about_that_code_is_silenced(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    logger.warning("Failed to load CPU gemm_4bit_forward from kernels-community: %s", "no module")
    logger.warning("something else")
    assert [record.message for record in caplog.records] == ["something else"]
