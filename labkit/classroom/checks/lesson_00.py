"""The exercise checks of lesson 00: finding the numbers in an answer, and holding them to a source.

Knows: the two exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how the course scores an answer
(``exam``), which is stricter.
Used by lesson 00, which imports this module as ``check``.
"""

import re

from labkit.answer_metrics import NUMBER
from labkit.classroom.checks.check import Case, Cases, exercise

UNIT = r"\s*(%|°?[^\W\d_]+)?"


def _find(pattern: str | re.Pattern[str], text: str) -> list[str]:
    found = re.findall(pattern, text.replace("\N{MINUS SIGN}", "-"))
    return [" ".join(part for part in parts if part) for parts in found]


def _numbers_in(text: str) -> list[str]:
    return _find(NUMBER, text)


@exercise(_numbers_in, lambda text: {
    "Keep the unit: the word or sign that follows the number.":
        [number.split()[0] for number in _numbers_in(text)],
    "1.6 is one number: a dot between two digits belongs to it.":
        _find(r"(?<![\w-])(\d+)" + UNIT, text),
    "NV-117 is a name. Skip digits that follow a letter or a hyphen.":
        _find(r"(\d+(?:[.,]\d+)*)" + UNIT, text),
    "Write 1.6kg as 1.6 kg, so that both spellings become equal.":
        [match.group().strip() for match in NUMBER.finditer(text)],
    "A number at the end of a sentence has no unit. Return it alone.":
        [number for number in _numbers_in(text) if " " in number],
})  # fmt: skip
def numbers_in() -> Cases:
    """Check lesson 00, exercise 1: the numbers of a text, each with its unit."""
    for about, text, hint in (
        ("a number with its unit", "It trips at 62 °C.", 'Return a list of texts such as "62 °C".'),
        ("two numbers, one with decimals", "It takes 1.6 kg of grease every 5 months.",
         "Return every number, in the order of the text."),
        ("names that hold digits", "The NV-117 kettle works at 165 bar. [SB-2023-09]",
         "Names of turbines and documents are not measurements."),
        ("a number without a space", "Add 1.6kg.", "Put one space before the unit."),
        ("a percent sign", "Change it when it is 75 % full.", "% is a unit too."),
        ("a number at the end", "The limit is 72.", 'Here the answer is ["72"].'),
        ("a text without numbers", "Ask the duty engineer.", "Return an empty list."),
    ):  # fmt: skip
        yield Case(about, (text,), hint)


def _is_supported(answer: str, passage: str) -> bool:
    claimed = set(_numbers_in(answer))
    return bool(claimed) and claimed <= set(_numbers_in(passage))


@exercise(_is_supported)
def is_supported() -> Cases:
    """Check lesson 00, exercise 2: whether every number of an answer stands in a passage."""
    passage = "The NV-117 kettle works at 165 bar, and each bearing receives 1.6 kg of grease."
    for answer, about, hint in (
        ("It works at 165 bar.", "an answer that repeats the passage",
         "Every number stands there, so return True. `numbers_in` from exercise 1 helps."),
        ("It works at 180 bar.", "an invented number", "180 bar is not in the passage."),
        ("It works at 165 bar and 40 °C.", "one number that is right and one that is invented",
         "One number that stands there is not enough: ask for all of them."),
        ("It works at 5 bar.", "a number that is only part of another",
         'The text "5 bar" is inside "165 bar". Compare whole numbers, not letters.'),
        ("Grease it every 165 days.", "the right number with another unit",
         "165 days is not 165 bar: compare numbers together with their units."),
        ("Use 1.6kg.", "another spelling of the same number",
         "1.6kg is 1.6 kg. Apply `numbers_in` to both texts."),
        ("It depends on the weather.", "an answer without any number",
         "There is nothing to check here, so return False: not checked is not supported."),
    ):  # fmt: skip
        yield Case(about, (answer, passage), hint)
