"""Recorded runs: one JSON file a run, and the leaderboard made of them.

Knows: how a run is written down (configuration, figures, what it rests on, versions, hardware,
date) and found again.
Does not know: how any figure was measured, nor whether it is still true (``evaluate``).
Used by every lesson that shows a number it did not measure just now.
"""

import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from labkit import hardware, settings

LEADERBOARD_PREFIX = "exam-"


def record(
    name: str,
    figures: dict,
    *,
    config: dict,
    folder: Path | None = None,
    rests_on: dict[str, str] | None = None,
) -> Path:
    """Write one run to ``NAME.json``; the same name replaces the earlier run.

    Parameters
    ----------
    name
        Lower-case letters, digits and hyphens, for example ``exam-rag-smollm2-135m``.
    figures
        What was measured; bytes and seconds as such, named ``*_bytes`` and ``*_s``.
    config
        Everything needed to repeat the run, the command included.
    folder
        ``data/results`` of the course unless given.
    rests_on
        What ``evaluate.rests_on`` returns; ``evaluate.stale_parts`` tells later what has changed.

    Returns
    -------
    Path
        The file, written whole or not at all.

    Raises
    ------
    ValueError
        If the name could leave the folder, or a fast run would stand among the course's own.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise ValueError(f"{name!r} cannot name a run; use lower-case letters, digits, '-' and '.'")
    refuse_fast(folder)
    run = {
        "name": name,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "config": config,
        "figures": figures,
        **({"rests_on": rests_on} if rests_on else {}),
        "hardware": hardware.detect().as_dict(),
        "versions": hardware.versions(),
    }
    path = (folder or default_folder()) / f"{name}.json"
    write_atomically(path, json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    return path


def refuse_fast(folder: Path | None = None) -> None:
    """Raise ``ValueError`` if a fast run is about to be recorded among the course's own.

    Fast mode cuts every answer short; what it gives says nothing about any system.
    """
    if settings.fast() and (folder or default_folder()).resolve() == default_folder().resolve():
        raise ValueError(
            "Fast mode cuts answers short and is never recorded in data/results; unset LABKIT_FAST."
        )


def load(name: str, *, folder: Path | None = None) -> dict | None:
    """Return the recorded run of that name, or ``None`` if it was not recorded yet."""
    path = (folder or default_folder()) / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def leaderboard(*, folder: Path | None = None) -> list[dict]:
    """Return every recorded exam run, best exact match first."""
    paths = sorted((folder or default_folder()).glob(f"{LEADERBOARD_PREFIX}*.json"))
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return sorted(runs, key=lambda run: -run["figures"]["exact_match"]["mean"])


def default_folder() -> Path:
    """Return ``data/results``."""
    return settings.data_dir() / "results"


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that a kill leaves the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a markdown table; cells are taken as they are."""
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
