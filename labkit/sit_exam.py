"""Sitting the exam: a system answers every test question and gets its row on the leaderboard.

Knows: how to run ``base`` (closed book) and ``rag`` over the exam, score them and record the run.
Does not know: how an answer is made (``rag``) or scored (``exam``).
Used by ``python -m labkit exam`` and lessons 01, 04, 05 and 09.
"""

import time
from pathlib import Path
from typing import Literal

from labkit import evaluate_answers, exam, rag, results
from labkit.models import LanguageModel, load_language_model

System = Literal["base", "rag"]
SHOWN = {
    "exact_match": "exact match",
    "house_format": "house format",
    "citation_precision": "citation precision",
    "citation_recall": "citation recall",
    "house_terms": "house terms",
    "abstention_precision": "abstention precision",
    "abstention_recall": "abstention recall",
    "false_abstention": "refused although answerable",
    "wrong_but_confident": "wrong but confident",
}


def sit(
    system: System,
    *,
    model: str = "auto",
    k: int = 3,
    limit: int | None = None,
    store: rag.Searcher | None = None,
    llm: LanguageModel | None = None,
    folder: Path | None = None,
    progress: bool = False,
) -> dict:
    """Run the exam with one system and return the recorded run as a dict.

    Parameters
    ----------
    system
        ``"base"`` answers from its weights, ``"rag"`` from ``store``.
    model, llm
        A catalogue name, or a model that is loaded already.
    k
        Passages shown to the model.
    limit
        Ask only this many questions, spread over all kinds; such a run is not recorded.
    folder
        Where to record; ``data/results`` unless given.

    Raises
    ------
    ValueError
        If ``rag`` has no store, or ``limit`` or ``k`` is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; ask at least 1 question.")
    questions = every_nth(exam.load_exam("test"), limit)
    llm = llm or load_language_model(model)
    start = time.perf_counter()
    answers, scores = _answer_and_score(system, questions, llm, store, k, progress)
    wall_s = time.perf_counter() - start
    run = {
        "config": {
            "system": system,
            "model": llm.name,
            "k": k if system == "rag" else None,
            "n_questions": len(questions),
            "command": f"python -m labkit exam --system {system} --model {llm.name} -k {k}",
        },
        "figures": {
            **evaluate_answers.summarise_answers(questions, scores),
            "wall_s": wall_s,
            "answers": answers,
        },
    }
    if limit is None:
        name = f"{results.LEADERBOARD_PREFIX}{system}-{llm.name.lower()}"
        results.record(name, run["figures"], config=run["config"], folder=folder)
    return run


def every_nth(questions: list[exam.Question], limit: int | None) -> list[exam.Question]:
    """Return ``limit`` questions spread evenly over the exam, or all of them."""
    if limit is None or limit >= len(questions):
        return questions
    return [questions[i * len(questions) // limit] for i in range(limit)]


def render(run: dict) -> str:
    """Return the scores of one run as a table for a terminal."""
    config, figures = run["config"], run["figures"]
    head = f"{config['system']} with {config['model']}, {config['n_questions']} questions"
    lines = [f"{head}, {figures['wall_s']:.0f} s"]
    lines += [f"  {label:28} {_percent(figures[name])}" for name, label in SHOWN.items()]
    parts = figures["by_kind"] | figures["by_held_out"]
    lines += [f"  exact match, {part:15} {_percent(share)}" for part, share in parts.items()]
    return "\n".join(lines)


def _percent(share: dict | None) -> str:
    if share is None:
        return "–"
    return (
        f"{100 * share['mean']:5.1f} %  (95 %: {100 * share['low']:.0f}–{100 * share['high']:.0f}, "
        f"n = {share['n']})"
    )


def _answer_and_score(
    system: System,
    questions: list[exam.Question],
    llm: LanguageModel,
    store: rag.Searcher | None,
    k: int,
    progress: bool,
) -> tuple[list[dict], list[exam.AnswerScore]]:
    from tqdm import tqdm

    asked = [question.question for question in questions]
    with tqdm(total=len(asked), unit=" questions", disable=None if progress else True) as bar:

        def show(done: int, total: int) -> None:
            bar.update(done - bar.n)

        if system == "base":
            generations = rag.answer_closed_book(asked, llm, on_progress=show)
            said = [(g.text, exam.cited_ids(g.text)) for g in generations]
        elif store is None:
            raise ValueError("The system 'rag' needs a store; pass store=open_course_store().")
        else:
            config = rag.RagConfig(k=k)
            answers = rag.answer_batch(asked, store, llm, config=config, on_progress=show)
            said = [(answer.text, answer.cited_ids) for answer in answers]
    scores = [
        exam.score_answer(question, text, citations=cited)
        for question, (text, cited) in zip(questions, said, strict=True)
    ]
    rows = [
        {"id": question.id, "text": text, "cited": cited, "exact_match": score.exact_match}
        for question, (text, cited), score in zip(questions, said, scores, strict=True)
    ]
    return rows, scores
