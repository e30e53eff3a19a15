"""The two-by-two is read off recorded exams, compared question by question, and sums are tested."""

import pytest

from labkit import hardware
from labkit.claims.verdicts import Records
from labkit.classroom.reports import combine as report
from labkit.exam import ABSTENTION
from labkit.types import Evidence, Interval, Question

N = 20
QUESTIONS = [
    Question(f"lookup-{i:02}", "lookup", "?", "7 kg", ("7 kg",), (Evidence("D", "7 kg"),),
             held_out=i >= N // 2)
    for i in range(N)
]  # fmt: skip
QUESTIONS += [Question(f"unanswerable-{i:02}", "unanswerable", "?", ABSTENTION) for i in range(N)]


def sat(name: str, n_right: int, n_refused: int = 0, wrong: str = "It is 9 kg.") -> dict:
    """Return an exam with the first lookups right and the first unanswerable ones refused."""
    answers = []
    for question in QUESTIONS:
        number = int(question.id[-2:])
        if question.kind == "lookup":
            text = "Use 7 kg. [D]" if number < n_right else wrong
        else:
            text = ABSTENTION if number < n_refused else wrong
        answers.append({"id": question.id, "text": text, "cited": ["D"] if "[D]" in text else []})
    machine = hardware.Hardware("CPU", 2, 2**34, False).as_dict()
    return {"name": name, "date": "2026-01-02", "hardware": machine,
            "figures": {"answers": answers}}  # fmt: skip


def records(**n_right: tuple[int, int]) -> Records:
    runs = {f"exam-{name}-m": sat(f"exam-{name}-m", *of) for name, of in n_right.items()}
    return Records(runs, QUESTIONS, "m")


@pytest.fixture
def whole() -> Records:
    return records(base=(0, 0), rag=(4, 0), lora=(2, 4), both=(18, 16))


def test_cells_that_are_not_recorded_are_left_out_and_named() -> None:
    some = records(base=(0, 0), rag=(4, 0))
    assert list(report.cells(some)) == ["base, closed book", "base, RAG"]
    told = report.missing(some)
    assert told.startswith("not recorded yet; run: python -m labkit finetune")
    assert "--system lora" in told and "--system both" in told and "--system rag" not in told
    assert report.effects(some) == {} and report.sums_up({}) == "not known yet"
    assert report.goals(some).startswith("not recorded yet")


def test_nothing_is_missing_when_all_is_recorded(whole: Records) -> None:
    assert report.missing(whole) == ""
    assert report.origin(whole).count("2026-01-02") == 1
    assert report.origin(records(), ["exam-both-{model}"]) == "not recorded yet"


def test_a_cell_is_scored_over_the_part_that_is_asked_for(whole: Records) -> None:
    def mean(**part):
        return report.share(whole, "LoRA, RAG", **part).mean

    assert mean() == pytest.approx(34 / 40)
    assert mean(kinds=["lookup"]) == 0.9
    assert mean(kinds=["lookup"], held_out=True) == 0.8
    assert mean(kinds=["lookup"], held_out=False) == 1.0
    assert mean(metric="abstention_recall") == 0.8
    assert report.share(whole, "base, closed book", "citation_precision") is None


def test_tables_by_kind_and_by_place(whole: Records) -> None:
    table = report.by_kind(whole)
    assert table["base, RAG"]["lookup"].mean == 0.2 and table["base, RAG"]["all"].mean == 0.1
    assert table["LoRA, RAG"]["no answer"].mean == 0.8 and table["LoRA, RAG"]["table"] is None
    places = report.by_place(whole)["LoRA, RAG"]
    assert places["seen documents"].mean == 1.0 and places["held-out documents"].mean == 0.8


def test_effects_are_paired_and_the_rest_is_what_no_sum_explains(whole: Records) -> None:
    gains = report.effects(whole)
    means = {name: round(change.mean, 9) for name, change in gains.items()}
    assert means == {
        "RAG alone − base": 0.1,
        "LoRA alone − base": 0.15,
        "both − RAG": 0.75,
        "both − LoRA": 0.7,
        "both − sum of the gains": 0.6,
    }
    assert report.sums_up(gains) == "together more than the sum of their gains"


@pytest.mark.parametrize(
    ("both", "words"),
    [
        (20, "together more"),
        (12, "no more than a sum"),
        (11, "no more than a sum"),
        (2, "together less"),
    ],
)
def test_sums_up_goes_by_the_interval(both: int, words: str) -> None:
    some = records(base=(0, 0), rag=(10, 0), lora=(2, 0), both=(both, 0))
    assert report.sums_up(report.effects(some)).startswith(words)


def test_goals_say_what_is_reached(whole: Records) -> None:
    head, _, *lines = report.goals(whole).splitlines()
    assert head == "|  | goal | LoRA, RAG |"
    assert "at least 90 % | 80 %" in lines[0]
    assert "at least 80 % | **80 %" in lines[1]
    assert "at most 10 % | **0 %" in lines[2]


def test_behaviour_has_a_row_a_cell_and_a_dash_where_nothing_has_a_say(whole: Records) -> None:
    lines = report.behaviour_table(whole).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == list(report.FOUR)
    assert lines[2].endswith("– |") and "85 %" in lines[-1]


def test_data_size_and_side_effects_are_read_as_recorded() -> None:
    answers = [{"id": "a", "exact_match": 1.0}, {"id": "b", "exact_match": 0.0}]
    runs = [{"n_examples": n, "noise": noise, "answers": answers}
            for n, noise in ((10, 0.2), (30, 0), (0, 0))]  # fmt: skip
    series = report.size_series({"figures": {"runs": runs}})
    assert [n for n, _ in series[report.CLEAN]] == [0, 30]
    ((beside, part),) = series["20% wrong labels"]
    assert (part.mean, part.n) == (0.5, 2) and 10 < beside < 11, "beside its twin, not on it"
    half = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 4}
    stale = {"stale": {"new passage": {"says_new": half, "says_old": half, "answers": []}}}
    found = report.stale_shares({"figures": {"stale": stale}}, context="new passage")
    assert found["stale"]["says the old value"] == Interval(0.5, 0.25, 0.75, 4)
    general = {
        "base": {"loss": [3.0], "completed": [1.0]},
        "tuned": {"loss": [3.5], "completed": [0.0]},
        "difference": {"loss": half, "completed": {**half, "mean": -1.0}},
    }
    table = report.general_table({"figures": {"general": general}})
    assert "3.000 | 3.500 | +0.500" in table and "-100.0 points" in table


def test_titles_follow_from_the_numbers(whole: Records) -> None:
    assert report.four_finding(report.four(whole)) == (
        "RAG alone 10%, LoRA alone 15%, both 85% (neither 0%)"
    )
    some = report.four(records(base=(0, 0)))
    assert some["LoRA"]["RAG"] is None
    assert report.four_finding(some) == "1 of the four cells are recorded"
    half, most = Interval(0.5, 0.4, 0.6, 9), Interval(0.9, 0.8, 1, 9)
    clean = [(0, half), (10, half), (100, most)]
    assert report.size_finding({report.CLEAN: clean, "20% wrong labels": [(108, half)]}) == (
        "10 examples: 50% right, 100: 90%; 20% wrong labels change -40 points"
    )
    shares = {name: {"says the old value": half} for name in ("base", "stale", "stale reader")}
    assert report.stale_finding(shares).endswith("old one: stale 50%, stale reader 50%")
