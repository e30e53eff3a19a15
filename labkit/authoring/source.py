"""Lesson sources: from ``notebooks/src/NN_topic.py`` to an unexecuted notebook.

Knows: where a lesson's files live, which cells belong to the students' and which to the solutions'
version, the setup cell and the Colab badge that every lesson shares, and how cell ids are made.
Does not know: how a notebook is run, cleaned or judged (``outputs``, ``rules``).
Used by ``notebooks``; no lesson calls it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import jupytext
import nbformat

from labkit.settings import REPOSITORY_URL

Variant = Literal["student", "solutions"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
KNOWN_TAGS = frozenset({"setup", "stub", "solution"})
BADGE = "{{colab_badge}}"

SETUP_CELL = f'''\
import importlib.util
import subprocess
import sys
from pathlib import Path

folders = (Path.cwd(), *Path.cwd().parents)
root = next((p for p in folders if (p / "labkit" / "authoring").is_dir()), None)
if root is None and importlib.util.find_spec("labkit") is None:  # Colab: bring the course
    root = Path.cwd() / "nordvind"
    if not root.exists():
        subprocess.run(["git", "clone", "-q", "--depth=1", "{REPOSITORY_URL}", root], check=True)
sys.path[:0] = [str(root)] if root and str(root) not in sys.path else []
from labkit.authoring.bootstrap import install_missing

install_missing();'''


@dataclass(frozen=True)
class Lesson:
    """A lesson of the course under `root`: one source, two built notebooks."""

    root: Path
    name: str

    @property
    def source(self) -> Path:
        """The file that authors edit."""
        return self.root / "notebooks" / "src" / f"{self.name}.py"

    def built(self, variant: Variant) -> Path:
        """Return where the notebook of this variant is kept."""
        folder = self.root / "notebooks"
        return (folder if variant == "student" else folder / "solutions") / f"{self.name}.ipynb"

    def source_sha256(self) -> str:
        """Return the hash of the source, the same whatever the line endings."""
        return hashlib.sha256(self.source.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def lessons(root: Path) -> list[Lesson]:
    """List the lessons that have a source under `root`, in order."""
    found = sorted((root / "notebooks" / "src").glob("[0-9][0-9]_*.py"))
    return [Lesson(root=root, name=path.stem) for path in found]


def colab_badge(lesson: Lesson, variant: Variant) -> str:
    """Return the Markdown of the badge that opens this notebook in Colab."""
    repository = REPOSITORY_URL.removeprefix("https://github.com/").removesuffix(".git")
    path = lesson.built(variant).relative_to(lesson.root).as_posix()
    address = f"https://colab.research.google.com/github/{repository}/blob/main/{path}"
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({image})]({address})"


def convert(lesson: Lesson, variant: Variant) -> Any:
    """Turn a lesson's source into an unexecuted notebook (nbformat 4.5).

    Parameters
    ----------
    lesson : Lesson
        The lesson whose source is read.
    variant : {"student", "solutions"}
        Students get the cells tagged ``stub``, the solutions those tagged ``solution``.

    Returns
    -------
    nbformat.NotebookNode
        Cells with their tags, fixed ids and no outputs.

    Raises
    ------
    ValueError
        If a tag is unknown or there is not exactly one ``setup`` cell.
    """
    notebook = jupytext.reads(lesson.source.read_text(encoding="utf-8"), fmt="py:percent")
    _check_tags(lesson.name, notebook.cells)
    left_out = "solution" if variant == "student" else "stub"
    kept = (cell for cell in notebook.cells if left_out not in tags(cell) and cell.source.strip())
    notebook.cells, notebook.metadata = list(kept), notebook_metadata()
    badge = colab_badge(lesson, variant)
    for index, cell in enumerate(notebook.cells):
        cell.id = hashlib.sha256(f"{lesson.name}:{index}".encode()).hexdigest()[:12]
        if "setup" in tags(cell):
            cell.source = SETUP_CELL
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace(BADGE, badge)
        cell.metadata = {"tags": sorted(tags(cell))} if tags(cell) else {}
    return notebook


def _check_tags(name: str, cells: list[Any]) -> None:
    for number, cell in enumerate(cells, start=1):
        if unknown := tags(cell) - KNOWN_TAGS:
            raise ValueError(
                f"{name}: cell {number} has the tag {sorted(unknown)[0]!r}; "
                f"allowed are {', '.join(sorted(KNOWN_TAGS))}."
            )
    n_setup = sum("setup" in tags(cell) for cell in cells)
    if n_setup != 1:
        raise ValueError(
            f"{name}: {n_setup} cells are tagged setup; mark exactly one with "
            '`# %% tags=["setup"]` (the builder fills it in).'
        )


def tags(cell: Any) -> set[str]:
    """Return the tags of a cell."""
    return set(cell.metadata.get("tags", []))


def code_cells(notebook: Any) -> list[Any]:
    """Return the cells that hold code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def notebook_metadata() -> Any:
    """Return metadata that does not depend on the machine that builds."""
    language = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}
    return nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": language | {"pygments_lexer": "ipython3"},
        }
    )
