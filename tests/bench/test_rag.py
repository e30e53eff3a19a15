"""The benchmark of variants on a corpus of four documents: tuned apart, paired, resumable."""

import json
from pathlib import Path

import numpy as np
import pytest

from labkit import results
from labkit.bench import rag as bench_rag
from labkit.bench import rag_variants
from labkit.bench.rag_variants import DEFAULT, Tools, Variant, every_variant, find
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
    monkeypatch.setattr(rag_variants, "every_variant", lambda: VARIANTS)
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


def test_a_killed_run_goes_on_with_what_is_missing(course: Path, monkeypatch) -> None:
    measured = []
    real = bench_rag.measure

    def measure(variant, *rest):
        if variant.max_words == 8 and len(measured) < 5:
            raise KeyboardInterrupt
        measured.append(variant.name)
        return real(variant, *rest)

    monkeypatch.setattr(bench_rag, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        bench_rag.run(folder=course)
    measured.append("restarted")
    figures = bench_rag.run(folder=course)
    assert measured == [*(v.name for v in VARIANTS[:4]), "restarted", VARIANTS[4].name]
    assert len(figures["variants"]) == 5


def test_only_other_data_start_anew(course: Path, monkeypatch) -> None:
    measured: list[str] = []
    measure = bench_rag.measure

    def counted(variant, *rest):
        measured.append(variant.name)
        return measure(variant, *rest)

    monkeypatch.setattr(bench_rag, "measure", counted)
    first = bench_rag.run(folder=course)
    assert bench_rag.run(folder=course)["variants"] == first["variants"]
    assert len(measured) == len(VARIANTS)
    monkeypatch.setattr(bench_rag, "data_mark", lambda: "other")
    bench_rag.run(folder=course)
    assert len(measured) == 2 * len(VARIANTS)


def test_scores_equal_those_of_the_hits_that_the_variant_finds(course: Path, fake_embedder) -> None:
    test = [q for q in bench_rag.exam.load_exam("test")]
    store = bench_rag.fill(course / "db", fake_embedder, DEFAULT)
    row = bench_rag.measure(DEFAULT, store, test[:1], test, Tools({}, {}))
    found = find(DEFAULT, store, [q.question for q in test], Tools({}, {}))
    expected = [score_retrieval(q, h, k=5) for q, h in zip(test, found, strict=True)]
    assert row["metrics"]["reciprocal_rank"]["mean"] == np.mean(
        [s.reciprocal_rank for s in expected]
    )


def test_numbers_are_chosen_by_the_training_questions_alone(course: Path, fake_embedder) -> None:
    store = bench_rag.fill(course / "db", fake_embedder, DEFAULT)
    asked = []
    store.search_many = lambda queries, **o: asked.extend(queries) or [[] for _ in queries]
    bench_rag.tune(store, bench_rag.exam.load_exam("train"), bench_rag.make_tools(fake_embedder))
    assert {text.partition(" (")[0] for text in asked} == {ASKED["train"][0][0]}


def test_the_leaderboard_varies_what_it_promises() -> None:
    variants = every_variant()
    names = [variant.name for variant in variants]
    assert len(set(names)) == len(names) and variants[0] == DEFAULT
    for field in Variant.__dataclass_fields__:
        n_values = len({getattr(variant, field) for variant in variants})
        assert n_values > 1 or field == "embedder", field


def test_reranking_and_rewriting_change_what_is_asked_and_how_it_is_ordered(make_hit) -> None:
    class Store:
        def search_many(self, queries, *, k=5, mode="hybrid"):
            self.asked = list(queries)
            return [[make_hit("fan", document_id="F"), make_hit("oil", document_id="O", score=0)]]

    tools = Tools({"kettle": "The kettle is the oil pump."}, {"lexical": lambda q, p: [0, 1]})
    store = Store()
    find(Variant(rewrite=True), store, ["Where is the oil pump?"], tools)
    assert store.asked == ["Where is the oil pump? (kettle)"]
    best = find(Variant(rerank="lexical"), store, ["oil"], tools)[0]
    assert [hit.document_id for hit in best] == ["O", "F"]
    gentle = Tools({}, tools.scorers, rerank_weights={"hybrid + lexical": 0.4})
    assert find(Variant(rerank="lexical"), store, ["oil"], gentle)[0][0].document_id == "F"
