"""The exercise checks of lesson 00: finding the numbers in an answer, and holding them to a source.

Knows: the two exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how the course scores an answer
(``exam``), which is stricter.
Used by lesson 00, which imports this module as ``check``.
"""

import re
from collections.abc import Iterator

from labkit.classroom.checks.check import Case, Mistake, exercise

NUMBER = re.compile(r"(?<![\w.,-])(-?\d+(?:[.,]\d+)*)\s*(%|°?[^\W\d_]+)?")


def _numbers_in(text: str) -> list[str]:
    found = NUMBER.findall(text.replace("\N{MINUS SIGN}", "-"))
    return [" ".join(part for part in parts if part) for parts in found]


def _without_units(text: str) -> list[str]:
    return [number.split()[0] for number in _numbers_in(text)]


def _names_too(text: str) -> list[str]:
    found = re.findall(r"(\d+(?:[.,]\d+)*)\s*(%|°?[^\W\d_]+)?", text)
    return [" ".join(part for part in parts if part) for parts in found]


def _whole_numbers_only(text: str) -> list[str]:
    found = re.findall(r"(?<![\w-])(\d+)\s*(%|°?[^\W\d_]+)?", text)
    return [" ".join(part for part in parts if part) for parts in found]


def _as_written(text: str) -> list[str]:
    return [match.group().strip() for match in NUMBER.finditer(text)]


def _units_required(text: str) -> list[str]:
    return [number for number in _numbers_in(text) if " " in number]


@exercise(
    _numbers_in,
    mistakes=(
        Mistake(_without_units, "Keep the unit: the word or sign that follows the number."),
        Mistake(_whole_numbers_only, "1.6 is one number: a dot between two digits belongs to it."),
        Mistake(_names_too, "NV-117 is a name. Skip digits that follow a letter or a hyphen."),
        Mistake(_as_written, "Write 1.6kg as 1.6 kg, so that both spellings become equal."),
        Mistake(_units_required, "A number at the end of a sentence has no unit. Return it alone."),
    ),
)
def numbers_in() -> Iterator[Case]:
    """Check lesson 00, exercise 1: the numbers of a text, each with its unit."""
    yield Case(
        "a number with its unit",
        ("The converter trips at 62 °C.",),
        'Return a list of texts such as "62 °C".',
    )
    yield Case(
        "two numbers, one with decimals",
        ("It takes 1.6 kg of grease every 5 months.",),
        "Return every number, in the order of the text.",
    )
    yield Case(
        "names that hold digits",
        ("The NV-117 kettle works at 165 bar. [SB-2023-09]",),
        "Names of turbines and documents are not measurements.",
    )
    yield Case("a number without a space", ("Add 1.6kg.",), "Put one space before the unit.")
    yield Case("a percent sign", ("Change it when it is 75 % full.",), "% is a unit too.")
    yield Case("a number at the end", ("The limit is 72.",), 'Here the answer is ["72"].')
    yield Case("a text without numbers", ("Ask the duty engineer.",), "Return an empty list.")


def _is_supported(answer: str, passage: str) -> bool:
    claimed = set(_numbers_in(answer))
    return bool(claimed) and claimed <= set(_numbers_in(passage))


@exercise(_is_supported)
def is_supported() -> Iterator[Case]:
    """Check lesson 00, exercise 2: whether every number of an answer stands in a passage."""
    kettle = "The working pressure of the NV-117 kettle is lowered to 165 bar."
    yield Case(
        "an answer that repeats the passage",
        ("It works at 165 bar.", kettle),
        "Every number stands in the passage, so return True. `numbers_in` from exercise 1 helps.",
    )
    yield Case(
        "an invented number", ("It works at 180 bar.", kettle), "180 bar is not in the passage."
    )
    yield Case(
        "one number that is right and one that is invented",
        ("It works at 165 bar and 40 °C.", kettle),
        "One number that stands there is not enough: ask for all of them.",
    )
    yield Case(
        "a number that is only part of another",
        ("It works at 5 bar.", kettle),
        'The text "5 bar" is inside "165 bar". Compare whole numbers, not letters.',
    )
    yield Case(
        "the right number with another unit",
        ("Grease it every 165 days.", kettle),
        "165 days is not 165 bar: compare numbers together with their units.",
    )
    yield Case(
        "another spelling of the same number",
        ("Use 1.6kg.", "Each bearing receives 1.6 kg of grease."),
        "1.6kg is 1.6 kg. Apply `numbers_in` to both texts.",
    )
    yield Case(
        "an answer without any number",
        ("It depends on the weather.", kettle),
        "There is nothing to check here, so return False: not checked is not supported.",
    )
