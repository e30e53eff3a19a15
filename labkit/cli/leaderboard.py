"""The door ``python -m labkit leaderboard``: what was measured so far, and what it decides.

Knows: arguments and where the pages go. Does not know: what a row or a verdict says
(``leaderboard``, ``verdicts``). Used by ``__main__``.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from labkit.cli.common import json_flag, print_result


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser(
        "leaderboard", help="show the recorded exam runs and the claims' verdicts"
    )
    command.add_argument("--verdicts", action="store_true", help="show the verdicts instead")
    command.add_argument("--html", type=Path, metavar="FILE", help="write one page with all of it")
    command.add_argument(
        "--write",
        action="store_true",
        help="write LEADERBOARD.md and VERDICTS.md anew, beside the recorded runs",
    )
    json_flag(command)
    command.set_defaults(run=_leaderboard)


def _leaderboard(arguments: argparse.Namespace) -> int:
    from labkit import results
    from labkit.claims import leaderboard, verdicts

    runs = results.leaderboard()
    wanted = arguments.verdicts or arguments.html or arguments.write
    judged = verdicts.judge_all(verdicts.load_records()) if wanted else []
    written = []
    if arguments.html:
        results.write_atomically(arguments.html, leaderboard.page(runs, judged))
        written.append(arguments.html)
    if arguments.write:
        written += [leaderboard.write(), verdicts.write(judged)]
    text = verdicts.in_words(judged) if arguments.verdicts else leaderboard.in_words(runs)
    lines = [text, *(f"written: {path}" for path in written)]
    print_result("\n".join(lines), _data(runs, judged), arguments.json)
    return 0


def _data(runs: list[dict], judged: list) -> dict:
    from labkit.claims import leaderboard
    from labkit.claims.records import why_stale

    rows = [
        {
            "name": run["name"],
            "system": leaderboard.name_of(run),
            "figures": {key: run["figures"].get(key) for key in leaderboard.SHORT},
            "date": run["date"],
            "stale": why_stale(run),
            "commands": leaderboard.commands(run),
        }
        for run in runs
    ]
    verdicts = [asdict(one) | {"claim": one.claim.name} for one in judged]
    return {"runs": rows, "verdicts": verdicts}
