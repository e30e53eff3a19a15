"""The doors ``exam`` and ``leaderboard``: one system sits the exam; what was measured so far.

Knows: arguments and where the pages go. Does not know: how an exam is sat (``evaluate``) or what a
row or a verdict says (``claims``).
"""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from typer import Context, Option

from labkit.cli.common import JSON, MODEL, PASSAGES, TUNED, print_result

PART = """test: looked at while the course was built; final: sealed, each frozen system answers it
once; kept: training questions to choose by; ropeways: another industry"""
WRITE = "write LEADERBOARD.md and VERDICTS.md anew, beside the recorded runs"


def exam(
    context: Context,
    system: Literal["base", "rag", "lora", "both"] = "rag",
    part: Literal["test", "final", "kept", "ropeways"] = Option("test", help=PART),
    tuned: Path = TUNED,
    model: str = MODEL,
    k: int = PASSAGES,
    rerank: bool = Option(False, "--rerank", help="compare passages and question token by token"),
    finder: bool = Option(False, "--finder", help="search as `ask` does: identifiers, newer first"),
    label: str = Option("", help="ends the record's name; else one replaces another"),
    limit: int = Option(None, min=1, help="N questions spread evenly over the exam; not recorded"),
    as_json: bool = JSON,
) -> None:
    """Run the exam and add the score to the leaderboard."""
    from labkit import evaluate, results
    from labkit.claims import leaderboard
    from labkit.finder import open_course_finder
    from labkit.rerank import course_scorer
    from labkit.store import course

    if limit is None:
        results.refuse_fast()
    names = ("model", "tuned", "k", "limit", "label", "part")
    options = {name: context.params[name] for name in names}
    industry, _ = evaluate.PARTS[part]
    if system in evaluate.OPEN_BOOK:
        opened = open_course_finder if finder else course.open_course_store
        options["store"] = opened(industry=industry)
    options["scorer"] = course_scorer() if rerank else None
    run = evaluate.sit(system, **options, progress=not as_json)
    if limit is None:
        leaderboard.write()
    print_result(evaluate.render(run), run, as_json)


def leaderboard(
    show_verdicts: bool = Option(False, "--verdicts", help="show the verdicts instead"),
    html: Path = Option(None, metavar="FILE", help="write one page with all of it"),
    write: bool = Option(False, "--write", help=WRITE),
    as_json: bool = JSON,
) -> None:
    """Show the recorded exam runs and the claims' verdicts."""
    from labkit import results
    from labkit.claims import leaderboard, verdicts

    runs = results.leaderboard()
    wanted = show_verdicts or html or write
    judged = verdicts.judge_all(verdicts.load_records()) if wanted else []
    written = []
    if html:
        results.write_atomically(html, leaderboard.page(runs, judged))
        written.append(html)
    if write:
        written += [leaderboard.write(), verdicts.write(judged)]
    text = verdicts.in_words(judged) if show_verdicts else leaderboard.in_words(runs)
    lines = [text, *(f"written: {path}" for path in written)]
    claims = [asdict(one) | {"claim": one.claim.name} for one in judged]
    data = {"runs": [leaderboard.summary(run) for run in runs], "verdicts": claims}
    print_result("\n".join(lines), data, as_json)
