"""An advice follows from measurements: what is not measured has no vote."""

from typing import Any

import pytest
from claims.made_up import EVERYTHING, QUESTIONS, recorded, records, retrained, sat, sizes

from labkit.claims import decide
from labkit.claims.decide import Case
from labkit.claims.verdicts import Records, load_records
from labkit.classroom import widgets

NOTHING = Records({}, QUESTIONS, "m")


def share(mean: float) -> dict:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 9}


def exam_run(name: str, right: dict, *, wall_s: float = 120.0, wrong: str = "9 kg.") -> dict:
    run = sat(name, right, wrong=wrong)
    run["figures"] |= {"wall_s": wall_s, "citation_recall": share(0.3)}
    return run | {"config": {"n_questions": 120}}


def updates(ruled: float) -> dict:
    states = {"before": 0.0, "after": 0.2, "newer wins": ruled}
    figures = {
        "bulletins": {"n_documents": 14},
        "reingest_s": 3.0,
        "states": {name: {"first_new": share(mean)} for name, mean in states.items()},
    }
    return recorded("updates-m", figures)


def grid(**peaks_gib: float) -> dict:
    step = {"method": "qlora", "seq": 2048, "checkpointing": True}
    points = [{"model": m, "step": step, "rehearsed_peak_bytes": int(g * 2**30)}
              for m, g in peaks_gib.items()]  # fmt: skip
    points.append(points[0] | {"model": "no", "step": step | {"method": "lora"},
                               "rehearsed_peak_bytes": 1})  # fmt: skip
    return recorded("rehearsal-grid", {"points": points})


def reasons(case: Case, known: Records) -> dict[str, decide.Reason]:
    return {reason.trait: reason for reason in decide.advise(case, known).reasons}


def test_without_records_the_advice_is_to_measure_and_names_commands() -> None:
    advice = decide.advise(Case(n_examples=10), NOTHING)
    assert advice.choice == "measure first"
    assert len(advice.reasons) == 8
    for reason in advice.reasons:
        assert reason.measured.startswith("not measured yet: ")
        assert not reason.votes


GAIN = [exam_run("exam-base-m", {}), exam_run("exam-rag-m", {"lookup": 15})]
FORMAT = exam_run("exam-lora-m", {}, wrong="It is 9 kg. [D]")
QUICK = exam_run("exam-lora-m", {}, wrong="It is 9 kg. [D]", wall_s=48.0)
SLOW = exam_run("exam-lora-m", {}, wrong="It is 9 kg. [D]", wall_s=240.0)
NO_FACTS = Case(facts_in_documents=False, changes="never", traceable=False)
IN_HOUSE_WORDS = exam_run("exam-rag-m", {"lookup": 15}, wrong="The kettle takes 9 kg.")


@pytest.mark.parametrize(
    ("runs", "case", "choice"),
    [
        (GAIN, Case(), "RAG"),
        ([GAIN[0], exam_run("exam-rag-m", {})], Case(traceable=False), "measure first"),
        ([*GAIN, FORMAT], Case(), "RAG plus fine-tuning"),
        ([GAIN[0], IN_HOUSE_WORDS, FORMAT], Case(), "RAG"),
        ([*GAIN, FORMAT], NO_FACTS, "fine-tuning"),
        ([*GAIN, FORMAT], Case(house_language=False), "RAG"),
        ([*GAIN, FORMAT], Case(max_seconds=0.5), "measure first"),
        ([*GAIN, QUICK], Case(max_seconds=0.5), "fine-tuning"),
        ([*GAIN, SLOW], Case(max_seconds=1.5), "RAG"),
        ([*GAIN, exam_run("exam-both-m", EVERYTHING)], Case(n_examples=9), "RAG plus fine-tuning"),
        ([*GAIN, exam_run("exam-both-m", EVERYTHING)], Case(), "RAG"),
        ([*GAIN, exam_run("exam-both-m", {})], Case(n_examples=9), "RAG"),
    ],
)
def test_what_is_measured_decides(runs: list[dict], case: Case, choice: str) -> None:
    assert decide.advise(case, records(*runs)).choice == choice


def test_a_source_is_worth_a_vote_only_if_citations_are_mostly_right() -> None:
    poor = exam_run("exam-rag-m", {})
    poor["figures"]["citation_precision"] = share(0.55)
    trait = "every answer needs a source"
    assert reasons(Case(), records(poor))[trait].votes == {}
    assert reasons(Case(), records(GAIN[1]))[trait].votes == {"RAG": True}


@pytest.mark.parametrize(("ruled", "vote"), [(0.6, {"RAG": True}), (0.15, {})])
def test_changing_facts_speak_for_rag_if_the_store_follows(ruled: float, vote: Any) -> None:
    reason = reasons(Case(changes="daily"), records(updates(ruled)))["the facts change daily"]
    assert reason.votes == vote
    assert (
        "14 new documents" in reason.measured and "training again: not measured" in reason.measured
    )
    told = reasons(Case(), records(updates(ruled), retrained(60.0)))["the facts change monthly"]
    assert "training again: 60 s" in told.measured


@pytest.mark.parametrize("change", ["never", "yearly", "monthly", "daily"])
def test_the_committed_records_give_every_reason_its_measurement(change: Any) -> None:
    known = load_records()
    case = Case(changes=change, n_passages=2_000_000, n_examples=448, gpu_gib=24)
    for reason in decide.advise(case, known).reasons:
        missing = reason.measured.startswith("not measured yet: python -m")
        assert missing or reason.origin, reason


def test_few_examples_are_held_against_the_curve() -> None:
    curve = sizes(80, 1)
    known = records(*GAIN, exam_run("exam-both-m", EVERYTHING), curve)
    few, many = (reasons(Case(n_examples=n), known)[f"{n} examples to train on"] for n in (9, 30))
    assert (few.votes, many.votes) == ({}, {"fine-tuning": True})
    assert "on 0 examples: 33 %" in few.measured and "on 30 examples: 67 %" in many.measured


@pytest.mark.parametrize(
    ("seconds", "votes"),
    [(2.0, {}), (0.95, {"RAG": False}), (0.5, {"RAG": False, "fine-tuning": False})],
)
def test_a_wish_is_held_against_what_each_remedy_takes(seconds: float, votes: dict) -> None:
    base, rag = exam_run("exam-base-m", {}, wall_s=0.6 * 120), GAIN[1]
    reason = reasons(Case(max_seconds=seconds), records(base, rag))[
        f"at most {seconds:g} s an answer"
    ]
    assert reason.votes == votes
    assert ("neither reaches it" in reason.measured) == (len(votes) == 2)
    assert "closed book 0.60 s an answer, RAG 1.00 s an answer" in reason.measured


@pytest.mark.parametrize(
    ("gib", "told"),
    [(0, "needs 3.5 GiB"), (3.4, "needs 3.5"), (10, "of B fits"), (80, "of C fits")],
)
def test_the_largest_model_that_fits_the_card_is_named(gib: float, told: str) -> None:
    known = records(grid(A=3.5, B=9.0, C=44.0))
    trait = f"a GPU of {gib:g} GiB" if gib else "no GPU"
    assert told in reasons(Case(gpu_gib=gib), known)[trait].measured


@pytest.mark.parametrize(
    ("n", "told", "beyond"),
    [(90, "among 90: 250 ms", False), (91, "among 900: 750 ms", False), (901, "750 ms", True)],
)
def test_search_is_told_at_the_next_larger_recorded_size(n: int, told: str, beyond: bool) -> None:
    runs = []
    for size, seconds in ((900, 0.75), (90, 0.25)):
        search = {
            "runs": {"LanceDB flat": {"searches": [{"p50_s": p} for p in (0.1, seconds, 0.2)]}}
        }
        runs.append(recorded(f"bench-retrieval-{size}", search) | {"config": {"n": size}})
    reason = reasons(Case(n_passages=n), records(*runs))[f"{n} passages"]
    assert told in reason.measured
    assert ("more passages: not measured yet" in reason.measured) == beyond


def test_an_impossible_case_is_refused() -> None:
    with pytest.raises(ValueError, match="gpu_gib is -1"):
        Case(gpu_gib=-1)


def test_the_table_has_a_row_for_every_reason() -> None:
    advice = decide.advise(Case(max_seconds=0.1), records(*GAIN))
    lines = decide.table(advice).splitlines()
    assert len(lines) == 2 + len(advice.reasons)
    assert any("| against RAG, against fine-tuning |" in line for line in lines)


def test_every_command_named_is_one_the_doors_accept() -> None:
    from cli.doors import parse

    for reason in decide.advise(Case(n_examples=1), NOTHING).reasons:
        command = reason.measured.partition(": ")[2].split()
        parse(command[3:])


def box_parts(box: Any) -> dict[str, Any]:
    *parts, shown = box.children
    names = Case.__dataclass_fields__
    return dict(zip(names, parts, strict=True)) | {"shown": shown}


def test_the_box_advises_anew_after_every_change() -> None:
    box = box_parts(widgets.decision_box(records(*GAIN, FORMAT), case=Case(n_passages=7)))
    assert "Try first: RAG plus fine-tuning" in box["shown"].value and "7 passages" in (
        box["shown"].value
    )
    box["house_language"].value = False
    assert "Try first: RAG<" in box["shown"].value
    box["n_passages"].value = -1
    assert "No advice." in box["shown"].value and "n_passages is -1" in box["shown"].value


def test_the_card_escapes_every_text() -> None:
    nasty = decide.Reason("<script>", "<img src=x>", origin="<b>&")
    html = widgets.advice_card(decide.Advice("RAG", (nasty,)))
    assert "<script" not in html and "<img" not in html and "&lt;b&gt;&amp;" in html


def test_the_bets_box_keeps_what_was_chosen(tmp_path, monkeypatch) -> None:
    from labkit.claims import bets
    from labkit.claims.rules import CLAIMS
    from labkit.claims.verdicts import judge

    monkeypatch.setenv("LABKIT_STATE", str(tmp_path))
    monkeypatch.setenv("LABKIT_STATIC", "0")
    bets.place({"C2": "holds only if"})
    judged = [judge(claim, NOTHING) for claim in CLAIMS]
    *lines, button, said = widgets.bets_box(judged).children
    assert lines[1].children[0].value == "holds only if"
    lines[0].children[0].value = "does not hold here"
    button.click()
    assert "Kept" in said.value
    assert (bets.load()["C1"], bets.load()["C2"]) == ("does not hold here", "holds only if")
    assert all(part.children[1].value for part in lines) and len(lines) == len(CLAIMS)
    monkeypatch.setattr(bets, "place", lambda chosen: (_ for _ in ()).throw(OSError("<full>")))
    button.click()
    assert "Not kept" in said.value and "&lt;full&gt;" in said.value
