"""Sitting the exam: a system answers every test question, and the run is scored and recorded.

Knows: how to run ``base`` and ``lora`` (closed book), ``rag`` and ``both`` (with passages) over the
exam; ``lora`` and ``both`` ask a fine-tuned model; what a record rests on, and whether that has
changed since.
Does not know: how an answer is made (``rag``) or scored (``answer_metrics``), nor the page that all
runs stand on (``claims.leaderboard``).
Used by ``python -m labkit exam`` and lessons 00, 04 and 05.
"""

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, get_args

from labkit import answer_metrics, catalogue, chunking, exam, rag, results, settings
from labkit.finder import Finder
from labkit.measure import bootstrap_mean
from labkit.models import RESULT_FILE, LanguageModel, load_language_model
from labkit.rerank import Reranked
from labkit.retrieval_metrics import all_found_at, summarise_retrieval
from labkit.store import search as searching
from labkit.store.course import corpus_dir
from labkit.types import Hit, Mode, Question, Scorer, Searcher, Split

System = Literal["base", "rag", "lora", "both"]
Part = Literal["test", "final", "kept", "ropeways"]
# Each part's industry, none for the wind turbines, and where its questions stand.
PARTS: dict[Part, tuple[str, Split]] = {
    "test": ("", "test"), "final": ("", "final"), "kept": ("", "more"),
    "ropeways": ("ropeways", "test"),
}  # fmt: skip
OPEN_BOOK = ("rag", "both")
TUNED = ("lora", "both")
RETRIEVAL_DEPTH = 5
SHOWN = {name: name.replace("_", " ") for name in answer_metrics.METRICS}
SHOWN["false_abstention"] = "refused although answerable"


def sit(
    system: System,
    *,
    part: Part = "test",
    model: str = "auto",
    tuned: Path | None = None,
    k: int | None = None,
    limit: int | None = None,
    store: Searcher | None = None,
    scorer: Scorer | None = None,
    llm: LanguageModel | None = None,
    folder: Path | None = None,
    label: str = "",
    progress: bool = False,
) -> dict:
    """Run the exam with one system and return the run's configuration and figures.

    Parameters
    ----------
    system
        ``"base"`` and ``"lora"`` answer from their weights, ``"rag"`` and ``"both"`` from passages.
    part
        Which questions: ``"test"`` was looked at while the course was built, ``"final"`` is sealed,
        ``"kept"`` are training questions that no reader learned from, to choose by, and
        ``"ropeways"`` belongs to another industry and to its store.
    model, llm
        A catalogue name, or a model that is loaded already.
    tuned
        The folder that ``train`` wrote, for ``"lora"`` and ``"both"``.
    k
        Passages shown to the model; ``None`` takes what suits it (``catalogue.passages_for``).
    limit
        Ask only this many questions, spread over the exam; such a run is not recorded.
    scorer
        Reranks what the store finds before it is shown; see ``rerank.Reranked``.
    folder
        Where to record; ``data/results`` unless given, and never that in fast mode.
    label
        Ends the record's name, so that it does not replace that of another fine-tuned model.

    Raises
    ------
    ValueError
        If there is no such system, one with passages has no store, a tuned one no folder or an
        untuned one has one, ``limit`` or ``k`` is below 1, the label is no plain word, or a fast
        run would be recorded.
    """
    _refuse_wrong_options(system, tuned, store, k=k, limit=limit)
    if not re.fullmatch("[a-z0-9-]*", label):
        raise ValueError(f"The label is {label!r}; use small letters, digits and hyphens.")
    if limit is None:
        results.refuse_fast(folder)
    questions = every_nth(questions_of(part), limit)
    llm = llm or load_language_model(model, tuned=tuned)
    shown = k or catalogue.passages_for(llm.name)
    searched = store if system in OPEN_BOOK else None
    read = Reranked(searched, scorer) if searched and scorer else searched
    start = time.perf_counter()
    said = _ask([q.question for q in questions], llm, read, shown, progress=progress)
    figures = _score(questions, said) | {"wall_s": time.perf_counter() - start}
    figures["retrieval"] = _retrieval(questions, searched) if searched else None
    config = _config(system, llm.name, shown, len(questions), tuned, reranked=bool(scorer))
    if isinstance(searched, Finder):
        config |= {"mode": "finder", "command": f"{config['command']} --finder"}
    if part != "test":
        config |= {"part": part, "command": f"{config['command']} --part {part}"}
    if label:
        config |= {"label": label, "command": f"{config['command']} --label {label}"}
    if limit is None:
        stands_on = rests_on(part, search=searched is not None)
        results.record(_run_name(config), figures, config=config, folder=folder, rests_on=stands_on)
    return {"config": config, "figures": figures}


def questions_of(part: Part) -> list[Question]:
    """Return the questions of one part of the exam."""
    if part == "kept":
        return exam.kept_questions()
    industry, split = PARTS[part]
    return exam.load_exam(split, folder=corpus_dir(industry) / "exam")


def every_nth(questions: list[Question], limit: int | None) -> list[Question]:
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
    lines += [f"  {name.replace('_', ' '):28} {_percent(part)}"
              for name, part in figures["split"].items()]  # fmt: skip
    parts = figures["by_kind"] | figures["by_held_out"]
    lines += [f"  exact match, {part:15} {_percent(share)}" for part, share in parts.items()]
    return "\n".join(lines)


def _percent(share: dict | None) -> str:
    if share is None:
        return "–"
    mean, low, high = (100 * share[name] for name in ("mean", "low", "high"))
    return f"{mean:5.1f} %  (95 %: {low:.0f}–{high:.0f}, n = {share['n']})"


def _refuse_wrong_options(
    system: str, tuned: Path | None, store: Searcher | None, *, k: int | None, limit: int | None
) -> None:
    if system not in get_args(System):
        raise ValueError(f"There is no system {system!r}; choose {', '.join(get_args(System))}.")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; ask at least 1 question.")
    if k is not None and k < 1:
        raise ValueError(f"k is {k}; show the model at least 1 passage.")
    if system in OPEN_BOOK and store is None:
        raise ValueError(f"The system {system!r} needs a store; pass store=open_course_store().")
    if (system in TUNED) != (tuned is not None):
        raise ValueError(
            f"The systems {' and '.join(TUNED)} need a fine-tuned model (--tuned FOLDER, made by "
            f"labkit finetune), the others take none; this is {system!r}."
        )


def _config(
    system: System, model: str, k: int, n_questions: int, tuned: Path | None, *, reranked: bool
) -> dict:
    command = f"python -m labkit exam --system {system} --model {model}"
    config: dict = {"system": system, "model": model, "k": None, "n_questions": n_questions}
    if tuned:
        config["training"] = json.loads((tuned / RESULT_FILE).read_text("utf-8"))["config"]
        command = f"{command} --tuned {settings.shown(tuned)}"
        command = " && ".join(filter(None, [config["training"].get("command"), command]))
    if system in OPEN_BOOK:
        command += f" -k {k}" + (" --rerank" if reranked else "")
        config |= {"k": k, "mode": rag.DEFAULTS.mode} | ({"reranked": True} if reranked else {})
    return config | {"command": command}


def _run_name(config: dict) -> str:
    """Name the run ``exam-SYSTEM-MODEL``; what is not the usual way follows."""
    method = config.get("training", {}).get("method", "lora")
    usual = config["k"] in (None, catalogue.passages_for(config["model"]))
    model = config["model"].lower().replace("/", "-")
    parts = [
        f"{results.LEADERBOARD_PREFIX}{config['system']}-{model}",
        "" if method == "lora" else method,
        "" if usual else f"k{config['k']}",
        "reranked" if "reranked" in config else "",
        "finder" if config.get("mode") == "finder" else "",
        config.get("part", ""),
        config.get("label", ""),
    ]
    return "-".join(filter(None, parts))


def _ask(
    asked: list[str], llm: LanguageModel, store: Searcher | None, k: int, *, progress: bool
) -> list[tuple[str, list[str], Sequence[Hit]]]:
    """Return each answer's text, the documents it cites, and the passages it was shown."""
    from tqdm import tqdm

    with tqdm(total=len(asked), unit=" questions", disable=None if progress else True) as bar:

        def show(done: int, total: int) -> None:
            bar.update(done - bar.n)

        if store is None:
            texts = [g.text for g in rag.answer_closed_book(asked, llm, on_progress=show)]
            return [(text, answer_metrics.cited_ids(text), ()) for text in texts]
        answers = rag.answer_batch(asked, store, llm, config=rag.RagConfig(k=k), on_progress=show)
        return [(answer.text, answer.cited_ids, answer.hits) for answer in answers]


def _score(questions: list[Question], said: list[tuple[str, list[str], Sequence[Hit]]]) -> dict:
    scores, answers = [], []
    for question, (text, cited, hits) in zip(questions, said, strict=True):
        score = answer_metrics.score_answer(question, text, citations=cited)
        scores.append(score)
        answers.append(
            {"id": question.id, "text": text, "cited": cited, "exact_match": score.exact_match,
             "abstained": score.abstained, "found": was_shown(question, hits)}
        )  # fmt: skip
    summary = answer_metrics.summarise_answers(questions, scores)
    return summary | {"split": split(answers), "answers": answers}


def was_shown(question: Question, hits: Sequence[Hit]) -> bool:
    """Tell whether every piece of a question's evidence stands in the passages shown."""
    return all_found_at(question, hits) is not None


def split(answers: Sequence[dict]) -> dict[str, dict | None]:
    """Return finding and reading apart: shares with their intervals, ``None`` of no answers.

    ``found`` is over all questions, those without an answer among the documents included;
    ``wrong_given_answered`` is how often somebody who trusts an answer is misled.
    """
    found = [row for row in answers if row["found"]]
    rest = [row for row in answers if not row["found"]]
    values = {
        "found": [row["found"] for row in answers],
        "right_given_found": [row["exact_match"] for row in found],
        "abstained_given_found": [row["abstained"] for row in found],
        "abstained_given_not_found": [row["abstained"] for row in rest],
        "wrong_given_answered": [1 - row["exact_match"] for row in answers if not row["abstained"]],
    }
    return {
        name: asdict(bootstrap_mean(marks)) if marks else None for name, marks in values.items()
    }


def _retrieval(questions: list[Question], store: Searcher) -> dict:
    """Return how often each way of searching finds the evidence, overall and by kind."""
    asked = [question.question for question in questions]
    summaries = {}
    for mode in get_args(Mode):
        hits = store.search_many(asked, k=RETRIEVAL_DEPTH, mode=mode)
        summary = summarise_retrieval(questions, hits, k=RETRIEVAL_DEPTH)
        summaries[mode] = {
            kind: {name: asdict(interval) for name, interval in metrics.items()}
            for kind, metrics in summary.items()
        }
    return summaries


def rests_on(part: Part = "test", *, prompt: bool = True, search: bool = True) -> dict[str, str]:
    """Return what a run of today rests on: a short hash of each part, by the part's name.

    ``corpus`` (documents and tables) and ``exam`` (the questions) are always among them.

    Parameters
    ----------
    part
        Which questions were asked.
    prompt
        Whether the run asks the model with the course's own prompts.
    search
        Whether it searches as the course's store does: same chunks, embedding model and depth.
    """
    industry, split = PARTS[part]
    folder = f"industries/{industry}/" if industry else ""
    parts = {
        "corpus": _files(f"{folder}documents", f"{folder}tables"),
        "exam": _files(f"{folder}exam/{split}.jsonl"),
    }
    if prompt:
        parts["prompt"] = _prompts()
    if search:
        parts["search"] = _search_settings()
    return {name: hashlib.sha256(content).hexdigest()[:12] for name, content in parts.items()}


def stale_parts(run: dict) -> list[str]:
    """Return the parts a record rests on that differ today; none if it does not say.

    Parts that ``rests_on`` does not know are the record's own business.

    Examples
    --------
    >>> stale_parts({"rests_on": {"corpus": "of another day"}})
    ['corpus']
    """
    today = rests_on(run.get("config", {}).get("part", "test"))
    return [name for name, mark in run.get("rests_on", {}).items() if today.get(name, mark) != mark]


def _files(*names: str) -> bytes:
    """Return names and contents of files below ``data``, in a fixed order."""
    data = settings.data_dir()
    paths = (path for name in names for path in (data / name, *(data / name).rglob("*")))
    held = [(p.relative_to(data).as_posix(), p.read_bytes()) for p in paths if p.is_file()]
    return repr(sorted(held)).encode()


def _prompts() -> bytes:
    """Return the open-book and the closed-book conversation about nothing in particular."""
    hit = Hit("D#0", "D", "T", "H", "text", "T > H: text", 1.0, None, "manual", {})
    return repr([rag.build_messages("Why?", [hit, hit]), rag.closed_book_messages("Why?")]).encode()


def _search_settings() -> bytes:
    """Return how the course cuts, embeds, searches and shows, where a run does not say itself."""
    cut = chunking.chunk_document.__kwdefaults__
    return repr(
        [cut, catalogue.EMBEDDING_MODEL, searching.FUSED_DEPTH, asdict(rag.DEFAULTS)]
    ).encode()
