"""The exercise checks of lesson 04: a prompt budget, honest citations, a threshold to abstain.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how the loop does the work (``rag``).
Used by lesson 04, which imports this module as ``check``.
"""

import math
import re
from collections.abc import Callable, Container, Sequence
from statistics import mean

from labkit.classroom.checks.check import Case, Cases, exercise

Count = Callable[[str], int]
BRACKET = r"\[([^\[\]]+)\]"


def lay_out(question: str, passages: Sequence[str]) -> str:
    """Return the prompt of exercise 1: one passage a line, the question last."""
    return "\n".join([*passages, f"Question: {question}"])


def count_words(text: str) -> int:
    """Count words: a stand-in for a tokenizer that a reader can check by eye."""
    return len(text.split())


def _build_prompt(
    question: str, passages: list[str], budget: int, count: Count, *, keep: slice = slice(-1)
) -> str:
    while passages and count(lay_out(question, passages)) > budget:
        passages = passages[keep]
    return lay_out(question, passages)


def _skipping(question: str, passages: list[str], budget: int, count: Count) -> str:
    kept: list[str] = []
    for passage in passages:
        if count(lay_out(question, [*kept, passage])) <= budget:
            kept.append(passage)
    return lay_out(question, kept)


@exercise(_build_prompt, lambda q, found, budget, count: {
    "You kept every passage. Count the prompt, and drop while it is over.": lay_out(q, found),
    "You counted characters. Ask `count` how much a text takes.":
        _build_prompt(q, found, budget, len),
    "The question takes room too: count the whole prompt.":
        _build_prompt(q, found, budget + count(lay_out(q, [])), count),
    "You dropped the best passages. They come best first.":
        _build_prompt(q, found, budget, count, keep=slice(1, None)),
    "A weaker passage took the place of a better one. Stop at the first that does not fit.":
        _skipping(q, found, budget, count),
    "A prompt of exactly the budget still fits.": _build_prompt(q, found, budget - 1, count),
})  # fmt: skip
def build_prompt() -> Cases:
    """Check lesson 04, exercise 1: the best passages that fit into a budget, then the question."""
    passages = ["a b c d e f", "g h i j k", "l m n o"]  # 6, 5 and 4 words
    uneven = ["a b", "c d e f g h i j k l", "m"]
    lay = "Hand the kept passages to `lay_out`, best first."
    drop = "Drop from the end until `count(prompt) <= budget`."
    stop = "Stop at the first passage that does not fit."
    stays = "The question always stays, even without any passage."
    for about, found, budget, hint in (
        ("room for everything", passages, 40, lay),
        ("room for the best passage", passages, 12, drop),
        ("a prompt of exactly the budget", passages, 15, drop),
        ("a long passage in the middle", uneven, 8, stop),
        ("room for no passage", passages, 5, stays),
        ("no passages", [], 40, "Then the question stands alone."),
    ):
        yield Case(about, ("How much grease?", found, budget, count_words), hint)


def _cited(text: str) -> list[str]:
    return [part.strip() for group in re.findall(BRACKET, text) for part in re.split("[,;]", group)]


def _accept_citations(text: str, shown_ids: Container[str]) -> list[str]:
    return [name for name in dict.fromkeys(_cited(text)) if name in shown_ids]


@exercise(_accept_citations, lambda text, shown: {
    "You believe every bracket. Keep only ids that were shown to the model.":
        list(dict.fromkeys(_cited(text))),
    "One bracket may hold several ids: split it at , and ;":
        [name for name in dict.fromkeys(re.findall(BRACKET, text)) if name in shown],
    "An id that is cited twice counts once.": [name for name in _cited(text) if name in shown],
    "Only brackets cite. Prose may name a document without resting on it.":
        [name for name in shown if name in text],
    "Compare whole ids: a piece of an id names nothing.": _accept_citations(text, " ".join(shown)),
    "Keep the order in which the answer cites.": sorted(_accept_citations(text, shown)),
})  # fmt: skip
def accept_citations() -> Cases:
    """Check lesson 04, exercise 2: the cited ids that were shown, each once, in order."""
    known = "Compare every id with `shown_ids`."
    split = "Split what stands in a bracket at commas and semicolons."
    once = "Keep each id once, where it comes first."
    brackets = "Only what stands in brackets is a citation."
    for about, text, hint in (
        ("one honest id", "It takes 1.6 kg. [SM-90-PIT]", "Find what is in [ ]."),
        ("an invented id", "It takes 1.6 kg. [SM-95-PIT] [SM-90-PIT]", known),
        ("two ids in one bracket", "It takes 1.6 kg. [SM-90-PIT, SB-2019-04]", split),
        ("an id cited twice", "1.6 kg [SM-90-PIT], not 1.2. [SM-90-PIT; SB-2019-04]", once),
        ("an id that is only mentioned", "SM-90-PIT says: 1.2 kg. [SB-2019-04]", brackets),
        ("a piece of an id", "It takes 1.6 kg. [SM-90] [SM-95-PIT]", known),
        ("an answer without brackets", "It takes 1.6 kg.", "Return an empty list."),
    ):
        yield Case(about, (text, ["SM-90-PIT", "SB-2019-04", "torques:TQ-90-42"]), hint)


def _n_mistakes(threshold: float, scores: list[float], answerable: list[bool]) -> int:
    pairs = zip(scores, answerable, strict=True)
    return sum((score >= threshold) != can for score, can in pairs)


def _choose_threshold(scores: list[float], answerable: list[bool]) -> float:
    return min([*sorted(scores), math.inf], key=lambda t: _n_mistakes(t, scores, answerable))


def _group(scores: list[float], answerable: list[bool], wanted: bool) -> list[float]:
    return [score for score, can in zip(scores, answerable, strict=True) if can == wanted]


@exercise(_choose_threshold, lambda scores, answerable: {
    "That never abstains on an answerable question, and lets others through. Weigh both.":
        min(_group(scores, answerable, True), default=math.inf),
    "That stops every unanswerable question, and abstains on too many others. Weigh both.":
        max(_group(scores, answerable, False)) + 1e-9,
    "You abstain on the high scores. Abstain when the score is *below* it.":
        _choose_threshold(scores, [not can for can in answerable]),
    "Means hide the outliers. Count the mistakes of every cut.":
        mean(mean(_group(scores, answerable, can) or scores) for can in (True, False)),
    "That is how many mistakes are left. Return the threshold that leaves them.":
        _n_mistakes(_choose_threshold(scores, answerable), scores, answerable),
})  # fmt: skip
def choose_threshold() -> Cases:
    """Check lesson 04, exercise 3: the threshold with the fewest mistakes of both kinds."""
    high = "Try a value above every score: abstaining always may be best."
    both = "Count both kinds of mistake for every cut."
    for about, scores, flags, hint in (
        ("two clean groups", [0.3, 0.8, 0.2, 0.7], "0101", "Put it between the two groups."),
        ("one odd answerable question", [0.1, 0.5, 0.55, 0.7, 0.8, 0.9], "100111", both),
        ("one odd unanswerable question", [0.95, 0.2, 0.6, 0.7, 0.8, 0.3], "001110", both),
        ("an outlier far away", [0.9, 0.8, 0.7, 0.6, -8.0], "11000", both),
        ("nothing answerable", [0.6, 0.4], "00", high),
    ):
        answerable = [flag == "1" for flag in flags]
        accept = _as_good_as_any(scores, answerable)
        yield Case(about, (scores, answerable), hint, accept=accept)


def _as_good_as_any(scores: list[float], answerable: list[bool]) -> Callable[[float], bool]:
    """Return a judge that accepts every threshold with as few mistakes as possible."""
    least = _n_mistakes(_choose_threshold(scores, answerable), scores, answerable)
    return lambda threshold: _n_mistakes(threshold, scores, answerable) == least
