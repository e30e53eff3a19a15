"""The exercise checks of lesson 04: a prompt budget, honest citations, a threshold to abstain.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how the loop does the work (``rag``).
Used by lesson 04, which imports this module as ``check``.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence

from labkit.classroom.checks.check import Case, Mistake, exercise

Count = Callable[[str], int]


def lay_out(question: str, passages: Sequence[str]) -> str:
    """Return the prompt of exercise 1: one passage a line, the question last."""
    return "\n".join([*passages, f"Question: {question}"])


def count_words(text: str) -> int:
    """Count words: a stand-in for a tokenizer that a reader can check by eye."""
    return len(text.split())


def _build_prompt(question: str, passages: list[str], budget: int, count: Count) -> str:
    for n in range(len(passages), 0, -1):
        if count(lay_out(question, passages[:n])) <= budget:
            return lay_out(question, passages[:n])
    return lay_out(question, [])


def _no_budget(question: str, passages: list[str], budget: int, count: Count) -> str:
    return lay_out(question, passages)


def _in_characters(question: str, passages: list[str], budget: int, count: Count) -> str:
    return _build_prompt(question, passages, budget, len)


def _without_question(question: str, passages: list[str], budget: int, count: Count) -> str:
    fitting = range(len(passages), 0, -1)
    n = next((n for n in fitting if count("\n".join(passages[:n])) <= budget), 0)
    return lay_out(question, passages[:n])


def _best_first_out(question: str, passages: list[str], budget: int, count: Count) -> str:
    for n in range(len(passages)):
        if count(lay_out(question, passages[n:])) <= budget:
            return lay_out(question, passages[n:])
    return lay_out(question, [])


def _skipping(question: str, passages: list[str], budget: int, count: Count) -> str:
    kept: list[str] = []
    for passage in passages:
        if count(lay_out(question, [*kept, passage])) <= budget:
            kept.append(passage)
    return lay_out(question, kept)


def _strictly_below(question: str, passages: list[str], budget: int, count: Count) -> str:
    return _build_prompt(question, passages, budget - 1, count)


@exercise(
    _build_prompt,
    mistakes=(
        Mistake(_no_budget, "You kept every passage. Count the prompt, and drop while it is over."),
        Mistake(_in_characters, "You counted characters. Ask `count` how much a text takes."),
        Mistake(_without_question, "The question takes room too: count the whole prompt."),
        Mistake(_best_first_out, "You dropped the best passages. They come best first."),
        Mistake(
            _skipping,
            "A weaker passage took the place of a better one. Stop at the first that does not fit.",
        ),
        Mistake(_strictly_below, "A prompt of exactly the budget still fits."),
    ),
)
def build_prompt() -> Iterator[Case]:
    """Check lesson 04, exercise 1: the best passages that fit into a budget, then the question."""
    question = "How much grease?"  # with its mark 4 words, the passages 6, 5 and 4
    passages = ["a b c d e f", "g h i j k", "l m n o"]
    lay = "Hand the kept passages to `lay_out`, best first."
    drop = "Drop from the end until `count(prompt) <= budget`."
    yield Case("room for everything", (question, passages, 40, count_words), lay)
    yield Case("room for the best passage", (question, passages, 12, count_words), drop)
    yield Case("a prompt of exactly the budget", (question, passages, 15, count_words), drop)
    yield Case(
        "a long passage in the middle",
        (question, ["a b", "c d e f g h i j k l", "m"], 8, count_words),
        "Stop at the first passage that does not fit.",
    )
    yield Case(
        "room for no passage",
        (question, passages, 5, count_words),
        "The question always stays, even without any passage.",
    )
    yield Case("no passages", (question, [], 40, count_words), "Then the question stands alone.")


def _cited(text: str) -> list[str]:
    groups = re.findall(r"\[([^\[\]]+)\]", text)
    return [part.strip() for group in groups for part in re.split(r"[,;]", group)]


def _accept_citations(text: str, shown_ids: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(_cited(text)) if name in shown_ids]


def _whole_brackets(text: str, shown_ids: list[str]) -> list[str]:
    groups = dict.fromkeys(group.strip() for group in re.findall(r"\[([^\[\]]+)\]", text))
    return [group for group in groups if group in shown_ids]


def _mentioned(text: str, shown_ids: list[str]) -> list[str]:
    return [name for name in shown_ids if name in text]


def _part_of_one(text: str, shown_ids: list[str]) -> list[str]:
    shown = " ".join(shown_ids)
    return [name for name in dict.fromkeys(_cited(text)) if name in shown]


@exercise(
    _accept_citations,
    mistakes=(
        Mistake(
            lambda text, shown_ids: list(dict.fromkeys(_cited(text))),
            "You believe every bracket. Keep only ids that were shown to the model.",
        ),
        Mistake(_whole_brackets, "One bracket may hold several ids: split it at , and ;"),
        Mistake(
            lambda text, shown_ids: [name for name in _cited(text) if name in shown_ids],
            "An id that is cited twice counts once.",
        ),
        Mistake(
            _mentioned,
            "Only brackets cite. Prose may name a document without resting on it.",
        ),
        Mistake(_part_of_one, "Compare whole ids: a piece of an id names nothing."),
        Mistake(
            lambda text, shown_ids: sorted(_accept_citations(text, shown_ids)),
            "Keep the order in which the answer cites.",
        ),
    ),
)
def accept_citations() -> Iterator[Case]:
    """Check lesson 04, exercise 2: the cited ids that were shown, each once, in order."""
    shown = ["SM-90-PIT", "SB-2019-04", "torques:TQ-90-42"]
    known = "Compare every id with `shown_ids`."
    yield Case("one honest id", ("It takes 1.6 kg. [SM-90-PIT]", shown), "Find what is in [ ].")
    yield Case("an invented id", ("It takes 1.6 kg. [SM-95-PIT] [SM-90-PIT]", shown), known)
    yield Case(
        "two ids in one bracket",
        ("It takes 1.6 kg. [SM-90-PIT, SB-2019-04]", shown),
        "Split what stands in a bracket at commas and semicolons.",
    )
    yield Case(
        "an id cited twice",
        ("It takes 1.6 kg [SM-90-PIT], not 1.2 kg. [SM-90-PIT; SB-2019-04]", shown),
        "Keep each id once, where it comes first.",
    )
    yield Case(
        "an id that is only mentioned",
        ("SM-90-PIT says 1.2 kg, but it takes 1.6 kg. [SB-2019-04]", shown),
        "Only what stands in brackets is a citation.",
    )
    yield Case("a piece of an id", ("It takes 1.6 kg. [SM-90] [SM-95-PIT]", shown), known)
    yield Case("an answer without brackets", ("It takes 1.6 kg.", shown), "Return an empty list.")


def _n_mistakes(threshold: float, scores: list[float], answerable: list[bool]) -> int:
    pairs = zip(scores, answerable, strict=True)
    return sum((score >= threshold) != can for score, can in pairs)


def _choose_threshold(scores: list[float], answerable: list[bool]) -> float:
    candidates = [*sorted(set(scores)), math.inf]
    return min(candidates, key=lambda t: _n_mistakes(t, scores, answerable))


def _flipped(scores: list[float], answerable: list[bool]) -> float:
    return _choose_threshold(scores, [not can for can in answerable])


def _never_refuses(scores: list[float], answerable: list[bool]) -> float:
    return min((s for s, can in zip(scores, answerable, strict=True) if can), default=math.inf)


def _never_fooled(scores: list[float], answerable: list[bool]) -> float:
    worst = max((s for s, can in zip(scores, answerable, strict=True) if not can), default=0.0)
    return worst + 1e-9


def _between_the_means(scores: list[float], answerable: list[bool]) -> float:
    groups = [
        [s for s, c in zip(scores, answerable, strict=True) if bool(c) is can]
        for can in (False, True)
    ]
    means = [sum(group) / len(group) for group in groups if group]
    return sum(means) / len(means)


@exercise(
    _choose_threshold,
    mistakes=(
        Mistake(
            _never_refuses,
            "That refuses no answerable question, and lets too many others through. Weigh both.",
        ),
        Mistake(
            _never_fooled,
            "That stops every unanswerable question, and refuses too many others. Weigh both.",
        ),
        Mistake(_flipped, "You refuse the high scores. Abstain when the score is *below* it."),
        Mistake(_between_the_means, "Means hide the outliers. Count the mistakes of every cut."),
        Mistake(
            lambda scores, answerable: _n_mistakes(
                _choose_threshold(scores, answerable), scores, answerable
            ),
            "That is how many mistakes are left. Return the threshold that leaves them.",
        ),
    ),
)
def choose_threshold() -> Iterator[Case]:
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
