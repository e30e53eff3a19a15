"""Where things live and which mode the course runs in.

Knows: the repository's address, the folders of the course and of the cache, and the two switches
``LABKIT_FAST`` and ``LABKIT_STATIC``, which are read here and nowhere else.
Does not know: what is stored in those folders.
Used by every lesson through the setup cell.
"""

import os
import sys
from pathlib import Path

REPOSITORY_URL = "https://github.com/nordvind-course/nordvind"


def _switch(name: str) -> bool:
    value = os.environ.get(name, "0").strip().lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"", "0", "false", "no", "off"}:
        return False
    raise ValueError(f"{name}={value!r} is not a switch; set it to 1 or 0, or unset it.")


def fast() -> bool:
    """Tell whether lessons shrink to under a minute (``LABKIT_FAST=1``; used by the tests).

    Answers are cut short then, so ``results.record`` refuses to keep any figure.
    """
    return _switch("LABKIT_FAST")


def static() -> bool:
    """Tell whether figures stand in for widgets (``LABKIT_STATIC=1``; used for saved outputs)."""
    return _switch("LABKIT_STATIC")


def on_colab() -> bool:
    """Tell whether this runs on Google Colab."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def cache_dir() -> Path:
    """Return the folder that keeps models and other downloads, made if it is missing.

    ``LABKIT_CACHE`` overrides the operating system's usual cache folder.
    """
    from platformdirs import user_cache_dir

    return _made(os.environ.get("LABKIT_CACHE") or user_cache_dir("labkit", appauthor=False))


def state_dir() -> Path:
    """Return the folder that keeps what a learner decided, made if it is missing.

    ``LABKIT_STATE`` overrides the operating system's usual folder of this user. It is not the
    cache: a class may share that, and it may be emptied.
    """
    from platformdirs import user_data_dir

    return _made(os.environ.get("LABKIT_STATE") or user_data_dir("labkit", appauthor=False))


def _made(folder: str) -> Path:
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return path


def course_dir() -> Path:
    """Return the root of the course: the folder that holds ``data/`` and ``notebooks/``.

    Raises
    ------
    FileNotFoundError
        If labkit was installed without the course around it.
    """
    root = Path(__file__).resolve().parent.parent
    if not (root / "data" / "documents").is_dir():
        raise FileNotFoundError(
            f"The course's data is not beside labkit in {root.name!r}. Clone {REPOSITORY_URL} and "
            "install it from there with: pip install -e ."
        )
    return root


def data_dir() -> Path:
    """Return ``data/`` of the course: documents, tables, exam and recorded results."""
    return course_dir() / "data"


def course_adapter() -> Path:
    """Return the folder of the trained reader that the course ships."""
    return data_dir() / "adapters" / "reader-0.5b"


def shown(path: Path | str) -> str:
    """Return a path as a record may show it: as seen from here, or its last part alone.

    Where a folder lies on somebody's machine is nobody else's business.
    """
    path = Path(path)
    if not path.is_absolute():
        return path.as_posix()
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name
