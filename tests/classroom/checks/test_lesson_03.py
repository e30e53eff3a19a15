"""Lesson 03's exercises: the reference passes, and every plausible mistake gets its own hint."""

import numpy as np
from exercise_tests import ExerciseTests

from labkit.classroom.checks import lesson_03 as checks_03


def right_recall(found, true):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, true, strict=True)])


def same_places(found, true):
    return np.mean(found == true)


def counted(found, true):
    return np.mean([len(set(a) & set(b)) for a, b in zip(found, true, strict=True)])


def any_hit(found, true):
    return np.mean([bool(set(a) & set(b)) for a, b in zip(found, true, strict=True)])


def pooled(found, true):
    return np.isin(np.unique(true), found).mean()


def of_the_found(found, true):
    """Divide by what was found: precision."""
    pairs = zip(found.tolist(), true.tolist(), strict=True)
    return np.mean([len(set(a) & set(b)) / max(1, len(set(a) - {-1})) for a, b in pairs])


def right_probe(query, centroids, n_probes):
    return np.argsort(np.linalg.norm(centroids - query, axis=1))[:n_probes]


def farthest(query, centroids, n_probes):
    return np.argsort(-np.linalg.norm(centroids - query, axis=1))[:n_probes]


def by_dot(query, centroids, n_probes):
    return np.argsort(-(centroids @ query))[:n_probes]


def distances(query, centroids, n_probes):
    return np.sort(((centroids - query) ** 2).sum(axis=1))[:n_probes]


def only_one(query, centroids, n_probes):
    return [np.linalg.norm(centroids - query, axis=1).argmin()]


def right_lookup(query, codebooks, codes):
    decoded = np.hstack([book[codes[:, i]] for i, book in enumerate(codebooks)])
    return ((decoded - query) ** 2).sum(axis=1)


def first_table(query, codebooks, codes):
    table = ((codebooks[0] - query[: codebooks.shape[2]]) ** 2).sum(axis=1)
    return table[codes].sum(axis=1)


def rooted(query, codebooks, codes):
    return np.sqrt(right_lookup(query, codebooks, codes))


def sum_of_roots(query, codebooks, codes):
    size = codebooks.shape[2]
    return sum(
        np.linalg.norm(book[codes[:, i]] - query[i * size : (i + 1) * size], axis=1)
        for i, book in enumerate(codebooks)
    )


def not_added(query, codebooks, codes):
    size = codebooks.shape[2]
    parts = [
        ((book[codes[:, i]] - query[i * size : (i + 1) * size]) ** 2).sum(axis=1)
        for i, book in enumerate(codebooks)
    ]
    return np.stack(parts, axis=1)


def right_but_interleaved(query, codebooks, codes):
    """Cut the query into every m-th number."""
    m = len(codebooks)
    shuffled = np.concatenate([query[i::m] for i in range(m)])
    return right_lookup(shuffled, codebooks, codes)


class TestExercises(ExerciseTests):
    right = [
        (checks_03.recall_at_k, right_recall),
        (checks_03.partitions_to_probe, right_probe),
        (checks_03.lookup_distances, right_lookup),
    ]
    wrong = [
        (checks_03.recall_at_k, same_places, "compare sets"),
        (checks_03.recall_at_k, counted, "Divide by how many"),
        (checks_03.recall_at_k, any_hit, "One hit is not enough"),
        (checks_03.recall_at_k, pooled, "does not help another"),
        (checks_03.recall_at_k, of_the_found, "still k long"),
        (checks_03.partitions_to_probe, farthest, "farthest partitions"),
        (checks_03.partitions_to_probe, by_dot, "long centroid"),
        (checks_03.partitions_to_probe, distances, "numbers, not their distances"),
        (checks_03.partitions_to_probe, only_one, "as many as `n_probes`"),
        (checks_03.lookup_distances, first_table, "slice i looks into row i"),
        (checks_03.lookup_distances, rooted, "Leave the distance squared"),
        (checks_03.lookup_distances, sum_of_roots, "drop the root"),
        (checks_03.lookup_distances, not_added, "Add them up"),
        (checks_03.lookup_distances, right_but_interleaved, "as many slices"),
    ]
