"""The door ``python -m labkit exam``: one system sits the exam.

Knows: arguments, and that a recorded run joins the leaderboard. Does not know: how an exam is sat
or scored (``evaluate``).
Used by ``__main__``.
"""

import argparse
from pathlib import Path

from labkit.cli.common import json_flag, model_name, positive, print_result


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    command = commands.add_parser("exam", help="run the exam and add the score to the leaderboard")
    command.add_argument("--system", choices=["base", "rag", "lora", "both"], default="rag")
    command.add_argument("--tuned", type=Path, help="a folder of `finetune`, for lora and both")
    command.add_argument(
        "--model", default="auto", type=model_name, help="catalogue name (default: auto)"
    )
    command.add_argument("-k", type=positive, help="passages shown (default: what suits the model)")
    command.add_argument(
        "--rerank", action="store_true", help="compare passages and question token by token first"
    )
    command.add_argument(
        "--label", default="", help="ends the record's name; else one replaces another"
    )
    command.add_argument(
        "--limit", type=positive, help="only N questions, spread over the exam; not recorded"
    )
    json_flag(command)
    command.set_defaults(run=_exam)


def _exam(arguments: argparse.Namespace) -> int:
    from labkit import evaluate, results
    from labkit.claims import leaderboard
    from labkit.store import course

    recorded = arguments.limit is None
    if recorded:
        results.refuse_fast()
    run = evaluate.sit(
        arguments.system,
        model=arguments.model,
        tuned=arguments.tuned,
        k=arguments.k,
        limit=arguments.limit,
        store=course.open_course_store() if arguments.system in evaluate.OPEN_BOOK else None,
        scorer=course.course_scorer() if arguments.rerank else None,
        label=arguments.label,
        progress=not arguments.json,
    )
    if recorded:
        leaderboard.write()
    print_result(evaluate.render(run), run, arguments.json)
    return 0
