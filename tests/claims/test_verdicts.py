"""Verdicts follow from recorded numbers by rules; each rule is tried on records made by hand."""

import re
from pathlib import Path
from typing import Any

import pytest
from claims.made_up import (
    EACH,
    EVERYTHING,
    QUESTIONS,
    answers,
    recorded,
    records,
    retrained,
    sat,
    sizes,
)

from labkit import results, retrieval_metrics
from labkit.claims import records as verdict_records
from labkit.claims import verdicts
from labkit.claims.outcomes import Claim, Outcome, close, gains, loses, of_parts
from labkit.claims.rules import CLAIMS
from labkit.claims.rules_training import cards_needed
from labkit.claims.verdicts import judge
from labkit.types import KINDS, Interval

LOOKUP_AND_JARGON = "lookup (plain reader), jargon (plain reader)"
BY_NAME = {claim.name: claim for claim in CLAIMS}


@pytest.mark.parametrize(
    ("low", "high", "gain", "loss", "near"),
    [
        (0.01, 0.02, True, False, True),
        (0.0, 0.049, False, False, True),
        (0.0, 0.051, None, False, True),
        (-0.049, 0.0, False, False, True),
        (-0.051, 0.0, False, None, None),
        (-0.06, 0.06, None, None, None),
        (-0.04, -0.01, False, True, True),
        (-0.3, -0.01, False, True, False),
    ],
)
def test_an_interval_decides_unless_it_holds_zero_and_what_matters(
    low: float, high: float, gain: Any, loss: Any, near: Any
) -> None:
    change = Interval((low + high) / 2, low, high, 99)
    assert (gains(change), loses(change), close(change)) == (gain, loss, near)


@pytest.mark.parametrize(
    ("gained", "state", "condition"),
    [
        ({kind: EACH for kind in KINDS}, "holds", ""),
        (
            {"lookup": EACH, "jargon": EACH},
            "holds only if",
            "lookup (plain reader), jargon (plain reader)",
        ),
        ({"unanswerable": EACH}, "does not hold here", ""),
        ({"lookup": 1}, "cannot tell", ""),
    ],
)
def test_c1_counts_kinds_with_a_sure_gain(gained: dict, state: str, condition: str) -> None:
    found = judge(BY_NAME["C1"], records(sat("exam-base-m", {}), sat("exam-rag-m", gained)))
    assert (found.state, found.condition.rpartition(": ")[2]) == (state, condition)
    assert (
        f"lookup (plain reader) {100 * gained.get('lookup', 0) / EACH:+.1f} points" in found.finding
    )


def test_c1_asks_the_tuned_reader_too_once_both_its_exams_are_recorded() -> None:
    plain = [sat("exam-base-m", {}), sat("exam-rag-m", {"lookup": EACH})]
    tuned = [sat("exam-lora-m", {"table": EACH}), sat("exam-both-m", EVERYTHING)]
    found = judge(BY_NAME["C1"], records(*plain, *tuned))
    assert found.condition.endswith(
        ": lookup (plain reader), lookup (tuned reader), jargon (tuned reader), "
        "synthesis (tuned reader), updated (tuned reader)"
    )
    half = judge(BY_NAME["C1"], records(*plain, tuned[0]))
    assert "tuned" not in half.finding + half.condition


def test_a_loss_does_not_count_as_a_gain() -> None:
    found = judge(BY_NAME["C1"], records(sat("exam-base-m", EVERYTHING), sat("exam-rag-m", {})))
    assert found.state == "does not hold here"


def test_differences_are_paired_by_question_not_by_place() -> None:
    one, other = sat("exam-rag-m", {"lookup": 10}), sat("exam-base-m", {"lookup": 10})
    one["figures"]["answers"].reverse()
    gap = records(one, other).difference("exam-rag-{model}", "exam-base-{model}", "exact_match")
    assert gap == Interval(0, 0, 0, len(QUESTIONS))


def test_c2_needs_both_format_and_terms() -> None:
    rag = sat("exam-rag-m", {}, wrong="It is 9 kg of kettle oil.")
    lora = sat("exam-lora-m", {}, wrong="It is 9 kg. [D]")
    assert judge(BY_NAME["C2"], records(rag, lora)).condition == "language means the house format"
    both = sat("exam-lora-m", {}, wrong="The kettle takes 9 kg. [D]")
    plain = sat("exam-rag-m", {}, wrong="It is 9 kg.")
    assert judge(BY_NAME["C2"], records(plain, both)).state == "holds"
    assert judge(BY_NAME["C2"], records(both | {"name": "exam-rag-m"}, plain | {
        "name": "exam-lora-m"})).state == "does not hold here"  # fmt: skip


@pytest.mark.parametrize(
    ("few", "noisy", "state", "condition"),
    [
        (41, 60, "holds", ""),
        (80, 60, "holds only if", "it is about noisy labels"),
        (41, 97, "holds only if", "it is about little data"),
        (80, 97, "does not hold here", ""),
        (43, 60, "holds only if", "it is about noisy labels; cannot tell: little data"),
        (43, 95, "cannot tell", ""),
    ],
)
def test_c3_looks_at_few_examples_and_at_noise(few, noisy, state, condition) -> None:
    found = judge(BY_NAME["C3"], records(sizes(few, noisy)))
    assert (found.state, found.condition) == (state, condition)


@pytest.mark.parametrize(
    ("of", "seeds", "state"),
    [(100, 2, "holds"), (99, 2, "cannot tell"), (100, 1, "cannot tell"), (30, 9, "cannot tell")],
)
def test_a_training_is_judged_on_enough_questions_and_seeds(of, seeds, state) -> None:
    few, noisy = of // 3, of // 2
    found = judge(BY_NAME["C3"], records(sizes(few, noisy, of=of, seeds=seeds)))
    assert found.state == state
    assert f"of {of} questions and {seeds} of 2 seeds" in found.finding


def updates(after: list[str], ruled: list[str], seconds: float) -> dict:
    states = {"after": after, "newer wins": ruled}
    told = {name: {"answers": [{"first": f} for f in firsts]} for name, firsts in states.items()}
    return recorded("updates-m", {"states": told, "reingest_s": seconds})


def methods(*, full_s: float = 90.0, of: int = 120, seeds: int = 2, **right: int) -> dict:
    """Return a comparison of methods; each answers so many of the questions, all unless said."""
    names = ("base", "nf4", "full", "lora", "qlora")
    figures: dict[str, dict] = {
        name: {"answers": answers(right.get(name, of), of=of, seeds=seeds)} for name in names
    }
    figures["full"]["train_s"], figures["lora"]["train_s"] = full_s, 60.0
    return recorded("methods-m", figures)


@pytest.mark.parametrize(
    ("after", "ruled", "seconds", "state", "condition"),
    [
        ("new" * 20, "new" * 20, 3.0, "holds", ""),
        ("old" * 20, "new" * 20, 3.0, "holds only if", "a rule lets the newer win"),
        ("old" * 20, "old" * 20, 99.0, "does not hold here", ""),
        ("new" * 20, "new" * 20, 99.0, "holds only if", "the new value first where new facts"),
        ("new" * 11 + "old" * 9, "old" * 20, 99.0, "cannot tell", ""),
        (
            "new" * 11 + "old" * 9,
            "old" * 20,
            3.0,
            "holds only if",
            "about the cost of an update; c",
        ),
    ],
)
def test_c4_tells_the_cost_of_an_update_from_what_is_found(
    after: str, ruled: str, seconds: float, state: str, condition: str
) -> None:
    run = updates(*([text[i : i + 3] for i in range(0, 60, 3)] for text in (after, ruled)), seconds)
    found = judge(BY_NAME["C4"], records(run, retrained(60.0)))
    assert found.state == state and condition in found.condition


@pytest.mark.parametrize(
    ("right", "cited", "state"),
    [
        (EVERYTHING, 0.9, "holds"),
        (EVERYTHING, 0.55, "holds only if"),
        ({"lookup": EACH}, 0.9, "holds only if"),
        ({}, 0.2, "does not hold here"),
    ],
)
def test_c5_wants_sources_fewer_errors_and_refusals(right: dict, cited: float, state: str) -> None:
    rag = sat("exam-rag-m", right, cited=cited)
    found = judge(BY_NAME["C5"], records(rag, sat("exam-base-m", {})))
    assert found.state == state
    assert ("refusals" in found.condition) == (state == "holds only if" and cited < 0.6)


def test_c6_must_beat_both_others_in_a_kind() -> None:
    rag, lora = sat("exam-rag-m", {"lookup": EACH}), sat("exam-lora-m", {"table": EACH})
    found = judge(BY_NAME["C6"], records(sat("exam-both-m", EVERYTHING), rag, lora))
    assert (
        found.condition == "the question is of the kind: jargon, synthesis, updated, unanswerable"
    )
    assert judge(BY_NAME["C6"], records(sat("exam-both-m", {}), rag, lora)).state == (
        "does not hold here"
    )


def variants(**first: dict[str, int]) -> dict:
    """Return a run in which the evidence of the first so many questions of a kind is on top."""
    kinds = [kind for kind in ("lookup", "jargon") for _ in range(40)]
    rows = {}
    for name, by_kind in first.items():
        lists: list[list[int | None]] = [
            [1 if i % 40 < by_kind[kind] else None] for i, kind in enumerate(kinds)
        ]
        rows[name] = {"ranks": retrieval_metrics.pack(lists)}
    return recorded("bench-rag-variants", {"kinds": kinds, "variants": rows})


@pytest.mark.parametrize(
    ("vector", "text", "hybrid", "state", "condition"),
    [
        ((30, 40), (30, 10), (40, 40), "holds only if", "beats word search on paraphrases, is add"),
        ((39, 40), (30, 10), (40, 40), "holds", ""),
        ((10, 10), (30, 30), (30, 30), "does not hold here", ""),
        ((10, 10), (30, 10), (40, 10), "holds only if", "similarity is added to word search"),
    ],
)
def test_c7_compares_three_searches(vector, text, hybrid, state, condition) -> None:
    names = {"vector": vector, "text": text, "hybrid": hybrid}
    rows = {n: dict(zip(("lookup", "jargon"), v, strict=True)) for n, v in names.items()}
    found = judge(BY_NAME["C7"], records(variants(**rows)))
    assert found.state == state and condition in found.condition


@pytest.mark.parametrize(
    ("lora", "full_s", "state"),
    [
        (120, 90.0, "holds"),
        (120, 50.0, "holds only if"),
        (2, 50.0, "does not hold here"),
        (117, 50.0, "cannot tell"),
    ],
)
def test_c8_allows_lora_five_points_less_but_no_more_time(lora, full_s, state) -> None:
    found = judge(BY_NAME["C8"], records(methods(lora=lora, full_s=full_s)))
    assert found.state == state and f"{full_s / 60:.2f}×" in found.finding


def test_a_comparison_that_was_cut_short_is_waited_for() -> None:
    run = methods()
    del run["figures"]["nf4"]
    found = judge(BY_NAME["C8"], records(run))
    assert found.state == "not measured yet"
    assert found.missing == ("python -m labkit bench methods",)


def point(method: str, batch: int, seq: int, seconds: float, **other: Any) -> dict:
    step = {"method": method, "batch": batch, "seq": seq, "checkpointing": False}
    plain = {"engine": "loop", "attention": "sdpa", "compiled": False, "status": "measured"}
    return {"model": "P", "step": step, "step_s": [seconds, 99.0, seconds / 2]} | plain | other


@pytest.mark.parametrize(
    ("second", "state"),
    [(1.3, "holds"), (2.0, "holds only if")],
)
def test_c11_asks_each_step_and_leaves_variants_out(second: float, state: str) -> None:
    points = [point("lora", 1, 512, 1), point("qlora", 1, 512, second)]
    points += [point("lora", 4, 1024, 2), point("qlora", 4, 1024, 2.6)]
    points += [point("qlora", 4, 1024, 9, compiled=True), point("lora", 2, 2, 1, status="failed")]
    found = judge(BY_NAME["C11"], records(recorded("gpu-card", {"points": points})))
    assert found.state == state
    assert f"1.30× to {second:.2f}×" in found.finding and "of 2 steps" in found.finding
    assert found.condition == ("a step holds some 4096 to 4096 tokens" if second == 2 else "")


def test_c11_says_so_when_no_step_is_near() -> None:
    points = [point("lora", 1, 512, 1), point("qlora", 1, 512, 2.5)]
    found = judge(BY_NAME["C11"], records(recorded("gpu-card", {"points": points})))
    assert found.state == "does not hold here"


@pytest.mark.parametrize(
    ("nf4", "qlora", "state"),
    [
        (2, 120, "holds"),
        (2, 2, "does not hold here"),
        (120, 120, "does not hold here"),
        (117, 120, "cannot tell"),
        (2, 117, "cannot tell"),
    ],
)
def test_c12_needs_damage_before_it_can_be_repaired(nf4: int, qlora: int, state: str) -> None:
    found = judge(BY_NAME["C12"], records(methods(nf4=nf4, qlora=qlora)))
    assert found.state == state
    assert ("no damage" in found.finding) == (nf4 == 120)


def test_few_questions_cannot_tell_and_say_how_many_differed() -> None:
    run = methods(of=32, seeds=1, full=30, nf4=30, qlora=25)
    small = {name: judge(BY_NAME[name], records(run)) for name in ("C8", "C12")}
    assert small["C8"].condition == "it is about speed; cannot tell: quality"
    assert "resting on 2 of 32 questions and 1 of 2 seeds" in small["C8"].finding
    assert small["C12"].state == "cannot tell"


def test_a_stale_record_is_named_with_its_reason() -> None:
    run = methods() | {"stale": "trained in two ways"}
    assert "; stale, methods-m: trained in two ways" in judge(BY_NAME["C8"], records(run)).finding
    assert "stale" not in judge(BY_NAME["C8"], records(methods())).finding
    run["rests_on"] = {"exam": "", "corpus": ""}
    finding = judge(BY_NAME["C8"], records(run)).finding
    assert finding.endswith("trained in two ways; changed since: exam; changed since: corpus")


PHI = "Phi-3.5-mini-instruct"


def rehearsed(method: str, seq: int, peak: int, moving: int) -> dict:
    step = {"method": method, "batch": 1, "seq": seq, "checkpointing": False}
    parts = {"weights": peak - moving, "activations": moving}
    return {"model": PHI, "n_layers": 8, "step": step, "rehearsed_peak_bytes": peak,
            "rehearsed_parts_bytes": parts}  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "long", "state"),
    [("C9", 900, "holds"), ("C9", 1100, "holds only if"), ("C10", 400, "holds only if")],
)
def test_memory_claims_name_the_share_above_which_all_steps_pass(claim, long, state) -> None:
    heavy, light = ("full", "lora") if claim == "C9" else ("lora", "qlora")
    points = [rehearsed(heavy, 1, 1000, 200), rehearsed(light, 1, 500, 200)]
    points += [rehearsed(heavy, 9, 1000, 900), rehearsed(light, 9, long if claim == "C9" else 800,
                                                         900)]  # fmt: skip
    run = recorded("rehearsal-grid", {"points": points, "largest_error": 0.01})
    found = judge(BY_NAME[claim], records(run))
    assert found.state == state
    assert ("over 10%" in found.condition) == (state == "holds only if")
    assert "2 steps pass" in found.finding and "to 2.00× less" in found.finding
    assert f"rests on torsos: {PHI} 8 of 32 blocks" in found.finding


def test_the_cards_of_a_70b_agree_with_arithmetic() -> None:
    """70.55 G parameters: bf16 weights, gradients and AdamW's two states take 8 bytes each."""
    total_gib = 70.55e9 * 8 / 2**30
    full = cards_needed("full", 80)
    assert full is not None and total_gib / 80 < full < 2 * total_gib / 80
    assert cards_needed("full", 80, dtype="fp32") > 2 * full - 1
    assert cards_needed("qlora", 80) == 1
    assert cards_needed("full", 1) is None


def test_what_is_not_recorded_names_each_command_once() -> None:
    found = judge(BY_NAME["C6"], records(sat("exam-rag-m", {})))
    assert found.state == "not measured yet" and found.origin == ""
    assert len(found.missing) == len(set(found.missing)) == 2
    assert all("labkit exam --system" in command for command in found.missing)


def test_where_and_when_is_that_of_every_run_used() -> None:
    old = sat("exam-base-m", {}) | {"date": "2025-05-05"}
    found = judge(BY_NAME["C1"], records(old, sat("exam-rag-m", EVERYTHING)))
    assert found.origin.count("CPU, 2 CPU cores") == 2
    assert "2025-05-05" in found.origin and "2026-01-02" in found.origin


def test_parts_make_the_states() -> None:
    assert of_parts({"a": True, "b": True}, "f", condition="{parts}") == Outcome("holds", "f")
    assert of_parts({"a": False}, "f", condition="{parts}").state == "does not hold here"
    assert of_parts({"a": False, "b": True}, "f", condition="in {parts}").condition == "in b"
    assert of_parts({"a": False, "b": None}, "f", condition="").state == "cannot tell"
    half = of_parts({"a": True, "b": None, "c": False}, "f", condition="in {parts}")
    assert (half.state, half.condition) == ("holds only if", "in a; cannot tell: b")


def test_cards_are_not_mixed_up() -> None:
    fast = [point("lora", 1, 512, 1), point("qlora", 1, 512, 1.3)]
    slow = [point("lora", 1, 512, 10), point("qlora", 1, 512, 13)]
    runs = [recorded(f"gpu-{n}", {"points": p}) for n, p in enumerate((fast, slow))]
    found = judge(BY_NAME["C11"], records(*runs))
    assert found.state == "holds" and "2 of 2 steps" in found.finding


def test_there_are_thirteen_claims_in_order_each_with_what_it_needs() -> None:
    assert [claim.name for claim in CLAIMS] == [f"C{n}" for n in range(1, 14)]
    assert all(isinstance(claim, Claim) and claim.needs and claim.rule for claim in CLAIMS)


def test_named_sections_exist_in_their_lessons(root: Path) -> None:
    for claim in CLAIMS:
        for lesson, section in re.findall(r"(\d\d) §(\d)", claim.lesson):
            (source,) = (root / "notebooks" / "src").glob(f"{lesson}_*.py")
            text = source.read_text(encoding="utf-8")
            assert f"\n# ## {section} " in text, f"{claim.name}: {lesson} has no section {section}"


def test_recorded_scores_are_what_the_exam_gives_again() -> None:
    every = verdicts.load_records()
    for run in results.leaderboard():
        again = every.scores(run["name"])
        told = run["figures"]
        right = sum(score.exact_match for score in again.values()) / len(again)
        wrong = sum(score.wrong_but_confident for score in again.values()) / len(again)
        assert right == pytest.approx(told["exact_match"]["mean"])
        assert wrong == pytest.approx(told["wrong_but_confident"]["mean"])


def test_the_committed_page_is_what_the_records_say() -> None:
    page = results.default_folder() / verdicts.FILE_NAME
    expected = verdicts.render(verdicts.judge_all(verdicts.load_records()))
    assert page.read_text(encoding="utf-8") == expected, f"run: {verdicts.WRITE_COMMAND}"


def test_every_command_a_verdict_waits_for_is_one_the_doors_accept() -> None:
    from cli.doors import parse

    for told in verdict_records.COMMANDS.values():
        for command in told.split(" && "):
            if command.startswith("python -m labkit "):
                parse(command.split()[3:])
