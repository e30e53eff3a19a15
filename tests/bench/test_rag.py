"""The benchmark of variants on a corpus of four documents: tuned apart, paired, resumable."""

import functools
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from labkit import results
from labkit.bench import rag as bench_rag
from labkit.bench.rag import DEFAULT, Tools, Variant, every_variant, find
from labkit.measure import bootstrap_mean
from labkit.retrieval_metrics import per_question, score_retrieval, unpack

DOCUMENTS = {
    "A": "# Pump\n\nThe pump takes nine litres of oil. It stands beside the yard gate.",
    "B": "# Fan\n\nThe fan turns at forty rounds. It hums in summer.",
    "C": "# Brake\n\nThe brake disc wears two millimetres a year. Measure it with care.",
    "GL": "---\nkind: glossary\n---\n# Words\n\n## Kettle\nThe kettle is the oil pump: a box.",
}
ASKED = {
    "train": [("How much oil goes into the pump?", "A", "nine litres of oil")],
    "test": [
        ("How many rounds does the fan make?", "B", "turns at forty rounds"),
        ("What does the brake disc wear in a year?", "C", "two millimetres a year"),
    ],
}
VARIANTS = [
    DEFAULT,
    Variant(search="text"),
    Variant(search="linear", rerank="lexical"),
    Variant(search="vector", rerank="late interaction", rewrite=True),
    Variant(8, headings=False),
]


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_embedder) -> Path:
    """Return a results folder; the benchmark sees a tiny course and a model without weights."""
    data = tmp_path / "data"
    for folder in ("documents", "tables", "exam"):
        (data / folder).mkdir(parents=True)
    for name, text in DOCUMENTS.items():
        (data / "documents" / f"{name}.md").write_text(text, encoding="utf-8")
    blank = {"terms": [], "values": ["x"], "answer": "", "superseded_value": "", "held_out": False}
    for split, rows in ASKED.items():
        lines = [
            json.dumps(
                {"id": f"{split}-{i}", "kind": "lookup", "question": question,
                 "evidence": [{"document": document, "quote": quote}], **blank}
            )
            for i, (question, document, quote) in enumerate(rows)
        ]  # fmt: skip
        (data / "exam" / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    fake_embedder.encode_tokens = lambda texts: [
        fake_embedder.encode_queries(text.split()) for text in texts
    ]
    monkeypatch.setattr("labkit.settings.data_dir", lambda: data)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bench_rag, "load_embedder", lambda: fake_embedder)
    monkeypatch.setattr(bench_rag, "every_variant", lambda: VARIANTS)
    return tmp_path / "results"


def test_a_run_records_every_variant_with_intervals_and_paired_differences(course: Path) -> None:
    figures = bench_rag.run(folder=course)
    assert results.load(bench_rag.NAME, folder=course)["figures"] == figures
    assert list(figures["variants"]) == [variant.name for variant in VARIANTS]
    assert figures["questions"] == ["test-0", "test-1"]
    for row in figures["variants"].values():
        assert row["metrics"]["hit_at_1"]["n"] == row["difference"]["n"] == 2
        mean = np.mean(per_question(unpack(row["ranks"]))["ndcg_at_k"])
        assert row["metrics"]["ndcg_at_k"]["mean"] == pytest.approx(mean)
    assert figures["variants"]["hybrid"]["difference"]["mean"] == 0
    assert figures["variants"]["hybrid, 8 words, no headings"]["n_chunks"] == 7
    assert "hybrid, 8 words, no headings" in bench_rag.render(figures)


def test_a_killed_run_goes_on_with_what_is_missing_and_other_data_start_anew(
    course: Path, monkeypatch
) -> None:
    measured: list[str] = []
    measure = bench_rag.measure

    def cut_off(variant, *rest):
        measured.append(variant.name)
        if len(measured) == 5:
            raise KeyboardInterrupt
        return measure(variant, *rest)

    names = [variant.name for variant in VARIANTS]
    monkeypatch.setattr(bench_rag, "measure", cut_off)
    with pytest.raises(KeyboardInterrupt):
        bench_rag.run(folder=course)
    figures = bench_rag.run(folder=course)
    assert list(figures["variants"]) == names and measured == [*names, names[4]]
    assert bench_rag.run(folder=course)["variants"] == figures["variants"]
    assert len(measured) == 6
    manual = course.parent / "data" / "documents" / "A.md"
    manual.write_text(manual.read_text(encoding="utf-8") + " It is green.", encoding="utf-8")
    bench_rag.run(folder=course)
    assert measured[6:] == names


def test_scores_equal_those_of_the_hits_that_the_variant_finds(course: Path, fake_embedder) -> None:
    test = bench_rag.exam.load_exam("test")
    search = bench_rag.fill(course / "db", fake_embedder).search_many
    row = bench_rag.measure(DEFAULT, functools.cache(search), test[:1], test, Tools({}, {}))
    found = search([q.question for q in test], k=20)
    ranks = [score_retrieval(q, h, k=5).reciprocal_rank for q, h in zip(test, found, strict=True)]
    assert row["metrics"]["reciprocal_rank"]["mean"] == np.mean(ranks)
    firsts = per_question(unpack(row["ranks"]))["hit_at_1"]
    assert row["hit_at_1_by_kind"] == {"lookup": asdict(bootstrap_mean(firsts))}


@pytest.mark.parametrize(
    ("n_words", "n_readable"), [([300, 9], 1), ([100, 140, 1], 2), ([50] * 9, 4), ([], 1)]
)
def test_whole_passages_are_read_up_to_a_number_of_words(n_words, n_readable, make_hit) -> None:
    assert bench_rag._n_readable([make_hit("word " * n) for n in n_words]) == n_readable


def test_numbers_are_chosen_by_the_training_questions_alone(course: Path, fake_embedder) -> None:
    asked = set()

    def search(queries, **options):
        asked.update(text.partition(" (")[0] for text in queries)
        return [[] for _ in queries]

    bench_rag.tune(search, bench_rag.exam.load_exam("train"), bench_rag.make_tools(fake_embedder))
    assert asked == {ASKED["train"][0][0]}


def test_the_leaderboard_varies_what_it_promises() -> None:
    variants = every_variant()
    names = [variant.name for variant in variants]
    assert len(set(names)) == len(names) and variants[0] == DEFAULT
    for field in Variant.__dataclass_fields__:
        n_values = len({getattr(variant, field) for variant in variants})
        assert n_values > 1, field


def test_reranking_and_rewriting_change_what_is_asked_and_how_it_is_ordered(make_hit) -> None:
    asked = []

    def search(queries, *, k, mode):
        asked.extend(queries)
        return [[make_hit("fan", document_id="F"), make_hit("oil", document_id="O", score=0)]]

    tools = Tools({"kettle": "The kettle is the oil pump."}, {"lexical": lambda q, p: [0, 1]})
    find(Variant(rewrite=True), search, ["Where is the oil pump?"], tools)
    assert asked == ["Where is the oil pump? (kettle)"]
    best = find(Variant(rerank="lexical"), search, ["oil"], tools)[0]
    assert [hit.document_id for hit in best] == ["O", "F"]
    gentle = Tools({}, tools.scorers, rerank_weights={"hybrid + lexical": 0.4})
    assert find(Variant(rerank="lexical"), search, ["oil"], gentle)[0][0].document_id == "F"
