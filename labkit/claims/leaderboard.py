"""The leaderboard: one table over every recorded exam run.

Knows: how recorded runs become a markdown page or lines for a terminal, and which commands repeat
a run. Does not know: how a run came about (``evaluate``).
Every lesson adds a row; ``data/results/LEADERBOARD.md`` is written anew after each run.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from labkit import results
from labkit.hardware import GIB
from labkit.types import KINDS, Interval

FILE_NAME = "LEADERBOARD.md"
HEAD = """# Leaderboard

Written by `python -m labkit exam` from the recorded runs beside this file; not edited by hand.
Shares in percent with the bootstrap 95 % interval over questions in brackets.
"""
METRICS = {
    "house_format": "house format",
    "citation_precision": "citation precision",
    "citation_recall": "citation recall",
    "abstention_precision": "abstention precision",
    "abstention_recall": "abstention recall",
    "false_abstention": "refused although answerable",
    "wrong_but_confident": "wrong but confident",
}
SHORT = {
    "exact_match": "right",
    "wrong_but_confident": "wrong, sure",
    "house_format": "house format",
    "citation_precision": "citations right",
    "abstention_recall": "refuses rightly",
}


def write(*, folder: Path | None = None) -> Path:
    """Write the leaderboard of all recorded exam runs and return its path."""
    folder = folder or results.default_folder()
    path = folder / FILE_NAME
    results.write_atomically(path, render(results.leaderboard(folder=folder)))
    return path


def render(runs: Sequence[dict]) -> str:
    """Return the runs as a markdown page: exact match by kind, other metrics, retrieval, origin."""
    parts = [HEAD]
    kinds = [*KINDS, "all"]
    rows = [[name_of(run), *(share_text(_exact(run, kind)) for kind in kinds)] for run in runs]
    parts.append(f"## Exact match by kind of question\n\n{results.table(['system', *kinds], rows)}")
    rows = [[name_of(run), *(share_text(run["figures"][key]) for key in METRICS)] for run in runs]
    parts.append(
        "## How the answers behave\n\n" + results.table(["system", *METRICS.values()], rows)
    )
    with_retrieval = (run for run in runs if run["figures"].get("retrieval"))
    parts += map(_retrieval, itertools.islice(with_retrieval, 1))
    rows = [_origin(run) for run in runs]
    parts.append(
        "## Where the rows come from\n\n"
        + results.table(["system", "date", "machine", "command"], rows)
    )
    return "\n\n".join(parts) + "\n"


def commands(run: dict) -> list[str]:
    """Return the commands that repeat a run, in order: fine-tuning first where there was any."""
    return run["config"]["command"].split(" && ")


def in_words(runs: Sequence[dict]) -> str:
    """Return the runs as lines for a terminal, best first, each with the commands to repeat it."""
    if not runs:
        return "No exam is recorded yet. Begin with: python -m labkit exam --system base"
    width = max(len(name_of(run)) for run in runs)
    lines = [f"{'system':{width}}" + "".join(f"  {head:>16}" for head in SHORT.values())]
    for run in runs:
        cells = (share_text(run["figures"].get(key)) for key in SHORT)
        lines.append(f"{name_of(run):{width}}" + "".join(f"  {cell:>16}" for cell in cells))
        lines += [f"    {command}" for command in commands(run)]
    lines.append("Percent, 95 % interval in brackets; below each row, how to repeat it.")
    return "\n".join(lines)


def standings(runs: Sequence[dict]) -> dict[str, dict[str, Interval]]:
    """Return right and confidently wrong answers by system, for ``figures.dots``."""
    measures = {"right": "exact_match", "wrong but confident": "wrong_but_confident"}
    return {
        name_of(run): {name: Interval.of(run["figures"][key]) for name, key in measures.items()}
        for run in runs
    }


def _retrieval(run: dict) -> str:
    figures = run["figures"]["retrieval"]
    kinds = [kind for kind in [*KINDS, "all"] if kind in next(iter(figures.values()))]
    rows = [
        [f"{mode}, hit@{k}", *(share_text(by_kind[kind][metric]) for kind in kinds)]
        for mode, by_kind in figures.items()
        for k, metric in ((1, "hit_at_1"), (5, "hit_at_k"))
    ]
    title = "## Retrieval: is the evidence among the hits?"
    return f"{title}\n\n{results.table(['search', *kinds], rows)}"


def _exact(run: dict, kind: str) -> dict | None:
    figures = run["figures"]
    return figures["exact_match"] if kind == "all" else figures["by_kind"].get(kind)


def name_of(run: dict) -> str:
    """Return what a row is called: system, model, method of training, passages."""
    config = run["config"]
    parts = [config["system"], config["model"]]
    if "training" in config:
        parts.append(config["training"]["method"])
    if config["k"]:
        parts.append(f"k = {config['k']}")
    if config.get("reranked"):
        parts.append("reranked")
    if config.get("label"):
        parts.append(config["label"])
    return ", ".join(parts)


def share_text(share: dict | None) -> str:
    """Return a recorded share as percent with its interval; a dash where nothing has a say."""
    if share is None:
        return "–"
    return f"{100 * share['mean']:.0f} ({100 * share['low']:.0f}–{100 * share['high']:.0f})"


def _origin(run: dict) -> list[str]:
    machine = run["hardware"]
    where = machine["gpu_name"] or machine["cpu_name"]
    text = f"{where}, {machine['n_cores']} cores, {machine['ram_bytes'] / GIB:.0f} GiB"
    return [name_of(run), run["date"], text, f"`{run['config']['command']}`"]
