"""Lesson 02's exercises: the reference passes, and every plausible mistake gets its own hint."""

import numpy as np
from exercise_tests import ExerciseTests

from labkit.classroom.checks import lesson_02 as checks_02


def right_cosine(a, b):
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / lengths if lengths > 0 else 0.0


def dot(a, b):
    return a @ b


def distance(a, b):
    return 1 - right_cosine(a, b)


def euclidean(a, b):
    return np.linalg.norm(a - b)


def no_sign(a, b):
    return abs(right_cosine(a, b))


def no_guard(a, b):
    with np.errstate(invalid="ignore"):
        return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def right_top_k(scores, allowed, k):
    rows = [int(row) for row in np.argsort(-scores) if allowed[row]]
    return rows[:k]


def filter_after(scores, allowed, k):
    return [int(row) for row in np.argsort(-scores)[:k] if allowed[row]]


def subset_places(scores, allowed, k):
    return np.argsort(-scores[allowed])[:k]


def worst_first(scores, allowed, k):
    return [int(row) for row in np.argsort(scores) if allowed[row]][:k]


def padded(scores, allowed, k):
    return np.argsort(np.where(allowed, -scores, np.inf), kind="stable")[:k]


def multiplied(scores, allowed, k):
    order = np.argsort(-(scores * allowed), kind="stable")[:k]
    return order[: int(allowed.sum())]


def right_plan(old, new):
    return {
        "added": {name for name in new if name not in old},
        "changed": {name for name in new if name in old and new[name] != old[name]},
        "unchanged": {name for name in new if old.get(name) == new[name]},
        "removed": {name for name in old if name not in new},
    }


def swapped(old, new):
    plan = right_plan(old, new)
    return plan | {"added": plan["removed"], "removed": plan["added"]}


def ids_only(old, new):
    plan = right_plan(old, new)
    return plan | {"changed": set(), "unchanged": plan["changed"] | plan["unchanged"]}


def always_changed(old, new):
    plan = right_plan(old, new)
    return plan | {"changed": plan["changed"] | plan["unchanged"], "unchanged": set()}


def by_hash(old, new):
    plan = right_plan(old, new)
    moved = {name for name in plan["added"] if new[name] in old.values()}
    left = {name for name in plan["removed"] if old[name] in new.values()}
    return plan | {
        "added": plan["added"] - moved,
        "unchanged": plan["unchanged"] | moved,
        "removed": plan["removed"] - left,
    }


class TestExercises(ExerciseTests):
    right = [
        (checks_02.cosine, right_cosine),
        (checks_02.filtered_top_k, right_top_k),
        (checks_02.sync_plan, right_plan),
    ]
    wrong = [
        (checks_02.cosine, dot, "That is the dot product."),
        (checks_02.cosine, distance, "That is the cosine distance."),
        (checks_02.cosine, euclidean, "That is how far apart the tips are."),
        (checks_02.cosine, no_sign, "Keep the sign"),
        (checks_02.cosine, no_guard, "0 / 0 is not a number."),
        (checks_02.filtered_top_k, filter_after, "You ranked first"),
        (checks_02.filtered_top_k, subset_places, "Those are places among the allowed rows."),
        (checks_02.filtered_top_k, worst_first, "Those are the worst rows."),
        (checks_02.filtered_top_k, padded, "Rows that are not allowed must never come back"),
        (checks_02.filtered_top_k, multiplied, "A forbidden row now scores 0"),
        (checks_02.sync_plan, swapped, "Added and removed are swapped"),
        (checks_02.sync_plan, ids_only, "Same id is not same text."),
        (checks_02.sync_plan, always_changed, "Nothing would ever be unchanged."),
        (checks_02.sync_plan, by_hash, "A known text under a new id"),
    ]
