"""Lesson 03's own code, taken from the lesson's page, agrees with the package it explains."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.authoring.source import Lesson, convert
from labkit.bench import vectors as bench_vectors
from labkit.classroom.checks import lesson_03 as checks_03
from labkit.store import ivf_pq as vector_index

LESSON = "03_search_at_scale"


def defined_in_lesson(root: Path, name: str, **names: Any) -> Any:
    """Return a function as the solutions' notebook defines it, without running the rest."""
    notebook = convert(Lesson(root, LESSON), "solutions")
    cell = next(c for c in notebook.cells if c.cell_type == "code" and f"def {name}(" in c.source)
    lines = cell.source.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"def {name}("))
    stop = next(
        (i for i, line in enumerate(lines) if i > start and line[:1] not in ("", " ")), len(lines)
    )
    scope = {"np": np, **names}
    exec("\n".join(lines[start:stop]), scope)
    return scope[name]


@pytest.fixture(scope="module")
def made() -> bench_vectors.BenchVectors:
    return bench_vectors.clustered(800, dimension=16, seed=6)


def test_inline_search_equals_the_packages_exact_neighbours(
    root: Path, made: bench_vectors.BenchVectors
) -> None:
    nearest = defined_in_lesson(root, "nearest")
    ours = [nearest(query, made.vectors, 7).tolist() for query in made.queries]
    assert ours == vector_index.exact_neighbours(made.queries, made.vectors, 7).tolist()


def test_inline_kmeans_equals_the_packages(root: Path, made: bench_vectors.BenchVectors) -> None:
    centres, owner = defined_in_lesson(root, "kmeans")(made.vectors, 12, rounds=5)
    expected, nearest = vector_index.kmeans(made.vectors, 12, n_iterations=5, seed=0)
    assert centres == pytest.approx(expected, abs=1e-5)
    assert (owner == nearest).mean() > 0.99


def test_inline_ivf_finds_what_the_packages_finds(
    root: Path, made: bench_vectors.BenchVectors
) -> None:
    ivf = vector_index.build_ivf(made.vectors, 12)
    search = defined_in_lesson(
        root, "search_ivf", centres=ivf.centroids, members=ivf.members, vectors=made.vectors, k=5,
        nearest=defined_in_lesson(root, "nearest"),
    )  # fmt: skip
    for query in made.queries[:50]:
        expected = ivf.search(query, made.vectors, 5, n_probes=3)
        assert [row for row in search(query, 3).tolist() if row >= 0] == expected.tolist()


@pytest.mark.parametrize("name", ["recall_at_k", "partitions_to_probe", "lookup_distances"])
def test_the_lessons_solution_passes_its_own_check(name: str, root: Path) -> None:
    verdict = getattr(checks_03, name).judge(defined_in_lesson(root, name))
    assert verdict.state == "passed", verdict.message
