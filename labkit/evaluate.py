"""Sitting the exam: a system answers every test question and gets its row on the leaderboard.

Knows: how to run ``base`` and ``lora`` (closed book), ``rag`` and ``both`` (with passages) over the
exam, score them and record the run; ``lora`` and ``both`` ask a fine-tuned model.
Does not know: how an answer is made (``rag``) or scored (``exam``).
Used by ``python -m labkit exam`` and lessons 01, 04, 05 and 09.
"""

import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Literal, get_args

from labkit import answer_metrics as evaluate_answers
from labkit import catalogue, exam, rag, results, settings
from labkit import retrieval_metrics as evaluate_retrieval
from labkit.claims import leaderboard
from labkit.models import RESULT_FILE, LanguageModel, load_language_model
from labkit.rerank import Reranked
from labkit.types import Mode, Scorer

System = Literal["base", "rag", "lora", "both"]
OPEN_BOOK = ("rag", "both")
TUNED = ("lora", "both")
RETRIEVAL_DEPTH = 5
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
    tuned: Path | None = None,
    k: int | None = None,
    limit: int | None = None,
    store: rag.Searcher | None = None,
    scorer: Scorer | None = None,
    llm: LanguageModel | None = None,
    folder: Path | None = None,
    label: str = "",
    progress: bool = False,
) -> dict:
    """Run the exam with one system and return the recorded run as a dict.

    Parameters
    ----------
    system
        ``"base"`` and ``"lora"`` answer from their weights, ``"rag"`` and ``"both"`` from passages.
    model, llm
        A catalogue name, or a model that is loaded already.
    tuned
        The folder that ``train`` wrote, for ``"lora"`` and ``"both"``.
    k
        Passages shown to the model; ``None`` takes what suits it (``catalogue.passages_for``).
    limit
        Ask only this many questions, spread over all kinds; such a run is not recorded.
    scorer
        Reranks what the store finds before it is shown; see ``rerank.Reranked``.
    folder
        Where to record; ``data/results`` unless given.
    label
        Ends the record's name, so that it does not replace that of another fine-tuned model.

    Raises
    ------
    ValueError
        If there is no such system, one with passages has no store, a tuned one no folder or an
        untuned one has one, ``limit`` or ``k`` is below 1, or the label is no plain word.
    """
    if system not in get_args(System):
        raise ValueError(f"There is no system {system!r}; choose {', '.join(get_args(System))}.")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; ask at least 1 question.")
    if k is not None and k < 1:
        raise ValueError(f"k is {k}; show the model at least 1 passage.")
    if not re.fullmatch("[a-z0-9-]*", label):
        raise ValueError(f"The label is {label!r}; use small letters, digits and hyphens.")
    if system in OPEN_BOOK and store is None:
        raise ValueError(f"The system {system!r} needs a store; pass store=open_course_store().")
    if (system in TUNED) != (tuned is not None):
        raise ValueError(
            f"The systems {' and '.join(TUNED)} need a fine-tuned model (--tuned FOLDER, made by "
            f"labkit finetune), the others take none; this is {system!r}."
        )
    questions = every_nth(exam.load_exam("test"), limit)
    llm = llm or load_language_model(model, tuned=tuned)
    shown = k or catalogue.passages_for(llm.name)
    read = store if system in OPEN_BOOK else None
    if read and scorer:
        read = Reranked(read, scorer)
    start = time.perf_counter()
    answers, scores = _answer_and_score(questions, llm, read, shown, progress)
    wall_s = time.perf_counter() - start
    config = _config(system, llm.name, shown, len(questions), tuned, reranked=bool(scorer))
    if label:
        config |= {"label": label, "command": f"{config['command']} --label {label}"}
    figures = {
        **evaluate_answers.summarise_answers(questions, scores),
        "wall_s": wall_s,
        "retrieval": _retrieval(questions, store) if store and system in OPEN_BOOK else None,
        "answers": answers,
    }
    if limit is None:
        results.record(_run_name(config), figures, config=config, folder=folder)
        leaderboard.write(folder=folder)
    return {"config": config, "figures": figures}


def _config(
    system: System, model: str, k: int, n_questions: int, tuned: Path | None, *, reranked: bool
) -> dict:
    command = f"python -m labkit exam --system {system} --model {model}"
    config: dict = {"system": system, "model": model, "k": None, "n_questions": n_questions}
    if tuned:
        training = json.loads((tuned / RESULT_FILE).read_text("utf-8"))["config"]
        config["training"] = training
        command = f"{command} --tuned {settings.shown(tuned)}"
        command = " && ".join(filter(None, [training.get("command"), command]))
    if system not in OPEN_BOOK:
        return config | {"command": command}
    command += f" -k {k}" + (" --rerank" if reranked else "")
    config |= {"reranked": True} if reranked else {}
    return config | {"k": k, "mode": rag.DEFAULTS.mode, "command": command}


def _run_name(config: dict) -> str:
    """Name the run ``exam-SYSTEM-MODEL``; what is not the usual way follows."""
    name = f"{results.LEADERBOARD_PREFIX}{config['system']}-{config['model'].lower()}"
    method = config.get("training", {}).get("method", "lora")
    usual = config["k"] in (None, catalogue.passages_for(config["model"]))
    name += ("" if method == "lora" else f"-{method}") + ("" if usual else f"-k{config['k']}")
    name += "-reranked" if "reranked" in config else ""
    return name + (f"-{config['label']}" if "label" in config else "")


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

        if store is None:
            generations = rag.answer_closed_book(asked, llm, on_progress=show)
            said = [(g.text, exam.cited_ids(g.text)) for g in generations]
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


def _retrieval(questions: list[exam.Question], store: rag.Searcher) -> dict:
    """Return how often each way of searching finds the evidence, overall and by kind."""
    answerable = [question for question in questions if question.evidence]
    asked = [question.question for question in answerable]
    summaries = {}
    for mode in get_args(Mode):
        hits = store.search_many(asked, k=RETRIEVAL_DEPTH, mode=mode)
        summary = evaluate_retrieval.summarise_retrieval(answerable, hits, k=RETRIEVAL_DEPTH)
        summaries[mode] = {
            kind: {name: asdict(interval) for name, interval in metrics.items()}
            for kind, metrics in summary.items()
        }
    return summaries
