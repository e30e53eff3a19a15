"""All ways of answering get the same prompts; what is recorded is what was timed."""

from pathlib import Path
from typing import Any

import pytest

from labkit import bench_decoding, results


class Store:
    def search_many(self, questions: list[str], *, k: int) -> list[list[Any]]:
        assert k == 3
        return [[] for _ in questions]


def test_three_ways_answer_the_same_prompts(tiny_llm: Any, tmp_path: Path) -> None:
    figures = bench_decoding.run(
        n_prompts=6, repeats=2, llm=tiny_llm, store=Store(), folder=tmp_path
    )
    assert [len(runs) for runs in figures["seconds"].values()] == [2, 2, 2]
    same = figures["same_answers_as_one_by_one"]
    assert same == {"batches": 6, "batches of similar length": 6}
    recorded = results.load(bench_decoding.NAME, folder=tmp_path)
    assert recorded is not None and recorded["config"]["n_prompts"] == 6
    assert "one by one" in bench_decoding.render(figures)


def test_short_and_long_prompts_are_mixed() -> None:
    prompts = bench_decoding.mixed_prompts(12, Store())
    systems = [prompt[0]["content"] for prompt in prompts]
    assert len(prompts) == 12 and len(set(systems)) == 2
    assert len(set(systems[:6])) == 2, "shuffled"


def test_batches_in_given_order_keep_the_order(
    tiny_llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_decoding, "BATCH", 2)
    prompts = bench_decoding.mixed_prompts(5, Store())
    texts = [generation.text for generation in bench_decoding.in_given_order(tiny_llm, prompts)]
    alone = [tiny_llm.generate(p, max_new_tokens=bench_decoding.MAX_NEW_TOKENS) for p in prompts]
    assert texts == [generation.text for generation in alone]
