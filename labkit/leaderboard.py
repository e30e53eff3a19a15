"""The leaderboard: one table over every recorded exam run.

Knows: how recorded runs become a markdown page. Does not know: how a run came about (``sit_exam``).
Every lesson adds a row; ``data/results/LEADERBOARD.md`` is written anew after each run.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from labkit import results
from labkit.exam import KINDS
from labkit.hardware import GIB

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
    rows = [[_name(run), *(_share(_exact(run, kind)) for kind in kinds)] for run in runs]
    parts.append("## Exact match by kind of question\n\n" + table(["system", *kinds], rows))
    rows = [[_name(run), *(_share(run["figures"][key]) for key in METRICS)] for run in runs]
    parts.append("## How the answers behave\n\n" + table(["system", *METRICS.values()], rows))
    with_retrieval = (run for run in runs if run["figures"].get("retrieval"))
    parts += map(_retrieval, itertools.islice(with_retrieval, 1))
    rows = [_origin(run) for run in runs]
    parts.append(
        "## Where the rows come from\n\n" + table(["system", "date", "machine", "command"], rows)
    )
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a markdown table; cells are taken as they are."""
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _retrieval(run: dict) -> str:
    figures = run["figures"]["retrieval"]
    kinds = [kind for kind in [*KINDS, "all"] if kind in next(iter(figures.values()))]
    rows = [
        [f"{mode}, hit@{k}", *(_share(by_kind[kind][metric]) for kind in kinds)]
        for mode, by_kind in figures.items()
        for k, metric in ((1, "hit_at_1"), (5, "hit_at_k"))
    ]
    title = "## Retrieval: is the evidence among the hits?"
    return f"{title}\n\n{table(['search', *kinds], rows)}"


def _exact(run: dict, kind: str) -> dict | None:
    figures = run["figures"]
    return figures["exact_match"] if kind == "all" else figures["by_kind"].get(kind)


def _name(run: dict) -> str:
    config = run["config"]
    parts = [config["system"], config["model"]]
    if "training" in config:
        parts.append(config["training"]["method"])
    if config["k"]:
        parts.append(f"k = {config['k']}")
    return ", ".join(parts)


def _share(share: dict | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share['mean']:.0f} ({100 * share['low']:.0f}–{100 * share['high']:.0f})"


def _origin(run: dict) -> list[str]:
    machine = run["hardware"]
    where = machine["gpu_name"] or machine["cpu_name"]
    text = f"{where}, {machine['n_cores']} cores, {machine['ram_bytes'] / GIB:.0f} GiB"
    return [_name(run), run["date"], text, f"`{run['config']['command']}`"]
