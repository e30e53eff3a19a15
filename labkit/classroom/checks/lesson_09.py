"""The exercise checks of lesson 09: a reading example, spoiled labels, and a decision.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how passages are searched.
Used by lesson 09, which imports this module as ``check``.
"""

from collections.abc import Sequence

from labkit.bench import data_size
from labkit.classroom.checks.check import Case, Cases, exercise
from labkit.types import Example

Ends = tuple[float, float]


def _passages(evidence: str, found: Sequence[str], k: int, place: int) -> list[str]:
    shown = [passage for passage in found if passage != evidence][: k - 1]
    return [*shown[:place], evidence, *shown[place:]]


@exercise(_passages, lambda evidence, found, k, place: {
    "The evidence always comes first in yours. A model would learn: copy from the top.":
        _passages(evidence, found, k, 0),
    "The evidence always comes last in yours. Put it where `place` says.":
        _passages(evidence, found, k, k),
    "That is one passage too many: the evidence is one of the k.":
        _passages(evidence, found, k + 1, place),
    "Search found the evidence as well: leave it out of the distractors.":
        [*found[: min(place, k - 1)], evidence, *found[place : k - 1]],
    "Those are the search's own passages: without the evidence, or with it where it stood.":
        found[:k],
})  # fmt: skip
def passages() -> Cases:
    """Check lesson 09, exercise 1: the evidence at a random place among distractors."""
    right = "Take the first k - 1 passages that are not the evidence, and insert it at `place`."
    yield Case("evidence that search missed", ("E", ["a", "b", "c", "d"], 3, 1), right)
    yield Case("evidence that goes first", ("E", ["a", "b", "c"], 3, 0), right)
    yield Case("evidence that goes last", ("E", ["a", "b", "c"], 3, 2), right)
    yield Case("evidence that search found", ("E", ["a", "E", "b", "c"], 3, 0), right)
    yield Case("one passage", ("E", ["a", "b"], 1, 0), "With k = 1 the evidence stands alone.")


def _spoil(answers: Sequence[str], share: float, seed: int) -> list[str]:
    spoiled = data_size.spoil([Example([], answer) for answer in answers], share, seed=seed)
    return [example.answer for example in spoiled]


def _n_changed(result: Sequence[str], answers: Sequence[str]) -> int:
    return sum(one != other for one, other in zip(result, answers, strict=True))


@exercise(_spoil, lambda answers, share, seed: {"Nothing is changed in yours.": answers})
def spoil() -> Cases:
    """Check lesson 09, exercise 2: a share of the answers comes from other questions."""
    names = [f"{n} kg" for n in range(50)]
    silent = ["Not documented."] * 40 + ["1 kg", "2 kg"]
    seen: dict[str, list[str]] = {}

    def as_first(result: Sequence[str]) -> bool:
        return seen.setdefault("first", list(result)) == list(result)

    count = "Draw round(share * n) different positions with `sample`, and change just these."
    house = "A wrong label is the answer of another question, in the same house format."
    same = "The same seed must spoil the same answers: draw everything from random.Random(seed)."
    used = "Another seed must spoil others: is the seed used?"
    other = "An abstention in place of an abstention is no noise: choose among answers that differ."
    yield Case("no noise", (names, 0.0, 0), "A share of 0 leaves every answer as it is.")
    for about, answers, share, seed, hint, accept in (
        ("20 % of fifty answers", names, 0.2, 0, count, lambda got: _n_changed(got, names) == 10),
        ("plausible answers", names, 0.2, 1, house, lambda got: set(got) <= set(names)),
        ("seed 7", names, 0.2, 7, "Return the answers as a list.", as_first),
        ("seed 7 once more", names, 0.2, 7, same, as_first),
        ("another seed", names, 0.2, 8, used, lambda got: not as_first(got)),
        ("many equal answers", silent, 0.5, 0, other, lambda got: _n_changed(got, silent) == 21),
    ):
        yield Case(about, (answers, share, seed), hint, accept)


def _decide(rag: Ends, lora: Ends, both_over_rag: Ends, both_over_lora: Ends) -> str:
    if both_over_rag[0] > 0 and both_over_lora[0] > 0:
        return "both"
    if rag[0] > 0:
        return "RAG"
    return "LoRA" if lora[0] > 0 else "neither"


def _any_win(rag: Ends, lora: Ends, *both: Ends) -> str:
    return "both" if any(low > 0 for low, _ in both) else _decide(rag, lora, *both)


def _lora_first(rag: Ends, lora: Ends, *both: Ends) -> str:
    found = _decide(rag, lora, *both)
    return "LoRA" if found == "RAG" and lora[0] > 0 else found


@exercise(_decide, lambda *changes: {
    "That goes by the middle of the interval. Sure means: its lower end lies above zero.":
        _decide(*((low + high, high) for low, high in changes)),
    "Both must surely beat RAG *and* LoRA; beating one is not enough.": _any_win(*changes),
    "An interval below zero excludes zero too, and means a loss.":
        _decide(*((low * high, high) for low, high in changes)),
    "If both single remedies surely help, RAG is the cheaper to try.": _lora_first(*changes),
    "Combining costs a training and a database: it has to be surely better than each.": "both",
})  # fmt: skip
def decide() -> Cases:
    """Check lesson 09, exercise 3: a decision from the intervals of a two-by-two."""
    sure, unsure, loss, likely = (0.1, 0.3), (-0.1, 0.1), (-0.3, -0.1), (-0.01, 0.4)
    each = 'Both differences of the combination lie above zero: "both".'
    adds = 'The combination adds nothing sure to RAG, and RAG surely helps: "RAG".'
    zero = "An interval that holds zero is not sure, however good its middle looks."
    order, none = 'RAG is asked before LoRA: "RAG".', 'Nothing is sure, so say "neither".'
    for about, changes, hint in (
        ("a combination that surely beats each", (sure, unsure, sure, sure), each),
        ("nothing that helps", (unsure, loss, unsure, unsure), none),
        ("a combination that surely beats LoRA only", (sure, unsure, unsure, sure), adds),
        ("a combination that beats RAG on average only", (sure, unsure, likely, sure), zero),
        ("a combination that spoils RAG", (sure, unsure, loss, loss), "Below zero is a loss."),
        ("two remedies that help, not more together", (sure, sure, unsure, unsure), order),
        ("RAG that fails", (unsure, sure, sure, unsure), 'Only LoRA surely helps: "LoRA".'),
    ):
        yield Case(about, changes, hint)
