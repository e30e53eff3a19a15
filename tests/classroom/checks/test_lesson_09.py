"""Lesson 09's exercises: the reference passes, and every plausible mistake gets its own hint."""

import random

from exercise_tests import ExerciseTests

from labkit.classroom.checks import lesson_09 as checks_09


def placed(proof, found, k, place):
    shown = [passage for passage in found if passage != proof][: k - 1]
    shown.insert(place, proof)
    return shown


def by_hand(answers, share, seed):
    chance, spoiled = random.Random(seed), list(answers)
    for i in chance.sample(range(len(answers)), round(share * len(answers))):
        spoiled[i] = chance.choice([other for other in answers if other != answers[i]])
    return spoiled


def unseeded(answers, share, seed):
    return by_hand(answers, share, random.randrange(10**9))


def deaf(answers, share, seed):
    return by_hand(answers, share, 0)


def invented(answers, share, seed):
    pairs = zip(answers, by_hand(answers, share, seed), strict=True)
    return [a if b == a else "nonsense" for a, b in pairs]


def blind(answers, share, seed):
    chance, spoiled = random.Random(seed), list(answers)
    for i in chance.sample(range(len(answers)), round(share * len(answers))):
        spoiled[i] = answers[(i + 1) % len(answers)]
    return spoiled


def too_many(answers, share, seed):
    return by_hand(answers, share and 1.0, seed)


def always_noisy(answers, share, seed):
    return by_hand(answers, 0.2, seed)


def sure(ends):
    return ends[0] > 0


def written_out(rag, lora, both_over_rag, both_over_lora):
    if all(map(sure, (both_over_rag, both_over_lora))):
        return "both"
    return next((name for name, e in (("RAG", rag), ("LoRA", lora)) if sure(e)), "neither")


class TestExercises(ExerciseTests):
    right = [
        (checks_09.passages, placed),
        (checks_09.spoil, by_hand),
        (checks_09.decide, written_out),
    ]
    wrong = [
        (checks_09.passages, lambda p, f, k, i: placed(p, f, k, 0), "evidence always comes first"),
        (checks_09.passages, lambda p, f, k, i: placed(p, f, k, k), "evidence always comes last"),
        (checks_09.passages, lambda p, f, k, i: placed(p, f, k + 1, i), "That is one passage too"),
        (checks_09.passages, lambda p, f, k, i: f[: k - 1][:i] + [p] + f[: k - 1][i:],
         "Search found the evidence as well"),
        (checks_09.passages, lambda p, f, k, i: f[:k], "Those are the search's own"),
        (checks_09.spoil, lambda a, s, seed: a, "Nothing is changed"),
        (checks_09.spoil, always_noisy, "A share of 0"),
        (checks_09.spoil, too_many, "Draw round(share * n)"),
        (checks_09.spoil, invented, "A wrong label is the answer"),
        (checks_09.spoil, unseeded, "The same seed must"),
        (checks_09.spoil, deaf, "Another seed must"),
        (checks_09.spoil, blind, "An abstention in place"),
        (checks_09.decide, lambda *c: written_out(*(((a + b) / 2,) for a, b in c)),
         "That goes by the middle"),
        (checks_09.decide, lambda r, lo, br, bl: "both" if sure(br) or sure(bl)
         else written_out(r, lo, br, bl), "Both must surely beat"),
        (checks_09.decide, lambda *c: written_out(*(((1,) if a > 0 or b < 0 else (-1,))
         for a, b in c)), "An interval below zero"),
        (checks_09.decide, lambda r, lo, br, bl: {"RAG": "LoRA"}.get(w, w) if (
            w := written_out(r, lo, br, bl)) and sure(lo) else w, "If both single"),
        (checks_09.decide, lambda *c: "both", "Combining costs"),
    ]  # fmt: skip
