"""Records made by hand, for the tests of verdicts and of the decision helper."""

from labkit import hardware
from labkit.claims.verdicts import Records
from labkit.exam import ABSTENTION
from labkit.types import KINDS, Evidence, Question

EACH = 20
EVERYTHING = dict.fromkeys(KINDS, EACH)


def question(kind: str, number: int) -> Question:
    name = f"{kind}-{number:02}"
    if kind == "unanswerable":
        return Question(name, kind, "?", ABSTENTION)
    terms = ("kettle",) if kind == "jargon" else ()
    return Question(name, kind, "?", "7 kg", ("7 kg",), (Evidence("D", "7 kg"),), terms)


QUESTIONS = [question(kind, number) for kind in KINDS for number in range(EACH)]


def recorded(name: str, figures: dict) -> dict:
    machine = hardware.Hardware("CPU", 2, 2**34, False).as_dict()
    return {"name": name, "date": "2026-01-02", "hardware": machine, "figures": figures}


def records(*runs: dict) -> Records:
    return Records({run["name"]: run for run in runs}, QUESTIONS, "m")


def sat(
    name: str, right: dict[str, int], *, wrong: str = "It is 9 kg.", cited: float = 0.9
) -> dict:
    """Return an exam in which the first so many questions of each kind are answered rightly."""
    answers = []
    for one in QUESTIONS:
        good = int(one.id[-2:]) < right.get(one.kind, 0)
        text = (ABSTENTION if one.kind == "unanswerable" else "Use 7 kg. [D]") if good else wrong
        answers.append({"id": one.id, "text": text, "cited": ["D"] if "[D]" in text else []})
    share = {"mean": cited, "low": cited - 0.1, "high": cited + 0.1, "n": 9}
    return recorded(name, {"answers": answers, "citation_precision": share})


def answers(n_right: int, *, of: int, seeds: int = 2) -> list[dict]:
    """Return the answers of as many trainings, each right on the first so many questions."""
    rows = [{"id": f"q{i:03}", "exact_match": float(i < n_right)} for i in range(of)]
    return rows * seeds


def sizes(few: int, noisy: int, *, of: int = 120, seeds: int = 2) -> dict:
    """Return a data-size run: right answers after 30 examples, and after 300 noisy ones.

    Without examples a third is right, after 300 clean ones four fifths.
    """
    rights = {(0, 0.0): of // 3, (10, 0.0): of // 3, (30, 0.0): few, (300, 0.0): of * 4 // 5,
              (300, 0.2): noisy}  # fmt: skip
    runs = [
        {"n_examples": n, "noise": noise, "answers": answers(right, of=of, seeds=seeds)}
        for (n, noise), right in rights.items()
    ]
    return recorded("data-size-m", {"runs": runs})


def retrained(seconds: float) -> dict:
    return recorded("side-effects-m", {"trained": {"retrain_s": seconds}})
