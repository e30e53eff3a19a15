"""The exercise checks of lesson 09: a reading example, spoiled labels, and a decision.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how labkit does the same work.
Used by lesson 09, which imports this module as ``check``.
"""

import random
from collections.abc import Iterator, Sequence

from labkit.classroom.checks.check import Case, Mistake, exercise

Ends = tuple[float, float]


def _others(proof: str, found: Sequence[str]) -> list[str]:
    return [passage for passage in found if passage != proof]


def _passages(proof: str, found: Sequence[str], k: int, place: int) -> list[str]:
    shown = _others(proof, found)[: k - 1]
    return [*shown[:place], proof, *shown[place:]]


@exercise(
    _passages,
    mistakes=(
        Mistake(
            lambda proof, found, k, place: [proof, *_others(proof, found)[: k - 1]],
            "The proof always comes first in yours. A model would learn: copy from the top.",
        ),
        Mistake(
            lambda proof, found, k, place: [*_others(proof, found)[: k - 1], proof],
            "The proof always comes last in yours. Put it where `place` says.",
        ),
        Mistake(
            lambda proof, found, k, place: _passages(proof, found, k + 1, place),
            "That is one passage too many: the proof is one of the k.",
        ),
        Mistake(
            lambda proof, found, k, place: [
                *found[: k - 1][:place], proof, *found[: k - 1][place:]
            ],
            "Search found the proof as well: leave it out of the distractors.",
        ),
        Mistake(
            lambda proof, found, k, place: list(found[:k]),
            "Those are the search's own passages: without the proof, or with it where it stood.",
        ),
    ),
)  # fmt: skip
def passages() -> Iterator[Case]:
    """Check lesson 09, exercise 1: the proof at a random place among distractors."""
    right = "Take the first k - 1 passages that are not the proof, and insert the proof at `place`."
    yield Case("a proof that search missed", ("P", ["a", "b", "c", "d"], 3, 1), right)
    yield Case("a proof that goes first", ("P", ["a", "b", "c"], 3, 0), right)
    yield Case("a proof that goes last", ("P", ["a", "b", "c"], 3, 2), right)
    yield Case("a proof that search found", ("P", ["a", "P", "b", "c"], 3, 0), right)
    yield Case("one passage", ("P", ["a", "b"], 1, 0), "With k = 1 the proof stands alone.")


def _spoil(answers: Sequence[str], share: float, seed: int) -> list[str]:
    chance = random.Random(seed)
    spoiled = list(answers)
    for i in chance.sample(range(len(answers)), round(share * len(answers))):
        spoiled[i] = chance.choice([other for other in answers if other != answers[i]])
    return spoiled


def _n_changed(result: Sequence[str], answers: Sequence[str]) -> int:
    return sum(one != other for one, other in zip(result, answers, strict=True))


def _keep(kept: list[list[str]], result: Sequence[str]) -> bool:
    kept.append(list(result))
    return True


@exercise(
    _spoil,
    mistakes=(Mistake(lambda answers, share, seed: list(answers), "Nothing is changed in yours."),),
)
def spoil() -> Iterator[Case]:
    """Check lesson 09, exercise 2: a share of the answers comes from other questions."""
    names = [f"{n} kg" for n in range(50)]
    refusals = ["Not documented."] * 40 + ["1 kg", "2 kg"]
    yield Case("no noise", (names, 0.0, 0), "A share of 0 leaves every answer as it is.")
    yield Case(
        "20 % of fifty answers",
        (names, 0.2, 0),
        "Draw round(share * n) different positions with `sample`, and change just these.",
        accept=lambda result: _n_changed(result, names) == 10,
    )
    yield Case(
        "answers that stay plausible",
        (names, 0.2, 1),
        "A wrong label is the answer of another question, in the same house format.",
        accept=lambda result: set(result) <= set(names),
    )
    kept: list[list[str]] = []
    yield Case(
        "seed 7",
        (names, 0.2, 7),
        "Return the answers as a list.",
        accept=lambda result: _keep(kept, result),
    )
    yield Case(
        "seed 7 once more",
        (names, 0.2, 7),
        "The same seed must spoil the same answers: draw everything from random.Random(seed).",
        accept=lambda result: list(result) == kept[0],
    )
    yield Case(
        "another seed",
        (names, 0.2, 8),
        "Another seed must spoil others: is the seed used?",
        accept=lambda result: list(result) != kept[0],
    )
    yield Case(
        "many answers that are the same",
        (refusals, 0.5, 0),
        "A refusal in place of a refusal is no noise: choose among the answers that differ.",
        accept=lambda result: _n_changed(result, refusals) == 21,
    )


def _decide(rag: Ends, lora: Ends, both_over_rag: Ends, both_over_lora: Ends) -> str:
    if both_over_rag[0] > 0 and both_over_lora[0] > 0:
        return "both"
    if rag[0] > 0:
        return "RAG"
    return "LoRA" if lora[0] > 0 else "neither"


def _middle(ends: Ends) -> Ends:
    return (sum(ends) / 2, sum(ends) / 2)


def _any_win(rag: Ends, lora: Ends, both_over_rag: Ends, both_over_lora: Ends) -> str:
    if both_over_rag[0] > 0 or both_over_lora[0] > 0:
        return "both"
    return _decide(rag, lora, both_over_rag, both_over_lora)


def _excludes_zero(*changes: Ends) -> str:
    sure = [(1.0, 1.0) if low > 0 or high < 0 else (-1.0, 1.0) for low, high in changes]
    return _decide(sure[0], sure[1], sure[2], sure[3])


def _lora_first(rag: Ends, lora: Ends, both_over_rag: Ends, both_over_lora: Ends) -> str:
    found = _decide(rag, lora, both_over_rag, both_over_lora)
    return "LoRA" if found == "RAG" and lora[0] > 0 else found


@exercise(
    _decide,
    mistakes=(
        Mistake(
            lambda *changes: _decide(*map(_middle, changes)),
            "That goes by the middle of the interval. Sure means: its lower end lies above zero.",
        ),
        Mistake(_any_win, "Both must surely beat RAG *and* LoRA; beating one is not enough."),
        Mistake(_excludes_zero, "An interval below zero excludes zero too, and means a loss."),
        Mistake(_lora_first, "If both single remedies surely help, RAG is the cheaper to try."),
        Mistake(
            lambda *changes: "both",
            "Combining costs a training and a database: it has to be surely better than each.",
        ),
    ),
)
def decide() -> Iterator[Case]:
    """Check lesson 09, exercise 3: a decision from the intervals of a two-by-two."""
    yield Case(
        "a combination that surely beats each",
        ((0.1, 0.2), (0.0, 0.1), (0.3, 0.5), (0.4, 0.6)),
        'Both differences of the combination lie above zero: "both".',
    )
    yield Case(
        "nothing that helps",
        ((-0.1, 0.1), (-0.2, -0.1), (-0.1, 0.1), (-0.1, 0.2)),
        'Where nothing is sure, say so: "neither".',
    )
    yield Case(
        "a combination that surely beats LoRA only",
        ((0.1, 0.2), (-0.1, 0.05), (-0.05, 0.02), (0.1, 0.3)),
        'The combination adds nothing sure to RAG, and RAG surely helps: "RAG".',
    )
    yield Case(
        "a combination that beats RAG on average only",
        ((0.1, 0.2), (0.0, 0.1), (-0.01, 0.4), (0.1, 0.3)),
        "An interval that holds zero is not sure, however good its middle looks.",
    )
    yield Case(
        "a combination that spoils RAG",
        ((0.1, 0.3), (-0.1, 0.1), (-0.3, -0.1), (-0.2, -0.05)),
        "Below zero is a loss.",
    )
    yield Case(
        "two remedies that both help, and add nothing to each other",
        ((0.1, 0.2), (0.1, 0.2), (-0.1, 0.1), (-0.1, 0.1)),
        'RAG is asked before LoRA: "RAG".',
    )
    yield Case(
        "RAG that fails, LoRA that helps",
        ((-0.1, 0.1), (0.1, 0.2), (0.1, 0.3), (-0.1, 0.1)),
        'Only LoRA surely helps: "LoRA".',
    )
