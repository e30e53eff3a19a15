"""The doors ``bench …``: one a benchmark.

Knows: their names and arguments. Does not know: how anything is measured (``labkit.bench``).
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from typer import Argument, Option, Typer

from labkit.cli.common import JSON, print_result

# Each is a module of ``labkit.bench`` with ``run()`` and ``render()``.
PLAIN = {
    "ingest": "Memory against documents.",
    "rag": "Variants of retrieval on the exam's questions.",
    "finding": "Is all evidence among the first passages? Hybrid, reranked, the finder.",
    "haystack": "The same among 100,000 foreign passages, ingested end to end.",
    "reader": "The reader trained with each method and format, three seeds; hours on two cores.",
    "updates": "Before and after the bulletins.",
    "injection": "Planted documents, and what stops them.",
    "training": "This course's trainer beside the stock ones.",
    "memory": "Predicted against rehearsed training steps.",
    "methods": "Full, LoRA and QLoRA on the same examples and budget.",
    "sweeps": "LoRA's rank, alpha, targets and learning rate.",
    "data-size": "Exam score against number of training examples, and wrong labels.",
}
bench = Typer(help="Run a benchmark and record it.", rich_markup_mode=None)


def _door(name: str) -> Callable[..., None]:
    def run(as_json: bool = JSON) -> None:
        module = importlib.import_module(f"labkit.bench.{name.replace('-', '_')}")
        figures = module.run()
        print_result(module.render(figures), figures, as_json)

    return run


for _name, _about in PLAIN.items():
    bench.command(_name, help=_about)(_door(_name))


@bench.command()
def retrieval(
    sizes: list[int] = Option(None, min=1, help="numbers of vectors (default: 10000 100000)"),
    more: list[int] = Argument(None, min=1, hidden=True, metavar=""),  # those after the first
    as_json: bool = JSON,
) -> None:
    """Measure recall, latency, bytes: LanceDB beside faiss, hnswlib, usearch."""
    from labkit.bench import retrieval

    figures = retrieval.run(sizes=(*(sizes or ()), *(more or ())) or retrieval.SIZES)
    print_result("\n\n".join(map(retrieval.render, figures)), figures, as_json)


@bench.command()
def side_effects(
    tuned: Path = Option(help="folder made by finetune"), as_json: bool = JSON
) -> None:
    """Measure what fine-tuning forgets, and stale adapters."""
    from labkit.bench import side_effects

    figures = side_effects.run(tuned)
    print_result(side_effects.render(figures), figures, as_json)


@bench.command()
def gpu(
    minutes: float = Option(8, min=1, help="how long it may take"),
    full: bool = Option(False, "--full", help="the larger grid; its hours are told first"),
    device: Literal["cuda", "cpu"] = Option("cuda", help="cpu: to try the benchmark itself"),
    model: Literal["tiny"] = Option(None, help="a tiny model only: a trial"),
    folder: Path = Option(None, help="where to record (default: data/results)"),
    as_json: bool = JSON,
) -> None:
    """Measure training steps on this card: full, LoRA, QLoRA, memory and speed."""
    from labkit.bench import gpu
    from labkit.measure import Device

    figures = gpu.run(
        minutes=minutes,
        full=full,
        tiny=model is not None,
        device=Device("cpu") if device == "cpu" else None,
        folder=folder,
        say=(lambda _: None) if as_json else print,
    )
    print_result(gpu.render(figures), figures, as_json)
