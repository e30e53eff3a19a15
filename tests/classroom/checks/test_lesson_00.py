"""The checks of lesson 00: references pass, stubs are untouched, each mistake gets its own hint."""

import re
from collections.abc import Callable

import pytest

from labkit.classroom.checks import lesson_00 as checks_00
from labkit.classroom.checks.lesson_00 import is_supported, numbers_in


def split_words(text: str) -> list[str]:
    """Solve exercise 1 without a regular expression for whole texts."""
    words = re.sub(r"(\d)(?=[a-zA-Z°%])", r"\1 ", text).split()
    found = []
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if re.fullmatch(r"\d+(\.\d+)?\.?", word):
            unit = "" if word.endswith(".") else after.rstrip(".")
            found.append(f"{word.rstrip('.')} {unit}".strip())
    return found


def test_another_way_to_find_numbers_passes() -> None:
    assert numbers_in.judge(split_words).state == "passed"


def test_references_pass() -> None:
    assert numbers_in.judge(numbers_in.reference).state == "passed"
    assert is_supported.judge(is_supported.reference).state == "passed"


@pytest.mark.parametrize("check", [numbers_in, is_supported])
def test_stubs_are_not_attempted(check: Callable) -> None:
    def stub(*arguments):
        raise NotImplementedError

    assert check.judge(stub).state == "untouched"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda text: re.findall(r"(?<![\w.-])\d+(?:\.\d+)?", text), "Keep the unit"),
        (checks_00._whole_numbers_only, "1.6 is one number"),
        (checks_00._names_too, "NV-117 is a name"),
        (checks_00._as_written, "so that both spellings become equal"),
        (checks_00._units_required, "Return it alone"),
        (lambda text: numbers_in.reference(text)[::-1], "in the order of the text"),
        (lambda text: numbers_in.reference(text) or None, "`return` missing"),
        (lambda text: ", ".join(numbers_in.reference(text)), "Return a list"),
    ],
)
def test_each_wrong_list_of_numbers_gets_its_own_hint(wrong: Callable, hint: str) -> None:
    verdict = numbers_in.judge(wrong)
    assert verdict.state == "failed"
    assert hint in verdict.message


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
    claimed = [match.group().strip() for match in checks_00.NUMBER.finditer(answer)]
    return bool(claimed) and set(claimed) <= set(numbers_in.reference(passage))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda answer, passage: False, "so return True"),
        (lambda answer, passage: True, "180 bar is not in the passage"),
        (any_number, "ask for all of them"),
        (in_text, "Compare whole numbers"),
        (bare_numbers, "together with their units"),
        (spelled_as_in_the_passage, "to both texts"),
        (nothing_to_check_is_fine, "not checked is not supported"),
    ],
)
def test_each_wrong_judgement_of_support_gets_its_own_hint(wrong: Callable, hint: str) -> None:
    verdict = is_supported.judge(wrong)
    assert verdict.state == "failed"
    assert hint in verdict.message


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
