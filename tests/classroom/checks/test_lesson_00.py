"""The checks of lesson 00: references pass, stubs are untouched, each mistake gets its own hint."""

import re

import pytest
from exercise_tests import ExerciseTests

from labkit import answer_metrics
from labkit.classroom.checks.lesson_00 import is_supported, numbers_in


def split_words(text: str) -> list[str]:
    """Solve exercise 1 without a regular expression for whole texts."""
    words = re.sub(r"(\d)(?=[a-zA-Z°%])", r"\1 ", text).split()
    found = []
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if re.fullmatch(r"\d+(\.\d+)?\.?", word):
            unit = "" if word.endswith(".") else after.rstrip(".,")
            found.append(f"{word.rstrip('.')} {unit}".strip())
    return found


def values_only(text):
    return re.findall(r"(?<![\w.-])\d+(?:\.\d+)?", text)


def matched(pattern, text):
    return [" ".join(filter(None, pair)) for pair in re.findall(pattern + r" ?([a-zA-Z°%]*)", text)]


def whole_only(text):
    return matched(r"(?<![\w-])(\d+)", text)


def also_in_names(text):
    return matched(r"(\d+(?:\.\d+)?)", text)


def as_spelled(text):
    return [n if n in text else n.replace(" ", "") for n in split_words(text)]


def with_units_only(text):
    return [number for number in split_words(text) if " " in number]


def also_supported(answer, passage):
    claimed, known = split_words(answer), split_words(passage)
    return len(claimed) > 0 and all(number in known for number in claimed)


def in_text(answer: str, passage: str) -> bool:
    return all(number in passage for number in numbers_in.reference(answer))


def any_number(answer: str, passage: str) -> bool:
    shared = set(numbers_in.reference(answer)) & set(numbers_in.reference(passage))
    return bool(shared)


def bare_numbers(answer: str, passage: str) -> bool:
    found = [re.findall(r"(?<!\S)\d+(?:\.\d+)?", text) for text in (answer, passage)]
    return set(found[0]) <= set(found[1])


def nothing_to_check_is_fine(answer: str, passage: str) -> bool:
    return set(numbers_in.reference(answer)) <= set(numbers_in.reference(passage))


def spelled_as_in_the_passage(answer: str, passage: str) -> bool:
    claimed = [match.group().strip() for match in answer_metrics.NUMBER.finditer(answer)]
    return bool(claimed) and set(claimed) <= set(numbers_in.reference(passage))


class TestExercises(ExerciseTests):
    right = [(numbers_in, split_words), (is_supported, also_supported)]
    wrong = [
        (numbers_in, values_only, "Keep the unit"),
        (numbers_in, whole_only, "1.6 is one number"),
        (numbers_in, also_in_names, "NV-117 is a name"),
        (numbers_in, as_spelled, "so that both spellings become equal"),
        (numbers_in, with_units_only, "Return it alone"),
        (numbers_in, lambda text: split_words(text)[::-1], "in the order of the text"),
        (numbers_in, lambda text: split_words(text) or None, "`return` missing"),
        (numbers_in, lambda text: ", ".join(split_words(text)), "Return a list"),
        (is_supported, lambda answer, passage: False, "so return True"),
        (is_supported, lambda answer, passage: True, "180 bar is not in the passage"),
        (is_supported, any_number, "ask for all of them"),
        (is_supported, in_text, "Compare whole numbers"),
        (is_supported, bare_numbers, "together with their units"),
        (is_supported, spelled_as_in_the_passage, "to both texts"),
        (is_supported, nothing_to_check_is_fine, "not checked is not supported"),
    ]


def test_support_may_build_on_an_unsolved_exercise_1_without_crashing() -> None:
    def unsolved(text):
        raise NotImplementedError

    verdict = is_supported.judge(lambda answer, passage: unsolved(answer) == unsolved(passage))
    assert verdict.state == "failed"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("down to −35 °C in winter", ["-35 °C"]),
        ("4125.00 EUR each", ["4125.00 EUR"]),
        ("FC-140-307 and TQ-117-73", []),
        ("", []),
    ],
)
def test_numbers_of_the_corpus_are_found_as_written(text: str, numbers: list[str]) -> None:
    assert numbers_in.reference(text) == numbers
