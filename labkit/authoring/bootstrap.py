"""Bring what a lesson needs where the course was not installed, as on Colab.

Knows: which packages ``pyproject.toml`` asks for, which are missing here, and how to add those
without replacing any that is there (on Colab numpy is loaded already: replacing it breaks the
kernel). Uses the standard library and what pip brings; nothing else may be there yet.
Does not know: models and data (``fetch``, ``settings``).
Used by the setup cell of every lesson.
"""

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit import settings


def install_missing(project: Path | None = None) -> list[str]:
    """Install the course's missing packages, and nothing else; silent when all is well.

    A package that is here in an older version than asked for is named and kept.

    Parameters
    ----------
    project : Path, optional
        The ``pyproject.toml`` that lists the packages; by default the course's own.

    Returns
    -------
    list of str
        The requirements that were installed.

    Raises
    ------
    RuntimeError
        If pip could not add them: no network, or one of them needs another version of a package
        that is here. The message names the packages and what to do.
    """
    if outdated := outdated_requirements(project):
        print(f"Kept, though older than the course was tried with: {', '.join(outdated)}.")
    missing = missing_requirements(project)
    if not missing:
        return []
    print(f"Installing what is missing: {', '.join(missing)} …", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "installed.txt"
        constraints.write_text("\n".join(installed_pins()) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.call([*command, "--constraint", str(constraints), *missing]) != 0:
            raise RuntimeError(_failure(missing))
    importlib.invalidate_caches()
    return missing


def missing_requirements(project: Path | None = None) -> list[str]:
    """List the requirements whose package, or what its extras need, is not here at all."""
    return [str(needed) for needed in _requirements(project) if not _is_installed(needed)]


def outdated_requirements(project: Path | None = None) -> list[str]:
    """List the requirements whose package is here in a version outside the bounds."""
    return [
        f"{needed} (here: {version})"
        for needed in _requirements(project)
        if (version := _version(needed.name))
        and not needed.specifier.contains(version, prereleases=True)
    ]


def installed_pins() -> set[str]:
    """Return ``name==version`` of every installed package: the constraints that keep them."""
    found = ((d.metadata["Name"], d.version) for d in importlib.metadata.distributions())
    return {f"{name}=={version}" for name, version in found if name and version}


def _requirements(project: Path | None) -> Iterator[Any]:
    """Yield the requirements that apply to this interpreter and operating system."""
    path = project or Path(__file__).resolve().parents[2] / "pyproject.toml"
    if not path.is_file():  # installed from a wheel: pip has met the requirements then
        return
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["dependencies"]
    yield from (needed for needed in map(_parse, listed) if _applies(needed))


def _is_installed(needed: Any) -> bool:
    """Tell whether a package is here, and so is what its wanted extras need."""
    if _version(needed.name) is None:
        return False
    parts = [_parse(text) for text in importlib.metadata.requires(needed.name) or []]
    return all(
        _version(part.name) is not None
        for extra in needed.extras
        for part in parts
        if _applies(part, extra) and not _applies(part)
    )


def _applies(requirement: Any, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _parse(text: str) -> Any:
    """Parse a requirement with the packaging library, or with the copy that is inside pip."""
    there = importlib.util.find_spec("packaging") is not None
    name = "packaging.requirements" if there else "pip._vendor.packaging.requirements"
    return importlib.import_module(name).Requirement(text)


def _failure(missing: list[str]) -> str:
    advice = (
        "Check 'Runtime > Change runtime type' and that this session has internet access"
        if settings.on_colab()
        else "Check the network, or install the course into its own environment with `make lab`"
    )
    return (
        f"Could not install {', '.join(missing)} beside the packages that are here (pip's message "
        f"stands above). {advice}, then run this cell again."
    )
