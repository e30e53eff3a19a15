"""Lesson 05's exercises: the reference passes, and every plausible mistake gets its own hint."""

import math

import numpy as np
import pytest
from exercise_tests import ExerciseTests

from labkit import measure, retrieval_metrics
from labkit.classroom.checks import lesson_05 as checks_05


def gains(relevant, k):
    return sum(r / math.log2(i + 2) for i, r in enumerate(relevant[:k]))


def right_ndcg(relevant, n_relevant, k):
    ideal = 0.0
    for rank in range(1, min(n_relevant, k) + 1):
        ideal += 1 / np.log2(rank + 1)
    return gains(relevant, k) / ideal


def flat(relevant, n_relevant, k):
    return sum(relevant[:k]) / min(n_relevant, k)


def right_flip(a, b, signs):
    far = abs(sum(a - b))
    return sum(abs(sum(row * (a - b))) >= far - 1e-12 for row in signs) / len(signs)


def right_newer(hits):
    ids = []
    for hit in hits:
        older = [h["id"] for h in hits if h["document"] == hit["supersedes"] and h["id"] in ids]
        ids.insert(ids.index(older[0]) if older else len(ids), hit["id"])
    return ids


def swapped(hits):
    ordered = list(hits)
    for newer in hits:
        for older in hits:
            i, j = ordered.index(older), ordered.index(newer)
            if newer["supersedes"] == older["document"] and i < j:
                ordered[i], ordered[j] = newer, older
    return [hit["id"] for hit in ordered]


def last(hits):
    gone = {hit["supersedes"] for hit in hits}
    kept = [hit for hit in hits if hit["document"] not in gone]
    return [hit["id"] for hit in [*kept, *(h for h in hits if h not in kept)]]


class TestExercises(ExerciseTests):
    right = [
        (checks_05.ndcg, right_ndcg),
        (checks_05.sign_flip, right_flip),
        (checks_05.newer_wins, right_newer),
    ]
    wrong = [
        (checks_05.ndcg, flat, "Every rank counts the same"),
        (checks_05.ndcg, lambda r, n, k: gains(r, k), "That is the gain."),
        (checks_05.ndcg, lambda r, n, k: gains(r, 99) / gains([1] * n, k), "Only the first k"),
        (checks_05.ndcg, lambda r, n, k: gains(r, k) / gains([1] * k, k), "only `n_relevant`"),
        (
            checks_05.ndcg,
            lambda r, n, k: gains(r, k) / (gains(sorted(r)[::-1], k) or 1),
            "The perfect ranking holds all",
        ),
        (checks_05.ndcg, lambda r, n, k: gains(r, k) / gains([1] * n, n), "is cut at k too"),
        (
            checks_05.sign_flip,
            lambda a, b, s: np.mean(s @ (a - b) >= (a - b).sum() - 1e-9),
            "Chance can favour either",
        ),
        (
            checks_05.sign_flip,
            lambda a, b, s: np.mean(abs(s @ (a - b)) > abs((a - b).sum()) + 1e-9),
            "A flip that gets exactly as far",
        ),
        (
            checks_05.sign_flip,
            lambda a, b, s: np.mean(abs(s @ (a - b)) <= abs((a - b).sum()) + 1e-9),
            "Count the flips that get as far",
        ),
        (checks_05.sign_flip, lambda a, b, s: abs(a.mean() - b.mean()), "That is the difference"),
        (
            checks_05.sign_flip,
            lambda a, b, s: np.mean(abs(s.sum(1)) >= abs((a - b).sum()) - 1e-9),
            "Flip the differences, not ones",
        ),
        (checks_05.newer_wins, lambda hits: [h["id"] for h in hits], "You changed nothing."),
        (
            checks_05.newer_wins,
            lambda hits: [h["id"] for h in sorted(hits, key=lambda h: h["date"])][::-1],
            "New is not better in itself",
        ),
        (
            checks_05.newer_wins,
            lambda hits: [h["id"] for h in sorted(hits, key=lambda h: h["supersedes"] is None)],
            "Take the place of what is superseded",
        ),
        (
            checks_05.newer_wins,
            lambda hits: [
                h["id"] for h in hits if h["document"] not in [x["supersedes"] for x in hits]
            ],
            "Keep the older hit",
        ),
        (checks_05.newer_wins, last, "Do not send the older hit to the end"),
        (checks_05.newer_wins, swapped, "You swapped the two."),
    ]


def test_the_references_agree_with_the_package() -> None:
    for case in checks_05.ndcg.cases():
        relevant, n_relevant, k = case.arguments
        found = [{i} if r else set() for i, r in enumerate(relevant)]
        expected = retrieval_metrics.ndcg_at_k(found, k, n_relevant)
        assert right_ndcg(*case.arguments) == pytest.approx(expected)
    for case in checks_05.sign_flip.cases():
        a, b, signs = case.arguments
        assert right_flip(a, b, signs) == pytest.approx(measure.sign_flip_p(a, b), abs=0.02)
