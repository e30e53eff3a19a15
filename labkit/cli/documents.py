"""The doors ``ingest``, ``search`` and ``ask``: documents into a database, answers out of it.

Knows: arguments, and when the price of an embedding service must be agreed to. Does not know: how
documents are read and found (``store``) or an answer is written (``rag``).
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Argument, BadParameter, Option

from labkit.cli.common import JSON, MODEL, PASSAGES, TUNED, embedder_name, print_result
from labkit.types import Mode

if TYPE_CHECKING:
    from labkit.finder import Finder
    from labkit.store import Store


EMBEDDER = """model of the catalogue, or of a service with its key in the environment
(default: the database's own, all-MiniLM-L6-v2 for a new one)"""
COURSE = "folder of the database (default: the course's own documents, ingested on first use)"


def ingest(
    path: list[str] = Argument(
        metavar="PATH", help="md txt csv pdf docx xlsx html, or folders of them"
    ),
    db: str = Option(help="folder of the database"),
    max_words: int = Option(60, min=1, help="words a chunk"),
    embedder: str = Option(None, parser=embedder_name, metavar="NAME", help=EMBEDDER),
    yes: bool = Option(False, "--yes", help="pay for a large run of an embedding service"),
    as_json: bool = JSON,
) -> None:
    """Read folders of documents into a database."""
    from tqdm import tqdm

    store = _open_store(db, create=True, embedder=embedder)
    _agree_on_price(store, path, max_words, yes)
    with tqdm(unit=" documents", disable=True if as_json else None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = store.ingest(path, max_words=max_words, on_progress=show)
    lines = [
        f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged, "
        f"{report.removed} removed; {report.chunks_embedded} chunks embedded in "
        f"{report.wall_s:.1f} s",
        *(f"could not read {item.path!r}: {item.reason}" for item in report.unreadable),
        f'Ask with: python -m labkit ask "…" --db {db}',
    ]
    print_result("\n".join(lines), asdict(report), as_json)


def search(
    question: str,
    db: str = Option("", help=COURSE, show_default=False),
    mode: Mode = Option("hybrid", help="hybrid looks closer; vector and text are bare lists"),
    where: list[str] = Option([], metavar="COLUMN=VALUE", help="such as kind=bulletin; repeatable"),
    k: int = Option(5, "-k", min=1, help="hits"),
    as_json: bool = JSON,
) -> None:
    """Show what is found for a question: passages, scores, sources; no model answers."""
    conditions = dict(map(_condition, where))
    if conditions or mode != "hybrid":
        hits = _store(db).search(question, k=k, mode=mode, where=conditions)
    else:
        hits = _finder(db).search(question, k=k)
    lines = [f"{hit.score:6.3f}  [{hit.document_id}] {hit.date or ''}\n        {hit.passage}"
             for hit in hits]  # fmt: skip
    print_result("\n".join(lines) or "Nothing was found.", [asdict(hit) for hit in hits], as_json)


def _condition(text: str) -> tuple[str, str | float]:
    column, sign, value = text.partition("=")
    if not sign or not column or not value:
        raise BadParameter(f"{text!r} is no condition; write COLUMN=VALUE, such as kind=bulletin")
    try:
        return column, float(value)
    except ValueError:
        return column, value


def _store(db: str) -> "Store":
    from labkit.store import course

    return _open_store(db, create=False) if db else course.open_course_store()


def _finder(db: str) -> "Finder":
    from labkit import finder

    return finder.open_finder(_store(db)) if db else finder.open_course_finder()


def ask(
    question: str,
    db: str = Option("", help=COURSE, show_default=False),
    model: str = MODEL,
    tuned: Path = TUNED,
    k: int = PASSAGES,
    as_json: bool = JSON,
) -> None:
    """Ask the documents; the answer names its sources."""
    from labkit import catalogue, models, rag

    finder = _finder(db)
    llm = models.load_language_model(model, tuned=tuned)
    stream = None if as_json else lambda text: print(text, end="", flush=True)
    config = rag.RagConfig(k=k or catalogue.passages_for(llm.name))
    answer = rag.answer(question, finder, llm, config=config, on_text=stream)
    print_result("\n" + rag.render_sources(answer), asdict(answer), as_json)


def _open_store(db: str, *, create: bool, embedder: str | None = None) -> "Store":
    from labkit.embed import DEFAULT_MODEL
    from labkit.services.embedding import load_embedder
    from labkit.store import open_store
    from labkit.store.schema import embedder_of

    name = embedder or embedder_of(db) or DEFAULT_MODEL
    return open_store(db, load_embedder(name), create=create)


def _agree_on_price(store: "Store", paths: list[str], max_words: int, yes: bool) -> None:
    """Say what an embedding service will take for this run; a large one needs ``--yes``."""
    from labkit.services.embedding import TOKENS_WITHOUT_YES, estimate_cost, is_served

    if not is_served(store.embedder_name):
        return
    pending = store.pending_passages(paths, max_words=max_words)
    n_tokens, words = estimate_cost(store.embedder_name, pending)
    print(f"{store.embedder_name}: {words}", file=sys.stderr)
    if n_tokens > TOKENS_WITHOUT_YES and not yes:
        raise ValueError(
            f"that is more than {TOKENS_WITHOUT_YES} tokens; run it again with --yes to pay for it."
        )
