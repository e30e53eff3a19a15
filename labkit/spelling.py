"""Numbers and units in one spelling, so that "three metres" and "3 m" are the same value.

Knows: number words up to ninety-nine and the usual spellings of the units that documents use.
Does not know: what is asked or right (``answer_metrics``); nothing is converted, 1 m is not 100 cm.
"""

import re

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBERS = {word: n for n, word in enumerate(_SMALL)}
_NUMBERS |= {word: 10 * n for n, word in enumerate(_TENS, 2)}
_NUMBER_WORD = re.compile(
    rf"\b(?:(?:{'|'.join(_TENS)})(?:[-\s](?:{'|'.join(_SMALL[1:10])}))?|{'|'.join(_SMALL)})\b"
)
# Usual spellings, the short one last; the first that fits counts, so longer ones stand first.
_SPELLINGS = (
    "newton metres|newton meters|nm", "metres per second|meters per second|m/s",
    "degrees celsius|degrees centigrade|degrees c|°c", "degrees per second|°/s",
    "revolutions per minute|turns per minute|rpm", "per cent|percent|%",
    "kilograms|kilogrammes|kilogram|kilos|kg", "grams|grammes|gram|g",
    "litres|liters|litre|liter|l",
    "millimetres|millimeters|millimetre|millimeter|mm",
    "centimetres|centimeters|centimetre|centimeter|cm",
    "kilometres|kilometers|kilometre|kilometer|km", "metres|meters|metre|meter|m",
    "degrees|degree|°", "volts|volt|v", "amperes|ampere|amps|amp|a", "kilowatts|kilowatt|kw",
    "decibels|decibel|db", "euros|euro|€|eur", "hours|hour|hrs|hr|h", "minutes|minute|mins|min",
    "seconds|second|sec|s", "days|day", "weeks|week", "months|month", "years|year",
    "kilonewtons|kilonewton|kn", "megaohms|megohms|megohm|mω", "ohms|ohm|ω", "bars|bar",
)  # fmt: skip
_UNITS = {
    spelling: spellings.rpartition("|")[2]
    for spellings in _SPELLINGS
    for spelling in spellings.split("|")
}
_UNIT = re.compile(rf"(?<![^\W\d_])(?:{'|'.join(map(re.escape, _UNITS))})(?![^\W\d_])")


_THOUSANDS = re.compile(r"(?<![\w.,-])\d{1,3}(?:,\d{3})+(?![\w,])")
_DECIMALS = re.compile(r"(?<![\w.,-])(\d+\.\d*?)0+(?![\w.,]?\d)(?=\D|$)")


def in_one_spelling(text: str) -> str:
    """Return a text in small letters with digits for number words, and each unit in one spelling.

    Numbers lose commas between thousands and zeros that end their decimals.

    Examples
    --------
    >>> in_one_spelling("thirty-five newton metres, two months, 1,250.50 euros, 2.0 bar")
    '35 nm, 2 month, 1250.5 eur, 2 bar'
    """
    digits = _NUMBER_WORD.sub(lambda found: str(_number_of(found.group())), text)
    digits = _THOUSANDS.sub(lambda found: found.group().replace(",", ""), digits)
    digits = _DECIMALS.sub(lambda found: found[1].rstrip("."), digits)
    return _UNIT.sub(lambda found: _UNITS[found.group()], digits)


def _number_of(words: str) -> int:
    return sum(map(_NUMBERS.__getitem__, re.split(r"[-\s]", words)))
