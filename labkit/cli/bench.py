"""The door ``bench``: one subcommand a benchmark.

Knows: their names and arguments. Does not know: how anything is measured (``bench_*``).
Used by ``__main__``.
"""

import argparse
import importlib
from pathlib import Path

from labkit.cli.common import json_flag, positive, print_result

# Each is a module ``bench_NAME`` with ``run()`` and ``render()``.
PLAIN = {
    "ingest": "memory against documents",
    "rag": "variants of retrieval on the exam's questions",
    "updates": "before and after the bulletins",
    "injection": "planted documents, and what stops them",
    "training": "this course's trainer beside the stock ones",
    "memory": "predicted against rehearsed training steps",
    "methods": "full, LoRA and QLoRA on the same examples and budget",
    "sweeps": "LoRA's rank, alpha, targets and learning rate",
    "data-size": "exam score against number of training examples, and wrong labels",
}


def add(commands: argparse._SubParsersAction) -> None:
    """Add ``bench`` and what it can measure."""
    bench = commands.add_parser("bench", help="run a benchmark and record it")
    kinds = bench.add_subparsers(dest="what", required=True, metavar="WHAT")
    for name, about in PLAIN.items():
        plain = kinds.add_parser(name, help=about)
        json_flag(plain)
        plain.set_defaults(run=_plain)
    retrieval = kinds.add_parser(
        "retrieval", help="recall, latency, bytes: LanceDB beside faiss, hnswlib, usearch"
    )
    retrieval.add_argument(
        "--sizes", nargs="+", type=positive, help="numbers of vectors (default: 10000 100000)"
    )
    json_flag(retrieval)
    retrieval.set_defaults(run=_retrieval)
    effects = kinds.add_parser("side-effects", help="what fine-tuning forgets; stale adapters")
    effects.add_argument("--tuned", required=True, type=Path, help="folder made by finetune")
    json_flag(effects)
    effects.set_defaults(run=_side_effects)


def _plain(arguments: argparse.Namespace) -> int:
    bench = importlib.import_module(f"labkit.bench.{arguments.what.replace('-', '_')}")
    figures = bench.run()
    print_result(bench.render(figures), figures, arguments.json)
    return 0


def _retrieval(arguments: argparse.Namespace) -> int:
    from labkit.bench import retrieval as bench_retrieval

    figures = bench_retrieval.run(sizes=tuple(arguments.sizes or bench_retrieval.SIZES))
    text = "\n\n".join(bench_retrieval.render(one) for one in figures)
    print_result(text, figures, arguments.json)
    return 0


def _side_effects(arguments: argparse.Namespace) -> int:
    from labkit.bench import side_effects as bench_side_effects

    figures = bench_side_effects.run(arguments.tuned)
    print_result(bench_side_effects.render(figures), figures, arguments.json)
    return 0
