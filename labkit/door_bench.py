"""The door ``bench``: one subcommand a benchmark.

Knows: its arguments. Does not know: how anything is measured (``bench_*``).
Used by ``__main__``.
"""

import argparse

from labkit.doors import json_flag, positive, print_result


def add(commands: argparse._SubParsersAction) -> None:
    """Add ``bench`` and what it can measure."""
    bench = commands.add_parser("bench", help="run a benchmark and record it")
    kinds = bench.add_subparsers(dest="what", required=True, metavar="WHAT")
    ingest = kinds.add_parser("ingest", help="memory against documents")
    json_flag(ingest)
    ingest.set_defaults(run=_ingest)
    retrieval = kinds.add_parser(
        "retrieval", help="recall, latency, bytes: LanceDB beside faiss, hnswlib, usearch"
    )
    retrieval.add_argument(
        "--sizes", nargs="+", type=positive, help="numbers of vectors (default: 10000 100000)"
    )
    json_flag(retrieval)
    retrieval.set_defaults(run=_retrieval)


def _ingest(arguments: argparse.Namespace) -> int:
    from labkit import bench_ingest

    figures = bench_ingest.run()
    print_result(bench_ingest.render(figures), figures, arguments.json)
    return 0


def _retrieval(arguments: argparse.Namespace) -> int:
    from labkit import bench_retrieval

    figures = bench_retrieval.run(sizes=tuple(arguments.sizes or bench_retrieval.SIZES))
    text = "\n\n".join(bench_retrieval.render(one) for one in figures)
    print_result(text, figures, arguments.json)
    return 0
