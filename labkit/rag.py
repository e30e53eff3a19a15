"""The RAG loop: retrieve → prompt → generate → check the citations → or abstain.

Knows: how hits become a prompt within a token budget, how the steps follow each other, and which
citations an answer may keep.
Does not know: how hits are found (``store``), how a model runs (``models``) or what is right
(``exam``). Retrieved text is data: it stands between marks and cannot speak as the user.
Built inline in lesson 04.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from labkit import answer_metrics, exam
from labkit.measure import Stopwatch
from labkit.models import LanguageModel
from labkit.types import Generation, Hit, Messages, Mode, Searcher

SYSTEM_PROMPT = (
    "You answer technicians' questions from passages. Find the passage about the very machine and "
    "the very thing that the question names, and copy its value with the unit. Where two passages "
    "differ, the newer one holds. Answer in one short sentence, then the passage's id in square "
    f"brackets. If no passage holds the answer, write: {exam.ABSTENTION}"
)
# A worked example from a trade that no exam asks about: a changed value, and another machine's.
EXAMPLE_QUESTION = """Passages:
[PM-20] (2014-05-02) P-20 pump > Seals: The shaft seal is renewed every 24 months.
[PB-03] (2019-03-11, changes PM-20) P-20 bulletin > Seals: The shaft seal is now renewed every \
18 months.
[PM-35] (2015-01-20) P-35 pump > Seals: The shaft seal is renewed every 30 months.

Question: How often does a P-20 need a new seal on its shaft?"""
EXAMPLE_ANSWER = "The shaft seal of a P-20 is renewed every 18 months. [PB-03]"
CLOSED_BOOK_PROMPT = (
    "You answer questions of wind turbine technicians. Answer in one short sentence with the value."
)


@dataclass(frozen=True)
class RagConfig:
    """How the loop runs: passages shown, how they are searched, prompt budget in tokens.

    One passage suits the course's small model, which answers no better with several; larger
    models read more (``catalogue.passages_for``).
    """

    k: int = 1
    mode: Mode = "hybrid"
    max_prompt_tokens: int = 1400
    max_new_tokens: int = 48


DEFAULTS = RagConfig()


@dataclass(frozen=True)
class Citation:
    """A document that stands behind an answer.

    ``origin`` is ``"written"`` when the model wrote the id itself and it was among the passages, or
    ``"matched"`` when the model cited nothing and this passage holds what the answer says.
    """

    document_id: str
    chunk_id: str
    origin: Literal["written", "matched"]


@dataclass(frozen=True)
class Answer:
    """One answer with everything needed to check it; ``seconds`` are by stage."""

    question: str
    text: str
    citations: tuple[Citation, ...]
    rejected_citations: tuple[str, ...]
    hits: tuple[Hit, ...]
    prompt: str
    abstained: bool
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def cited_ids(self) -> list[str]:
        """Document ids of the citations, in order."""
        return [citation.document_id for citation in self.citations]


def build_messages(question: str, hits: Sequence[Hit]) -> Messages:
    """Return the conversation that shows the model the passages and then the question."""
    passages = "\n".join(map(shown, hits))
    return [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": EXAMPLE_QUESTION},
        {"role": "assistant", "content": EXAMPLE_ANSWER},
        {"role": "user", "content": f"Passages:\n{passages}\n\n{asked(question)}"},
    ]


def shown(hit: Hit) -> str:
    """Return the line that shows a passage: id, date, which document it changes, and its text."""
    changed = hit.metadata.get("supersedes")
    facts = [hit.date or "", f"changes {changed}" if changed else ""]
    about = ", ".join(plain(fact) for fact in facts if fact)
    return f"[{plain(hit.document_id)}] {f'({about}) ' if about else ''}{plain(hit.passage)}"


def asked(question: str) -> str:
    """Return a question as it stands below the passages."""
    return f"Question: {plain(question)}"


def closed_book_messages(question: str) -> Messages:
    """Return the conversation that asks the model alone, without any passage."""
    return [
        {"role": "system", "content": CLOSED_BOOK_PROMPT},
        {"role": "user", "content": plain(question)},
    ]


def plain(text: str) -> str:
    """Return text on one line, unable to open or close a turn of the chat template.

    Documents and questions are untrusted: ``<|im_end|>`` in a document must not end a turn. Other
    marks, such as ``<file_sep>``, get a space after their ``<`` and so stay mere text.
    """
    without_turns = re.sub(r"<\|[^|>]*\|>", " ", text)
    return " ".join(re.sub(r"<(?=[^\W\d]|[/|])", "< ", without_turns).split())


def fit_to_budget(
    question: str, hits: Sequence[Hit], llm: LanguageModel, *, max_prompt_tokens: int
) -> list[Hit]:
    """Keep the best hits that fit into the prompt, dropping from the end.

    Raises
    ------
    ValueError
        If the question alone is over the budget.
    """
    for n in range(len(hits), -1, -1):
        prompt = llm.prompt_text(build_messages(question, hits[:n]))
        if llm.count_tokens(prompt) <= max_prompt_tokens:
            return list(hits[:n])
    raise ValueError(
        f"The question alone takes more than {max_prompt_tokens} tokens; shorten it or raise "
        "max_prompt_tokens."
    )


def answer(
    question: str,
    store: Searcher,
    llm: LanguageModel,
    *,
    config: RagConfig = DEFAULTS,
    on_text: Callable[[str], None] | None = None,
) -> Answer:
    """Answer one question from the store; ``on_text`` receives the text as it is written.

    Parameters
    ----------
    question
        One sentence; empty questions are refused.
    store
        Where passages come from.
    llm
        The model that writes.

    Raises
    ------
    ValueError
        If the question is empty or over the prompt budget.
    """
    _refuse_empty([question])
    watch = Stopwatch()
    with watch.stage("retrieve"):
        hits = store.search(question, k=config.k, mode=config.mode)
    with watch.stage("prompt"):
        hits = fit_to_budget(question, hits, llm, max_prompt_tokens=config.max_prompt_tokens)
        messages = build_messages(question, hits)
    text = exam.ABSTENTION
    if hits:
        with watch.stage("generate"):
            written = llm.generate(messages, max_new_tokens=config.max_new_tokens, on_text=on_text)
        text = written.text
    elif on_text:
        on_text(text)
    return _finish(question, text, hits, llm.prompt_text(messages), watch.seconds)


def check_citations(
    text: str, hits: Sequence[Hit], *, question: str = ""
) -> tuple[list[Citation], list[str]]:
    """Separate an answer's citations into those backed by a passage and those invented.

    An answer that cites nothing is matched: the first passage that supports it stands behind it.

    Returns
    -------
    tuple of list
        Citations that hold, and ids that were written but not shown to the model.
    """
    shown: dict[str, Hit] = {}
    for hit in hits:
        shown.setdefault(hit.document_id, hit)
    written = answer_metrics.cited_ids(text)
    kept = [Citation(n, shown[n].chunk_id, "written") for n in written if n in shown]
    invented = [name for name in written if name not in shown]
    if not written and not answer_metrics.abstains(text):
        source = next((hit for hit in hits if supports(hit.passage, text, question=question)), None)
        if source:
            kept = [Citation(source.document_id, source.chunk_id, "matched")]
    return kept, invented


def supports(passage: str, answer: str, *, question: str = "", min_overlap: float = 0.6) -> bool:
    """Tell whether a passage holds every number of an answer and most of its longer words.

    At least one of them must be new: an answer that only says the question again has no source.
    """
    # With the letters around them: the 320 of G320S alone stands in no passage.
    numbers = re.findall(r"\w*\d+(?:[.,]\d+)*\w*", answer)
    words = {word for word in re.findall(r"[^\W\d_]{4,}", answer.lower())}
    new = [part for part in (*numbers, *words) if not answer_metrics.contains_value(question, part)]
    if not any(answer_metrics.contains_value(passage, part) for part in new):
        return False
    found = sum(answer_metrics.contains_value(passage, word) for word in words)
    holds_numbers = all(answer_metrics.contains_value(passage, number) for number in numbers)
    return holds_numbers and found >= min_overlap * len(words)


def render_sources(answer: Answer) -> str:
    """Return the sources and timings below an answer, for a terminal."""
    how = {"written": "cited by the model", "matched": "found to match the answer"}
    titles = {hit.chunk_id: hit.title for hit in answer.hits}
    lines = [f"[{c.document_id}] {titles[c.chunk_id]} ({how[c.origin]})" for c in answer.citations]
    lines = lines or ["none"]
    lines += [f"rejected: [{n}] was not among the passages" for n in answer.rejected_citations]
    times = ", ".join(f"{stage} {s:.2f} s" for stage, s in answer.seconds.items())
    return "\n".join(["Sources:", *(f"  {line}" for line in lines), f"Time: {times}"])


def answer_batch(
    questions: Sequence[str],
    store: Searcher,
    llm: LanguageModel,
    *,
    config: RagConfig = DEFAULTS,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Answer]:
    """Answer many questions, retrieving and generating in batches; for the exam.

    Every answer equals what ``answer`` gives for its question, up to rounding in padded batches;
    the seconds of a stage are the batch's, divided evenly.
    """
    _refuse_empty(questions)
    watch = Stopwatch()
    with watch.stage("retrieve"):
        found = store.search_many(questions, k=config.k, mode=config.mode)
    with watch.stage("prompt"):
        shown = [
            fit_to_budget(question, hits, llm, max_prompt_tokens=config.max_prompt_tokens)
            for question, hits in zip(questions, found, strict=True)
        ]
        prompts = list(map(build_messages, questions, shown))
    asked = [messages for messages, hits in zip(prompts, shown, strict=True) if hits]
    n_new = config.max_new_tokens
    with watch.stage("generate"):
        written = llm.generate_batch(asked, max_new_tokens=n_new, on_progress=on_progress)
    said = (generation.text for generation in written)
    texts = [next(said) if hits else exam.ABSTENTION for hits in shown]
    share = {name: s / max(1, len(questions)) for name, s in watch.seconds.items()}
    return [
        _finish(question, text, hits, llm.prompt_text(messages), share)
        for question, text, hits, messages in zip(questions, texts, shown, prompts, strict=True)
    ]


def answer_closed_book(
    questions: Sequence[str],
    llm: LanguageModel,
    *,
    max_new_tokens: int = 48,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Generation]:
    """Answer questions from the model's weights alone: the baseline of every comparison."""
    conversations = [closed_book_messages(question) for question in questions]
    return llm.generate_batch(conversations, max_new_tokens=max_new_tokens, on_progress=on_progress)


def _refuse_empty(questions: Sequence[str]) -> None:
    if not all(question.strip() for question in questions):
        raise ValueError("The question is empty; type a question.")


def _finish(
    question: str, text: str, hits: Sequence[Hit], prompt: str, seconds: dict[str, float]
) -> Answer:
    abstained = answer_metrics.abstains(text)
    text = exam.ABSTENTION if abstained else text
    citations, invented = check_citations(text, hits, question=question)
    return Answer(
        question, text, tuple(citations), tuple(invented), tuple(hits), prompt, abstained,
        dict(seconds),
    )  # fmt: skip
