"""Sitting the exam: scored, recorded with its origin, repeatable."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit import evaluate, exam, hardware, results
from labkit.claims import leaderboard
from labkit.exam import ABSTENTION
from labkit.models import LanguageModel
from labkit.types import Evidence, Generation, Hit, Question

QUESTIONS = [
    Question("q1", "lookup", "Grease?", "", ("1.6 kg",), (Evidence("SB-1", "takes 1.6 kg now"),)),
    Question("q2", "lookup", "Oil?", "", ("3 L",), (Evidence("SM-1", "holds 3 L"),)),
    Question("q3", "table", "Torque?", "", ("340",), (Evidence("t:1", "torque nm: 340"),)),
    Question("q4", "unanswerable", "Paint?", ABSTENTION, held_out=True),
]
SAID = {
    "Grease?": "It takes 1.6 kg. [SB-1]",
    "Oil?": "It holds 4 L. [SB-1]",
    "Torque?": "It is 340. [t:1]",
    "Paint?": ABSTENTION,
}


class KnowsItAll(LanguageModel):
    """Answers from a table, whatever the prompt around the question."""

    def generate_batch(
        self, conversations: Sequence[Any], *, on_progress: Any = None, **options: Any
    ) -> list[Generation]:
        texts = [
            next(text for asked, text in SAID.items() if asked in messages[-1]["content"])
            for messages in conversations
        ]
        if on_progress:
            on_progress(len(texts), len(texts))
        return [Generation(text, 1, 1) for text in texts]


class OneShelf:
    """Finds the same two hits for every question, in every mode."""

    def __init__(self, hits: list[Hit]) -> None:
        self.hits = hits

    def search_many(
        self, queries: Sequence[str], *, k: int = 5, mode: str = "hybrid"
    ) -> list[list[Hit]]:
        return [self.hits[:k] for _ in queries]


@pytest.fixture
def llm(tiny_llm: LanguageModel) -> LanguageModel:
    return KnowsItAll("Tiny-1", tiny_llm.model, tiny_llm.tokenizer)


@pytest.fixture
def store(make_hit: Any) -> Any:
    return OneShelf(
        [make_hit("it takes 1.6 kg now", document_id="SB-1"), make_hit("340", document_id="t:1")]
    )


@pytest.fixture(autouse=True)
def small_exam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exam, "load_exam", lambda split, folder=None: list(QUESTIONS))


def test_base_is_scored_by_hand(llm, tmp_path: Path) -> None:
    figures = evaluate.sit("base", llm=llm, folder=tmp_path)["figures"]
    assert figures["exact_match"]["mean"] == 0.75
    assert figures["by_kind"]["lookup"]["mean"] == 0.5
    assert figures["by_kind"]["unanswerable"]["mean"] == 1
    assert figures["citation_precision"]["mean"] == pytest.approx(2 / 3)
    assert figures["abstention_recall"]["mean"] == 1
    assert figures["wrong_but_confident"]["mean"] == 0.25
    assert figures["wall_s"] >= 0
    assert [row["exact_match"] for row in figures["answers"]] == [1, 0, 1, 1]
    assert figures["answers"][0] == {
        "id": "q1",
        "text": "It takes 1.6 kg. [SB-1]",
        "cited": ["SB-1"],
        "exact_match": 1.0,
        "abstained": False,
        "found": False,
    }


def test_rag_keeps_only_citations_that_were_shown(llm, store, tmp_path: Path) -> None:
    run = evaluate.sit("rag", k=1, llm=llm, store=store, folder=tmp_path)
    cited = [row["cited"] for row in run["figures"]["answers"]]
    assert cited == [["SB-1"], ["SB-1"], [], []]
    assert (run["config"]["system"], run["config"]["k"]) == ("rag", 1)


def test_a_reranked_run_shows_the_better_passage_and_says_so(llm, store, tmp_path: Path) -> None:
    def likes_340(question: str, passages: Sequence[str]) -> list[float]:
        return [float("340" in passage) for passage in passages]

    run = evaluate.sit("rag", k=1, scorer=likes_340, llm=llm, store=store, folder=tmp_path)
    assert [row["cited"] for row in run["figures"]["answers"]] == [[], [], ["t:1"], []]
    assert run["config"]["command"].endswith("-k 1 --rerank")
    assert (tmp_path / "exam-rag-tiny-1-k1-reranked.json").is_file()
    assert leaderboard.name_of(run) == "rag, Tiny-1, k = 1, reranked"
    plain = evaluate.sit("rag", k=1, llm=llm, store=store, folder=tmp_path)
    assert run["figures"]["retrieval"] == plain["figures"]["retrieval"]


def test_a_full_run_is_recorded_with_its_origin(llm, store, tmp_path: Path) -> None:
    returned = evaluate.sit("rag", llm=llm, store=store, folder=tmp_path)
    run = json.loads((tmp_path / "exam-rag-tiny-1.json").read_text(encoding="utf-8"))
    assert run["config"] == returned["config"]
    assert run["figures"] == json.loads(json.dumps(returned["figures"]))
    assert run["config"]["n_questions"] == len(QUESTIONS)
    assert run["config"]["command"] == "python -m labkit exam --system rag --model Tiny-1 -k 5"
    assert run["hardware"] == hardware.detect().as_dict()
    assert {"python", "torch", "labkit"} <= set(run["versions"])
    assert len(run["date"]) == 10
    assert results.leaderboard(folder=tmp_path) == [run]


def test_the_recorded_command_is_one_that_the_command_line_accepts(
    llm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shlex

    from cli.doors import parse

    from labkit import catalogue

    small = catalogue.card(catalogue.SMALL_MODEL)
    monkeypatch.setitem(catalogue.CATALOGUE, "Tiny-1", small)
    command = evaluate.sit("base", llm=llm, folder=tmp_path)["config"]["command"]
    assert command.startswith("python -m labkit exam ")
    options = parse(shlex.split(command)[3:])
    assert (options["system"], options["model"]) == ("base", "Tiny-1")


TRAINING = {"method": "qlora", "rank": 4, "command": "python -m labkit finetune --out x"}


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps({"config": TRAINING}))
    return folder


def test_a_tuned_model_is_recorded_with_its_training(llm, store, tuned, tmp_path: Path) -> None:
    out = tmp_path / "results"
    run = evaluate.sit("both", tuned=tuned, llm=llm, store=store, folder=out)
    assert run["config"]["training"] == TRAINING
    command = run["config"]["command"]
    assert command.startswith("python -m labkit finetune --out x && python -m labkit exam")
    assert command.endswith("--tuned tuned -k 5")
    assert [path.name for path in out.iterdir()] == ["exam-both-tiny-1-qlora.json"]
    assert leaderboard.name_of(run) == "both, Tiny-1, qlora, k = 5"


def test_a_label_keeps_two_tuned_models_apart(llm, store, tuned, tmp_path: Path) -> None:
    out = tmp_path / "results"
    for label in ("", "early"):
        run = evaluate.sit("both", tuned=tuned, llm=llm, store=store, folder=out, label=label)
    assert run["config"]["command"].endswith("--tuned tuned -k 5 --label early")
    names = [path.stem for path in out.glob("*.json")]
    assert sorted(names) == ["exam-both-tiny-1-qlora", "exam-both-tiny-1-qlora-early"]
    assert leaderboard.name_of(run) == "both, Tiny-1, qlora, k = 5, early"
    with pytest.raises(ValueError, match="use small letters"):
        evaluate.sit("both", tuned=tuned, llm=llm, store=store, label="../x")


@pytest.mark.parametrize(("system", "needs"), [("lora", True), ("base", False), ("rag", False)])
def test_a_tuned_folder_goes_with_tuned_systems_only(llm, store, tuned, system, needs) -> None:
    with pytest.raises(ValueError, match=f"need a fine-tuned model .* this is '{system}'"):
        evaluate.sit(system, tuned=None if needs else tuned, llm=llm, store=store)


def test_a_record_says_what_it_rests_on(llm, store, tmp_path: Path) -> None:
    parts = {}
    for system in ("rag", "base"):
        evaluate.sit(system, llm=llm, store=store, folder=tmp_path)
        run = results.load(f"exam-{system}-tiny-1", folder=tmp_path)
        parts[system] = set(run["rests_on"])
        assert evaluate.stale_parts(run) == []
    assert parts["rag"] == {"corpus", "exam", "prompt", "search"}
    assert parts["base"] == parts["rag"] - {"search"}


def test_a_fast_run_refuses_before_it_asks_anything(store, tmp_path: Path, monkeypatch) -> None:
    class Silent:
        name = "Tiny-1"

    monkeypatch.setenv("LABKIT_FAST", "1")
    with pytest.raises(ValueError, match="Fast mode .* unset LABKIT_FAST"):
        evaluate.sit("rag", llm=Silent(), store=store)  # type: ignore[arg-type]


def test_a_fast_run_may_be_recorded_elsewhere_and_a_part_of_the_exam_asked(
    llm, store, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("LABKIT_FAST", "1")
    evaluate.sit("base", llm=llm, limit=2)
    evaluate.sit("base", llm=llm, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["exam-base-tiny-1.json"]


def test_a_limited_run_is_not_recorded(llm, store, tmp_path: Path) -> None:
    run = evaluate.sit("rag", limit=2, llm=llm, store=store, folder=tmp_path)
    assert run["config"]["n_questions"] == 2
    assert not list(tmp_path.iterdir())


def test_the_same_answers_give_the_same_intervals_again(llm, store, tmp_path: Path) -> None:
    first, second = (
        evaluate.sit("rag", llm=llm, store=store, folder=tmp_path)["figures"] for _ in range(2)
    )
    assert first | {"wall_s": 0} == second | {"wall_s": 0}
    assert len(list(tmp_path.glob("*.json"))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit is 0"),
        ({"k": 0}, "k is 0"),
        ({"system": "magic"}, "no system 'magic'; choose base, rag, lora, both"),
        ({"store": None}, "needs a store"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_recorded(llm, store, tmp_path, options, message):
    given = {"system": "rag", "store": store, "llm": llm, "folder": tmp_path} | options
    with pytest.raises(ValueError, match=message):
        evaluate.sit(given.pop("system"), **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("limit", "expected"), [(1, [0]), (2, [0, 5]), (3, [0, 3, 6])])
def test_a_limit_spreads_over_the_exam(limit: int, expected: list[int]) -> None:
    assert evaluate.every_nth(list(range(10)), limit) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [None, 4, 99])
def test_a_limit_above_the_exam_asks_everything_once(limit: int | None) -> None:
    assert evaluate.every_nth(QUESTIONS, limit) == QUESTIONS


def test_the_rendered_table_shows_shares_with_their_intervals(llm, tmp_path: Path) -> None:
    run = evaluate.sit("base", llm=llm, folder=tmp_path)
    lines = evaluate.render(run).split("\n")
    assert lines[0].startswith("base with Tiny-1, 4 questions, ")
    assert any("exact match" in line and "75.0 %" in line and "n = 4" in line for line in lines)
    assert any(line.endswith("–") and "house terms" in line for line in lines)
    assert any("exact match, lookup" in line and "50.0 %" in line for line in lines)
    assert any("exact match, held-out documents" in line for line in lines)


def test_retrieval_is_measured_in_every_mode(llm, store, tmp_path: Path) -> None:
    run = evaluate.sit("rag", llm=llm, store=store, folder=tmp_path)
    retrieval = run["figures"]["retrieval"]
    assert set(retrieval) == {"vector", "text", "hybrid"}
    assert retrieval["vector"]["all"]["hit_at_1"]["mean"] == pytest.approx(1 / 3)
    assert retrieval["vector"]["all"]["hit_at_1"]["n"] == 3
    assert evaluate.sit("base", llm=llm, folder=tmp_path)["figures"]["retrieval"] is None


def test_the_leaderboard_page_shows_both_systems_best_first(llm, store, tmp_path: Path) -> None:
    evaluate.sit("base", llm=llm, folder=tmp_path)
    evaluate.sit("rag", llm=llm, store=store, folder=tmp_path)
    page = leaderboard.write(folder=tmp_path).read_text(encoding="utf-8")
    assert "| base, Tiny-1 |" in page
    assert "| rag, Tiny-1, k = 5 |" in page
    assert "75 (25–100)" in page
    assert "`python -m labkit exam --system rag --model Tiny-1 -k 5`" in page
    header = next(line for line in page.split("\n") if line.startswith("| system | lookup"))
    assert header.count("|") == len(exam.KINDS) + 3


def test_runs_with_another_number_of_passages_stand_beside_each_other(llm, store, tmp_path) -> None:
    for k in (None, 1):
        evaluate.sit("rag", k=k, llm=llm, store=store, folder=tmp_path)
    names = sorted(path.name for path in tmp_path.glob("*.json"))
    assert names == ["exam-rag-tiny-1-k1.json", "exam-rag-tiny-1.json"]


def test_finding_and_reading_are_told_apart() -> None:
    rows = [(True, 1.0, False), (True, 0.0, False), (True, 0.0, True), (False, 0.0, True),
            (False, 1.0, True), (False, 0.0, False)]  # fmt: skip
    answers = [{"found": f, "exact_match": e, "abstained": a} for f, e, a in rows]
    means = {name: share["mean"] for name, share in evaluate.split(answers).items() if share}
    assert means == {
        "found": 0.5,
        "right_given_found": pytest.approx(1 / 3),
        "abstained_given_found": pytest.approx(1 / 3),
        "abstained_given_not_found": pytest.approx(2 / 3),
        "wrong_given_answered": pytest.approx(2 / 3),
    }
    assert evaluate.split(answers[:3])["abstained_given_not_found"] is None


def test_evidence_was_shown_only_if_every_piece_was(make_hit) -> None:
    two = Question(
        "q", "synthesis", "?", "", ("1", "2"), (Evidence("A", "one"), Evidence("B", "two"))
    )
    first, second = make_hit("one", document_id="A"), make_hit("two", document_id="B")
    assert evaluate.was_shown(two, [first, second])
    assert not evaluate.was_shown(two, [first])
    assert not evaluate.was_shown(replace(two, evidence=()), [first]), "there is nothing to show"
