"""Lesson 04's exercises: the reference passes, and every plausible mistake gets its own hint."""

import math
import re

from exercise_tests import ExerciseTests

from labkit.classroom.checks import lesson_04 as checks_04
from labkit.classroom.checks.lesson_04 import lay_out


def right_prompt(question, passages, budget, count):
    kept = list(passages)
    while kept and count(lay_out(question, kept)) > budget:
        kept.pop()
    return lay_out(question, kept)


def everything(question, passages, budget, count):
    return lay_out(question, passages)


def characters(question, passages, budget, count):
    return right_prompt(question, passages, budget, len)


def forgets_question(question, passages, budget, count):
    kept = list(passages)
    while kept and count(" ".join(kept)) > budget:
        kept.pop()
    return lay_out(question, kept)


def drops_the_best(question, passages, budget, count):
    kept = list(passages)
    while kept and count(lay_out(question, kept)) > budget:
        kept.pop(0)
    return lay_out(question, kept)


def skips(question, passages, budget, count):
    kept = []
    for passage in passages:
        if count(lay_out(question, [*kept, passage])) <= budget:
            kept = [*kept, passage]
    return lay_out(question, kept)


def below(question, passages, budget, count):
    return right_prompt(question, passages, budget - 1, count)


def needs_a_passage(question, passages, budget, count):
    prompt = right_prompt(question, passages, budget, count)
    return prompt if "\n" in prompt else lay_out(question, passages[:1])


def right_citations(text, shown_ids):
    kept = []
    for group in re.findall(r"\[(.+?)\]", text):
        for name in group.replace(";", ",").split(","):
            if name.strip() in shown_ids and name.strip() not in kept:
                kept.append(name.strip())
    return kept


def believes(text, shown_ids):
    names = re.findall(r"[^\[\],;]+", " ".join(re.findall(r"\[.+?\]", text)).replace("] [", ","))
    return list(dict.fromkeys(name.strip() for name in names))


def one_a_bracket(text, shown_ids):
    return [n for n in dict.fromkeys(re.findall(r"\[(.+?)\]", text)) if n in shown_ids]


def twice(text, shown_ids):
    groups = re.findall(r"\[(.+?)\]", text)
    names = [n.strip() for group in groups for n in re.split("[,;]", group)]
    return [n for n in names if n in shown_ids]


def anywhere(text, shown_ids):
    return [name for name in shown_ids if name in text]


def pieces(text, shown_ids):
    names = [n.strip() for g in re.findall(r"\[(.+?)\]", text) for n in re.split("[,;]", g)]
    return [n for n in dict.fromkeys(names) if any(n in shown for shown in shown_ids)]


def in_alphabet(text, shown_ids):
    return sorted(right_citations(text, shown_ids))


def mistakes(threshold, scores, answerable):
    return sum((s < threshold) == a for s, a in zip(scores, answerable, strict=True))


def right_threshold(scores, answerable):
    ordered = sorted(scores)
    middles = [(a + b) / 2 for a, b in zip(ordered, ordered[1:], strict=False)]
    cuts = [ordered[0] - 1, *middles, ordered[-1] + 1]
    return min(cuts, key=lambda cut: mistakes(cut, scores, answerable))


def upside_down(scores, answerable):
    cuts = [*sorted(scores), math.inf]
    return min(cuts, key=lambda cut: -mistakes(cut, scores, answerable))


def lowest_answerable(scores, answerable):
    return min(s for s, a in zip(scores, answerable, strict=True) if a)


def above_unanswerable(scores, answerable):
    return max(s for s, a in zip(scores, answerable, strict=True) if not a) + 1e-9


def mean_of_means(scores, answerable):
    groups = [[s for s, a in zip(scores, answerable, strict=True) if a is k] for k in (True, False)]
    return sum(sum(group) / len(group) for group in groups) / 2


def how_many(scores, answerable):
    return mistakes(right_threshold(scores, answerable), scores, answerable)


class TestExercises(ExerciseTests):
    right = [
        (checks_04.build_prompt, right_prompt),
        (checks_04.accept_citations, right_citations),
        (checks_04.choose_threshold, right_threshold),
    ]
    wrong = [
        (checks_04.build_prompt, everything, "You kept every passage."),
        (checks_04.build_prompt, characters, "You counted characters."),
        (checks_04.build_prompt, forgets_question, "The question takes room too"),
        (checks_04.build_prompt, drops_the_best, "You dropped the best passages."),
        (checks_04.build_prompt, skips, "A weaker passage took the place"),
        (checks_04.build_prompt, below, "A prompt of exactly the budget still fits."),
        (checks_04.build_prompt, needs_a_passage, "The question always stays"),
        (checks_04.accept_citations, believes, "You believe every bracket."),
        (checks_04.accept_citations, one_a_bracket, "One bracket may hold several ids"),
        (checks_04.accept_citations, twice, "An id that is cited twice counts once."),
        (checks_04.accept_citations, anywhere, "Only brackets cite"),
        (checks_04.accept_citations, pieces, "Compare whole ids"),
        (checks_04.accept_citations, in_alphabet, "Keep the order"),
        (checks_04.choose_threshold, upside_down, "You abstain on the high scores."),
        (
            checks_04.choose_threshold,
            lowest_answerable,
            "That never abstains on an answerable",
        ),
        (checks_04.choose_threshold, above_unanswerable, "That stops every unanswerable question"),
        (checks_04.choose_threshold, mean_of_means, "Means hide the outliers."),
        (checks_04.choose_threshold, how_many, "That is how many mistakes are left."),
    ]


def test_never_abstaining_is_a_threshold_too() -> None:
    verdict = checks_04.choose_threshold.judge(lambda scores, answerable: -math.inf)
    assert verdict.state == "failed"
