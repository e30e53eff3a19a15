"""Second looks at hits, by scores that can be checked by hand; house terms; newer wins."""

import math
from pathlib import Path

import numpy as np
import pytest

from labkit import corpus
from labkit.rerank import (
    Reranked,
    cross_encoder,
    late_interaction,
    lexical,
    load_glossary,
    meant_terms,
    names_first,
    newer_wins,
    overlap,
    remembering,
    rerank,
    rewrite,
    words,
)

PASSAGES = ["NV-90 pitch oil", "NV-90 yaw oil", "NV-117 pitch oil", "oil"]


def test_lexical_is_the_share_of_the_questions_weight_that_is_covered() -> None:
    score = lexical(PASSAGES)
    oil, pitch, nv117 = math.log(2), math.log(3), math.log(5)
    total = oil + pitch + nv117
    asked = "Oil? Pitch! NV-117"
    assert score(asked, PASSAGES) == pytest.approx(
        [(oil + pitch) / total, oil / total, 1.0, oil / total]
    )


def test_a_word_of_no_passage_weighs_most_and_an_empty_question_nothing() -> None:
    score = lexical(PASSAGES)
    assert score("oil zebra", ["oil"])[0] == pytest.approx(
        math.log(2) / (math.log(2) + math.log(5))
    )
    assert score("?!", ["oil"]) == [0.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The NV-117's M30x2 bolts", {"the", "nv-117", "s", "m30x2", "bolt"}),
        ("1.6 kg, press gas", {"1.6", "kg", "press", "gas"}),
        ("leak-off", {"leak", "off"}),
        ("", set()),
    ],
)
def test_words_keep_numbers_and_names_whole(text: str, expected: set[str]) -> None:
    assert words(text) == expected


class TokenTable:
    """Each word is a token with a unit vector of its own; counts what it embeds."""

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def encode_tokens(self, texts):
        self.embedded += texts
        axes = {"oil": 0, "grease": 1, "blade": 2}
        return [np.eye(3, dtype=np.float32)[[axes[w] for w in text.split()]] for text in texts]


def test_late_interaction_averages_the_best_match_of_every_question_token() -> None:
    embedder = TokenTable()
    score = late_interaction(embedder)
    assert score("oil blade", ["oil oil", "grease blade oil", "grease"]) == [0.5, 1.0, 0.0]
    assert score("grease", ["grease blade oil", "oil oil"]) == [1.0, 0.0]
    assert embedder.embedded.count("oil oil") == 1  # passages are remembered


def hits(make_hit, *scores: float):
    return [make_hit(f"t{i}", document_id=f"D{i}", score=s) for i, s in enumerate(scores)]


def by_table(**scores: float):
    return lambda question, passages: [scores[p.rpartition(" ")[2]] for p in passages]


def test_the_second_score_decides_and_k_cuts_afterwards(make_hit) -> None:
    found = rerank("q", hits(make_hit, 3, 2, 1), by_table(t0=0, t1=5, t2=9), k=2)
    assert [h.document_id for h in found] == ["D2", "D1"]
    assert [h.score for h in found] == pytest.approx([1.0, 5 / 9])


def test_the_weight_mixes_both_spread_scores(make_hit) -> None:
    found = rerank("q", hits(make_hit, 4, 3, 0), by_table(t0=0, t1=1, t2=1), weight=0.4)
    assert [h.document_id for h in found] == ["D1", "D0", "D2"]
    assert [h.score for h in found] == pytest.approx([0.4 + 0.6 * 0.75, 0.6, 0.4])


def test_no_weight_keeps_the_order_and_no_hits_need_no_score(make_hit) -> None:
    found = rerank("q", hits(make_hit, 3, 2, 1), by_table(t0=0, t1=5, t2=9), weight=0)
    assert [h.document_id for h in found] == ["D0", "D1", "D2"]
    assert rerank("q", [], by_table()) == []
    with pytest.raises(ValueError, match="weight is -1"):
        rerank("q", [], by_table(), weight=-1)


def test_a_reranked_store_looks_at_more_hits_than_it_returns(make_hit) -> None:
    class Shelf:
        def search_many(self, queries, *, k=5, mode="hybrid"):
            asked.append((k, mode))
            return [hits(make_hit, 5, 4, 3, 2, 1)[:k] for _ in queries]

    asked: list[tuple[int, str]] = []
    scores = {"t0": 0, "t1": 1, "t2": 2, "t3": 3, "t4": 4}
    store = Reranked(Shelf(), by_table(**scores), depth=4)
    assert [hit.document_id for hit in store.search("q", k=2, mode="text")] == ["D3", "D2"]
    many = store.search_many(["q", "r"], k=5)
    assert [[hit.document_id for hit in found] for found in many] == [
        ["D4", "D3", "D2", "D1", "D0"]
    ] * 2
    assert asked == [(4, "text"), (5, "hybrid")]


def test_a_missing_cross_encoder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="use lexical"):
        cross_encoder(tmp_path)


def test_a_pair_is_scored_once_however_often_it_meets() -> None:
    asked = []

    def scorer(question, passages):
        asked.append((question, list(passages)))
        return [len(text) for text in passages]

    score = remembering(scorer)
    assert score("q", ["a", "bb"]) == [1, 2]
    assert score("q", ["bb", "ccc", "a"]) == [2, 3, 1]
    assert score("r", ["a"]) == [1] and score("q", ["a"]) == [1]
    assert asked == [("q", ["a", "bb"]), ("q", ["ccc"]), ("r", ["a"])]


def test_passages_that_name_the_questions_machine_come_first() -> None:
    def by_length(_: str, candidates):
        return [len(text) for text in candidates]

    score = names_first(by_length)
    texts = ["NV-1170 has a long, long passage", "nv-117 oil", "NV-117 and SB-2019-04", "no name"]
    ranked = sorted(texts, key=lambda text: -score("Oil of the NV-117?", texts)[texts.index(text)])
    assert ranked == [texts[2], texts[1], texts[0], texts[3]]
    both = score("NV-117 after SB-2019-04?", texts)
    assert max(both) == both[2] and sorted(both)[:3] == sorted(map(len, texts[:2] + texts[3:]))
    assert score("Which oil?", texts) == by_length("", texts)
    assert list(score("NV-117?", [])) == []


GLOSSARY = {
    "kettle": "The kettle is the hydraulic power unit: pump, tank, valve block in one frame.",
    "candle": "The candle is the rotor lock pin, the thick steel bolt.",
    "crumb tray": "The crumb tray is the magnetic chip collector in the gearbox, which catches.",
}


@pytest.mark.parametrize(
    ("question", "terms"),
    [
        ("How full is the tank of the hydraulic power unit?", ["kettle"]),
        ("Where do I push the pin that locks the rotor?", ["candle"]),
        ("Which power supply fits?", []),
        ("Is the kettle the hydraulic power unit?", []),  # it says the term already
        ("What colour is the moon?", []),
    ],
)
def test_a_term_is_meant_when_its_meaning_stands_in_the_question(question, terms) -> None:
    assert meant_terms(question, GLOSSARY, min_share=0.6) == terms


def test_the_best_covered_term_comes_first_and_few_are_added() -> None:
    question = "hydraulic power unit, rotor lock, magnetic chip collector"
    assert meant_terms(question, GLOSSARY, min_share=0.5) == ["kettle", "crumb tray"]


def test_rewriting_adds_and_never_takes_away() -> None:
    question = "What fits into the hydraulic power unit?"
    assert rewrite(question, GLOSSARY) == f"{question} (kettle)"
    assert rewrite("What is for lunch?", GLOSSARY) == "What is for lunch?"


def test_the_courses_glossary_is_read_without_its_introductions(root: Path) -> None:
    documents = list(corpus.read_documents(root / "data" / "documents", unreadable=[]))
    glossary = load_glossary(documents)
    assert len(glossary) == 30
    assert glossary["kettle"].startswith("The kettle is the hydraulic power unit")
    assert "about this list" not in glossary
    assert load_glossary(d for d in documents if d.kind == "manual") == {}


@pytest.fixture
def pair(make_hit):
    """Return a manual's chunk and the bulletin's that replaces it; 3 of 5 words in common."""
    old = make_hit("bearing takes 1.2 kg grease", document_id="SM-90-PIT")
    new = make_hit(
        "bearing receives 1.6 kg of grease", document_id="SB-2019-04",
        kind="bulletin", metadata={"supersedes": "SM-90-PIT"},
    )  # fmt: skip
    return old, new


def ids(hits) -> list[str]:
    return [hit.document_id for hit in hits]


def test_the_newer_chunk_takes_the_older_ones_place(make_hit, pair) -> None:
    old, new = pair
    twin = make_hit("bearing of the NV-117", document_id="SM-117-PIT")
    assert ids(newer_wins([old, twin, new])) == ["SB-2019-04", "SM-90-PIT", "SM-117-PIT"]
    assert ids(newer_wins([twin, old, new])) == ["SM-117-PIT", "SB-2019-04", "SM-90-PIT"]


def test_what_is_in_order_stays_in_order(make_hit, pair) -> None:
    old, new = pair
    other = make_hit("yaw", document_id="SM-90-YAW", metadata={"supersedes": "SM-1"})
    assert newer_wins([new, other, old]) == [new, other, old]
    assert newer_wins([other, old]) == [other, old]
    assert newer_wins([]) == []


def test_a_chunk_about_something_else_keeps_its_place(pair) -> None:
    old, new = pair
    assert overlap(old, new) == pytest.approx(3 / 5)
    assert ids(newer_wins([old, new], min_overlap=0.6)) == ["SB-2019-04", "SM-90-PIT"]
    assert ids(newer_wins([old, new], min_overlap=0.61)) == ["SM-90-PIT", "SB-2019-04"]


def test_a_document_without_the_field_supersedes_nothing(make_hit) -> None:
    hits = [make_hit("a", document_id="X"), make_hit("a", document_id="Y")]
    assert newer_wins(hits) == hits


def test_no_hit_is_lost_or_doubled(make_hit, pair) -> None:
    old, new = pair
    hits = [old, make_hit("b", document_id="B"), new, make_hit("bearing", document_id="SM-90-PIT")]
    assert sorted(map(str, newer_wins(hits))) == sorted(map(str, hits))
