"""The command line: thin doors to the functions that the lessons call.

Knows: arguments, exit codes (0 done, 1 the work failed, 2 bad usage) and what to print.
Does not know: how anything is done.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from labkit import __version__
from labkit.cli import bench as door_bench
from labkit.cli import exam as door_exam
from labkit.cli import finetune as door_finetune
from labkit.cli import leaderboard as door_leaderboard
from labkit.cli import plan as door_plan
from labkit.cli.common import (
    db_flag,
    embedder_name,
    json_flag,
    model_name,
    positive,
    print_result,
)

if TYPE_CHECKING:
    from labkit.store import Store


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("Stopped. Run the same command again to go on.", file=sys.stderr)
        return 1
    except (ValueError, OSError, ModuleNotFoundError, MemoryError) as error:
        print(f"labkit {arguments.command}: {error}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m labkit``."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit",
        description="Make a small language model an expert on your documents, and measure it.",
    )
    parser.add_argument("--version", action="version", version=f"labkit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_doctor(commands)
    _add_fetch(commands)
    _add_ingest(commands)
    _add_ask(commands)
    door_exam.add(commands)
    door_leaderboard.add(commands)
    door_finetune.add(commands)
    door_plan.add(commands)
    door_bench.add(commands)
    _add_lab(commands)
    return parser


def _add_doctor(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("doctor", help="say what runs on this machine, and what to fix")
    json_flag(command)
    command.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from labkit import doctor

    report = doctor.examine()
    print_result(
        doctor.render(report), asdict(report) | {"healthy": report.healthy}, arguments.json
    )
    return 0 if report.healthy else 1


def _add_fetch(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("fetch", help="bring models into the cache and check their hash")
    command.add_argument(
        "model",
        nargs="*",
        type=model_name,
        help="catalogue names (default: the two small models, and the course's database)",
    )
    command.add_argument("--list", action="store_true", help="list the catalogue and stop")
    command.set_defaults(run=_fetch)


def _fetch(arguments: argparse.Namespace) -> int:
    from labkit import catalogue, fetch

    if arguments.list:
        for card in catalogue.CATALOGUE.values():
            state = "here" if fetch.is_fetched(card.name) else card.source
            print(f"{card.name:24} {card.n_parameters / 1e6:8.0f} M  {state:9} {card.about}")
        return 0
    for name in arguments.model or [catalogue.EMBEDDING_MODEL, catalogue.SMALL_MODEL]:
        fetch.fetch(name)
    if not arguments.model:
        print("course documents: preparing the database", flush=True)
        print(f"course documents: {_course_store().count()} chunks ready")
    return 0


def _add_ingest(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("ingest", help="read folders of documents into a database")
    command.add_argument("path", nargs="+", help="folders or files: md txt csv pdf docx xlsx html")
    db_flag(command)
    command.add_argument(
        "--max-words", type=positive, default=60, help="words a chunk (default 60)"
    )
    command.add_argument(
        "--embedder",
        type=embedder_name,
        help="model of the catalogue, or of a service with its key in the environment "
        "(default: the database's own, all-MiniLM-L6-v2 for a new one)",
    )
    command.add_argument(
        "--yes", action="store_true", help="pay for a large run of an embedding service"
    )
    json_flag(command)
    command.set_defaults(run=_ingest)


def _ingest(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    store = _open_store(arguments.db, create=True, embedder=arguments.embedder)
    _agree_on_price(store, arguments)
    with tqdm(unit=" documents", disable=True if arguments.json else None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = store.ingest(arguments.path, max_words=arguments.max_words, on_progress=show)
    lines = [
        f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged, "
        f"{report.removed} removed; {report.chunks_embedded} chunks embedded in "
        f"{report.wall_s:.1f} s",
        *(f"could not read {item.path!r}: {item.reason}" for item in report.unreadable),
        f'Ask with: python -m labkit ask "…" --db {arguments.db}',
    ]
    print_result("\n".join(lines), asdict(report), arguments.json)
    return 0


def _agree_on_price(store: "Store", arguments: argparse.Namespace) -> None:
    """Say what an embedding service will take for this run; a large one needs ``--yes``."""
    from labkit.services.embed_services import TOKENS_WITHOUT_YES, estimate_cost, is_served

    if not is_served(store.embedder_name):
        return
    pending = store.pending_passages(arguments.path, max_words=arguments.max_words)
    estimate = estimate_cost(store.embedder_name, pending)
    print(f"{store.embedder_name}: {estimate}", file=sys.stderr)
    if estimate.n_tokens > TOKENS_WITHOUT_YES and not arguments.yes:
        raise ValueError(
            f"that is more than {TOKENS_WITHOUT_YES} tokens; run it again with --yes to pay for it."
        )


def _add_ask(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("ask", help="ask the documents; the answer names its sources")
    command.add_argument("question")
    db_flag(command, "the course's own documents, ingested on first use")
    command.add_argument(
        "--model", default="auto", type=model_name, help="catalogue name (default: auto)"
    )
    command.add_argument("--tuned", type=Path, help="a folder of `finetune`, made from that model")
    command.add_argument("-k", type=positive, help="passages shown (default: what suits the model)")
    json_flag(command)
    command.set_defaults(run=_ask)


def _ask(arguments: argparse.Namespace) -> int:
    from labkit import catalogue, models, rag

    store = _open_store(arguments.db, create=False) if arguments.db else _course_store()
    llm = models.load_language_model(arguments.model, tuned=arguments.tuned)
    stream = None if arguments.json else lambda text: print(text, end="", flush=True)
    config = rag.RagConfig(k=arguments.k or catalogue.passages_for(llm.name))
    answer = rag.answer(arguments.question, store, llm, config=config, on_text=stream)
    if arguments.json:
        print(json.dumps(asdict(answer), ensure_ascii=False, default=str))
        return 0
    print("\n" + rag.render_sources(answer))
    return 0


def _add_lab(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("lab", help="open JupyterLab on lesson 00")
    command.add_argument("--port", type=int, default=0, help="0 picks a free one")
    command.set_defaults(run=_lab)


def _lab(arguments: argparse.Namespace) -> int:
    from labkit.authoring import lab

    return lab.start(port=arguments.port)


def _open_store(db: str, *, create: bool, embedder: str | None = None) -> "Store":
    from labkit.embed import DEFAULT_MODEL, load_embedder
    from labkit.store import open_store
    from labkit.store.schema import embedder_of

    name = embedder or embedder_of(db) or DEFAULT_MODEL
    return open_store(db, load_embedder(name), create=create)


def _course_store() -> "Store":
    from labkit.store import course

    return course.open_course_store()
