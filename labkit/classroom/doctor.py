"""The doctor: what this machine is, what will run here and how long, and what to fix.

Knows: hardware, versions, models in the cache, free disk, and the lesson times recorded elsewhere.
Does not know: how to repair anything; it says what to type.
Used by ``labkit doctor``, lesson 00 and ``authoring.notebooks``. It never fails on odd hardware.
"""

import importlib.metadata
import re
import shutil
import subprocess
import timeit
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from labkit import catalogue, fetch, hardware, results, settings
from labkit.measure import Device

LESSON_TIMES = "lesson-times"
NEEDED_RAM_BYTES = 4 * hardware.GIB
NEEDED_DISK_BYTES = 2 * hardware.GIB
Level = Literal["ok", "warning", "problem"]
OLDEST = {"torch": (2, 4), "transformers": (4, 56), "lancedb": (0, 33)}


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``fix`` says what to do where ``level`` is not ``ok``."""

    level: Level
    topic: str
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Report:
    """Everything the doctor saw; ``healthy`` means that no finding is a problem."""

    hardware: dict
    versions: dict[str, str]
    choice: dict
    findings: list[Finding] = field(default_factory=list)
    lesson_s: dict[str, float] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether every lesson can run here now."""
        return all(finding.level != "problem" for finding in self.findings)


def examine() -> Report:
    """Look at this machine and return the report; takes about ten seconds, mostly loading torch."""
    machine = hardware.detect()
    choice = catalogue.choose(machine, fetched=_is_here)
    return Report(
        hardware=machine.as_dict(),
        versions=hardware.versions(),
        choice=vars(choice),
        findings=[_machine(machine), *_card(machine), *map(_package, OLDEST), *_cache(machine)],
        lesson_s=_lesson_seconds(),
    )


def render(report: Report) -> str:
    """Return the report as lines for a terminal or a notebook."""
    marks = {"ok": "✓", "warning": "!", "problem": "✗"}
    lines = []
    for finding in report.findings:
        lines.append(f"{marks[finding.level]} {finding.topic}: {finding.text}")
        lines += [f"    → {finding.fix}"] if finding.fix else []
    for lesson, seconds in report.lesson_s.items():
        time_ = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
        lines.append(f"  lesson {lesson}: about {time_} here")
    lines += [] if report.lesson_s else ["  lesson times: not measured yet"]
    verdict = "This machine is ready." if report.healthy else "Fix the lines marked ✗, then go on."
    return "\n".join([*lines, verdict])


def matmul_gflops() -> float:
    """Return how many GFLOP/s a float32 matrix product reaches here (median of eight).

    It takes under a second, and is used to carry recorded lesson times over to this machine.
    """
    import numpy as np

    a = np.random.default_rng(0).random((1024, 1024), dtype=np.float32)
    times = timeit.repeat(lambda: a @ a, number=1, repeat=8)
    return 2 * 1024**3 / float(np.median(times)) / 1e9


def record_lesson_time(lesson: str, wall_s: float, *, folder: Path | None = None) -> None:
    """Note how long a lesson's full run took here, beside the pace of this machine."""
    run = results.load(LESSON_TIMES, folder=folder)
    lesson_s = (run["figures"]["lesson_s"] if run else {}) | {lesson: wall_s}
    figures = {"lesson_s": dict(sorted(lesson_s.items())), "matmul_gflops": matmul_gflops()}
    config = {"command": "make notebooks", "mode": "full"}
    results.record(LESSON_TIMES, figures, config=config, folder=folder)


def _machine(machine: hardware.Hardware) -> Finding:
    little = 0 < machine.ram_bytes < NEEDED_RAM_BYTES
    fix = "close other programs, or use a machine with 4 GiB RAM or more"
    return _warn_if(little, "machine", hardware.describe(machine), fix)


def _warn_if(wrong: bool, topic: str, text: str, fix: str) -> Finding:
    return Finding("warning", topic, text, fix) if wrong else Finding("ok", topic, text)


def _package(name: str) -> Finding:
    oldest = OLDEST[name]
    install = f"pip install -c constraints.txt '{name}>={'.'.join(map(str, oldest))}'"
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding("problem", name, "not installed", install)
    numbers = re.match(r"(\d+)\.(\d+)", found)
    if numbers and (int(numbers[1]), int(numbers[2])) < oldest:
        return Finding("problem", name, f"{found} is too old", install)
    text = found if numbers else f"{found} is no version that can be compared"
    return _warn_if(not numbers, name, text, install)


def _card(machine: hardware.Hardware) -> list[Finding]:
    """Say what is free on the card, or why PyTorch cannot use one that is there."""
    ask = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        told = ""
    card = told.splitlines()[0] if told.strip() else machine.gpu_name
    if machine.gpu_name:
        free, gib = Device("cuda").free_bytes(), hardware.GIB
        text = f"{card}, {free / gib:.1f} of {machine.gpu_bytes / gib:.1f} GiB free"
        fix = "end what else uses the card; labkit plans with what is free"
        return [_warn_if(free < 0.8 * machine.gpu_bytes, "card", text, fix)]
    fix = "update the NVIDIA driver, or install the torch that fits it: pytorch.org/get-started"
    text = f"{card} is there, but this PyTorch cannot use it"
    return [Finding("warning", "card", text, fix)] if card else []


def _cache(machine: hardware.Hardware) -> list[Finding]:
    best = catalogue.choose(machine)
    names = [catalogue.EMBEDDING_MODEL, catalogue.SMALL_MODEL, best.model]
    names += [] if machine.gpu_name else [catalogue.STRONG_READER]
    fix = f"free {NEEDED_DISK_BYTES / hardware.GIB:.0f} GiB, or set LABKIT_CACHE elsewhere"
    try:
        free = shutil.disk_usage(settings.cache_dir()).free
        text = f"{free / hardware.GIB:.0f} GiB free for models"
        disk = _warn_if(free < NEEDED_DISK_BYTES, "disk", text, fix)
        return [disk, *(_model(name, best) for name in dict.fromkeys(names))]
    except OSError as error:
        text = f"the folder for models cannot be used ({error})"
        return [Finding("problem", "cache", text, "set LABKIT_CACHE to a folder you may write to")]


def _model(name: str, best: catalogue.Choice) -> Finding:
    card = catalogue.card(name)
    why = f" (the choice here: {best.reason})" if name == best.model else ""
    pace = f"; {seconds:.0f} s an answer, recorded" if (seconds := _answer_seconds(name)) else ""
    if _is_here(name):
        return Finding("ok", "model", f"{name} is here{why}{pace}")
    fix = f"python -m labkit fetch {name}   ({card.download_bytes / 2**20:.0f} MiB, {card.licence})"
    level: Level = "problem" if card.source == "registry" else "warning"
    return Finding(level, "model", f"{name} is not fetched{why}: {card.about}{pace}", fix)


def _is_here(name: str) -> bool:
    try:
        return fetch.is_fetched(name)
    except OSError:
        return False


def _answer_seconds(name: str) -> float | None:
    """Return the recorded seconds of one answer with passages, where this model sat the exam."""
    for ending in ("", "-k5-finder"):
        if run := _recorded(f"exam-rag-{name.lower()}{ending}"):
            return run["figures"]["wall_s"] / run["config"]["n_questions"]
    return None


def _recorded(name: str) -> dict | None:
    try:
        return results.load(name)
    except FileNotFoundError:  # labkit without the course around it
        return None


def _lesson_seconds() -> dict[str, float]:
    """Scale the recorded lesson times by how much faster or slower this machine multiplies."""
    run = None
    with suppress(FileNotFoundError):  # no course around labkit
        run = results.load(LESSON_TIMES)
    if run is None:
        return {}
    ratio = run["figures"]["matmul_gflops"] / matmul_gflops()
    return {lesson: seconds * ratio for lesson, seconds in run["figures"]["lesson_s"].items()}
