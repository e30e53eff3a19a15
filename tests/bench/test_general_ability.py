"""General ability: the loss is the stock one, and a sentence is completed by likelihood."""

from typing import Any

import pytest

from labkit.bench import general_ability
from labkit.bench.general_ability import Cloze


def test_the_loss_is_the_models_own(tiny_llm: Any) -> None:
    import torch

    text = "the pitch bearing takes 1.6 kg"
    ids = tiny_llm.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        stock = tiny_llm.model(input_ids=ids, labels=ids).loss.item()
    assert general_ability.mean_loss(tiny_llm, text) == pytest.approx(stock, abs=1e-5)
    assert len(general_ability.token_losses(tiny_llm, text)) == ids.shape[1] - 1


def test_a_text_of_one_token_is_refused(tiny_llm: Any) -> None:
    with pytest.raises(ValueError, match="nothing to predict"):
        general_ability.token_losses(tiny_llm, "t")


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ({"Paris": 5.0, "Rome": 8.0, "Oslo": 8.0}, True),
        ({"Paris": 5.0, "Rome": 3.0, "Oslo": 8.0}, False),
        ({"Paris": 5.0, "Rome": 4.4, "Oslo": 8.0}, True),  # 1.0 a letter against 1.1
    ],
)
def test_the_ending_with_the_least_cost_a_letter_wins(
    tiny_llm: Any, monkeypatch: pytest.MonkeyPatch, costs: dict, expected: bool
) -> None:
    start = "The capital of France is"
    n_start = len(tiny_llm.tokenizer(start, add_special_tokens=False)["input_ids"])

    def losses(llm: Any, text: str) -> list[float]:
        return [99.0] * (n_start - 1) + [costs[text.removeprefix(f"{start} ")]]

    monkeypatch.setattr(general_ability, "token_losses", losses)
    cloze = Cloze(start, "Paris", ("Rome", "Oslo"))
    assert general_ability.completes(tiny_llm, cloze) is expected


def test_the_material_is_as_large_as_said_and_has_nothing_to_do_with_the_course() -> None:
    texts, clozes = general_ability.load_texts(), general_ability.load_clozes()
    assert (len(texts), len(clozes)) == (12, 40)
    assert all(30 <= len(text.split()) <= 80 for text in texts)
    everything = " ".join([*texts, *(f"{c.start} {c.right}" for c in clozes)]).lower()
    assert not any(word in everything for word in ("turbine", "nordvind", "nv-", "grease"))
    assert all(len(c.wrong) == 3 and c.right not in c.wrong for c in clozes)
    assert len({c.start for c in clozes}) == len(clozes)


def test_every_text_and_every_sentence_is_measured(
    tiny_llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(general_ability, "load_texts", lambda: ["some words", "more words"])
    monkeypatch.setattr(general_ability, "load_clozes", lambda: [Cloze("a b", "c", ("d",))])
    found = general_ability.measure(tiny_llm)
    assert len(found["loss"]) == 2 and found["completed"] in ([0.0], [1.0])
