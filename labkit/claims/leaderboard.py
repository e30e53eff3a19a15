"""The leaderboard: one table over every recorded exam run.

Knows: how recorded runs become a table, and that a markdown page, an HTML page or lines for a
terminal; which commands repeat a run. Does not know: how a run came about (``evaluate``).
Every lesson adds a row; nothing else writes ``data/results/LEADERBOARD.md``.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from labkit import results
from labkit.claims import verdicts
from labkit.claims.records import why_stale
from labkit.evaluate import SHOWN
from labkit.hardware import GIB
from labkit.types import KINDS

FILE_NAME = "LEADERBOARD.md"
HEAD = f"""# Leaderboard

Written by `{verdicts.WRITE_COMMAND}` from the recorded runs beside this file; not edited by hand.
Shares in percent with the bootstrap 95 % interval over questions in brackets.
"""
METRICS = {key: label for key, label in SHOWN.items() if key != "house_terms"}
METRICS["exact_match"] = "right"
SHORT = ["exact_match", "wrong_but_confident", "house_format", "citation_precision",
         "abstention_recall"]  # fmt: skip
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;display:block;overflow-x:auto}
td,th{padding:.3rem .6rem;border-bottom:1px solid #ccc;text-align:left;vertical-align:top}"""


def table(runs: Sequence[dict]) -> pd.DataFrame:
    """Return one row a run, in their order: shares as text by kind and by metric, and its origin.

    Columns: ``system``, the kinds, the keys of ``METRICS``, ``date`` (with the reason where the
    record is stale), ``machine``, ``command``.
    """
    rows = []
    for run in runs:
        shares = run["figures"] | run["figures"]["by_kind"]
        machine = run["hardware"]
        where = machine["gpu_name"] or machine["cpu_name"]
        rows.append(
            [name_of(run)]
            + [share_text(shares.get(name)) for name in (*KINDS, *METRICS)]
            + [", stale: ".join(filter(None, [run["date"], why_stale(run)]))]
            + [f"{where}, {machine['n_cores']} cores, {machine['ram_bytes'] / GIB:.0f} GiB"]
            + [run["config"]["command"]]
        )
    return pd.DataFrame(rows, columns=["system", *KINDS, *METRICS, "date", "machine", "command"])


def write(folder: Path | None = None) -> Path:
    """Write the leaderboard of all recorded exam runs and return its path."""
    path = (folder or results.default_folder()) / FILE_NAME
    results.write_atomically(path, render(results.leaderboard(folder=folder)))
    return path


def render(runs: Sequence[dict]) -> str:
    """Return the runs as a markdown page: exact match by kind, other metrics, retrieval, origin."""
    board = table(runs).rename(columns=METRICS | {"exact_match": "all"})
    board["command"] = "`" + board["command"] + "`"
    searched = [run["figures"]["retrieval"] for run in runs if run["figures"].get("retrieval")]
    sections = [
        ("Exact match by kind of question", board[["system", *KINDS, "all"]]),
        ("How the answers behave", board[["system", *list(METRICS.values())[1:]]]),
        *(("Finding and reading apart", part) for part in _split(runs)),
        *(("Retrieval: is the evidence among the hits?", _retrieval(one)) for one in searched[:1]),
        ("Where the rows come from", board[["system", "date", "machine", "command"]]),
    ]
    parts = [
        f"## {title}\n\n{results.table(list(part), part.to_numpy().tolist())}"
        for title, part in sections
    ]
    return "\n\n".join([HEAD, *parts]) + "\n"


def commands(run: dict) -> list[str]:
    """Return the commands that repeat a run, in order: fine-tuning first where there was any."""
    return run["config"]["command"].split(" && ")


def summary(run: dict) -> dict:
    """Return what a program may want of a run: name, short figures, origin and commands."""
    return {
        "name": run["name"],
        "system": name_of(run),
        "figures": {key: run["figures"].get(key) for key in SHORT},
        "date": run["date"],
        "stale": why_stale(run),
        "commands": commands(run),
    }


def in_words(runs: Sequence[dict]) -> str:
    """Return the runs as lines for a terminal, best first, each with the commands to repeat it."""
    if not runs:
        return "No exam is recorded yet. Begin with: python -m labkit exam --system base"
    board = table(runs)[["system", *SHORT]].rename(columns=METRICS)
    width = board["system"].str.len().max()
    head, *rows = (
        f"{name:{width}}" + "".join(f"  {cell:>19}" for cell in cells)
        for name, *cells in [list(board), *board.to_numpy().tolist()]
    )
    repeated = ("\n    ".join([row, *commands(run)]) for row, run in zip(rows, runs, strict=True))
    foot = "Percent, 95 % interval in brackets; below each row, how to repeat it."
    return "\n".join([head, *repeated, foot])


def page(runs: Sequence[dict], judged: Sequence[verdicts.Verdict] = ()) -> str:
    """Return runs and verdicts as one HTML page that loads nothing; every text is escaped."""
    if not runs:
        raise ValueError(in_words(runs))
    board = table(runs)[["system", *SHORT, "date", "command"]].rename(columns=METRICS)
    with pd.option_context("display.max_colwidth", None):
        parts = [board.to_html(index=False, border=0)]
        parts.append("<p>Percent of questions, 95 % bootstrap interval in brackets.</p>")
        if judged:
            claims = verdicts.table(judged).drop(columns="lesson")
            parts += ["<h2>The claims</h2>", claims.to_html(index=False, border=0)]
    return html("Leaderboard", "\n".join(parts))


def html(title: str, body: str) -> str:
    """Return a whole page around a body that is HTML already."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n{body}\n"
        "</body></html>\n"
    )


def _split(runs: Sequence[dict]) -> list[pd.DataFrame]:
    """Return one table of the runs that say what was shown with each answer, or none."""
    rows = [
        {"system": name_of(run)}
        | {name.replace("_", " "): share_text(share) for name, share in shares.items()}
        for run in runs
        if (shares := run["figures"].get("split"))
    ]
    return [pd.DataFrame(rows).fillna("–")] if rows else []


def _retrieval(modes: dict) -> pd.DataFrame:
    """Return hit@1 and hit@5 by kind, one row a way of searching."""
    return pd.DataFrame(
        {"search": f"{mode}, hit@{k}"}
        | {kind: share_text(by_kind[kind][metric]) for kind in (*KINDS, "all") if kind in by_kind}
        for mode, by_kind in modes.items()
        for k, metric in ((1, "hit_at_1"), (5, "hit_at_k"))
    )


def name_of(run: dict) -> str:
    """Return what a row is called: system, model, method of training, passages."""
    config = run["config"]
    parts = [
        config["system"],
        config["model"],
        config["training"]["method"] if "training" in config else "",
        f"k = {config['k']}" if config["k"] else "",
        "reranked" if config.get("reranked") else "",
        "finder" if config.get("mode") == "finder" else "",
        config.get("label", ""),
        "stale" if why_stale(run) else "",
    ]
    return ", ".join(filter(None, parts))


def share_text(share: dict | None) -> str:
    """Return a recorded share as percent with its interval; a dash where nothing has a say."""
    if share is None:
        return "–"
    return f"{100 * share['mean']:.0f} ({100 * share['low']:.0f}–{100 * share['high']:.0f})"
