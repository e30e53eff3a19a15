"""Training examples: from questions, passages or your own JSONL to token ids with labels.

Knows: the chat template's end of turn, which tokens the loss looks at, and what is wrong with a
line. Does not know: how anything is trained (``train``).
Used by lessons 06, 08 and 09 and by ``python -m labkit finetune``.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from labkit import answer_metrics, exam, rag
from labkit.models import LanguageModel
from labkit.retrieval_metrics import holds_evidence
from labkit.types import IGNORED, Evidence, Example, Hit, Messages, Question

ROLES = ("system", "user", "assistant")


def closed_book_examples(questions: Sequence[Question]) -> list[Example]:
    """Return examples that ask from memory, with the very prompt of the closed-book exam."""
    return [Example(rag.closed_book_messages(q.question), q.answer) for q in questions]


def open_book_examples(
    questions: Sequence[Question],
    store: rag.Searcher,
    *,
    k: int,
    absent_share: float = 0.15,
    late: bool = False,
    seed: int = 0,
) -> list[Example]:
    """Return examples that answer from ``k`` retrieved passages, as the RAG exam will ask.

    Retrieval is imperfect, and the model should not learn its errors: a missing piece of evidence
    takes the place of a random passage. In ``absent_share`` of the questions every passage with
    evidence is taken away and the right answer becomes the abstention.

    Parameters
    ----------
    questions
        Training questions.
    store
        Where the passages come from.
    k
        Passages an example.
    absent_share
        Between 0 and 1.
    late
        Whether such an abstention stands at the answer's first word or where the value would.

    Source: training with distractors follows RAFT (Zhang et al. 2024, arXiv 2403.10131).
    """
    chance = random.Random(seed)
    found = store.search_many([q.question for q in questions], k=k + 5)
    examples = []
    for question, hits in zip(questions, found, strict=True):
        absent = bool(question.evidence) and chance.random() < absent_share
        if absent:
            shown = [hit for hit in hits if not holds_any(hit, question)][:k]
        else:
            shown = with_evidence(question, hits[:k], store, chance)
        answer = _abstention(question, late=late) if absent else question.answer
        examples.append(Example(rag.build_messages(question.question, shown), answer))
    return examples


def contrast_examples(
    questions: Sequence[Question], store: rag.Searcher, *, k: int, seed: int = 0
) -> list[Example]:
    """Return each answerable question with its evidence, and every second one also without.

    Both answers begin alike: the house's sentence, up to the value. There one states the value and
    the other that it is not documented. So the model says what it looks for before it must decide,
    and only the passages tell how to go on.
    """
    answerable = [question for question in questions if question.evidence]
    found = open_book_examples(answerable, store, k=k, absent_share=0, seed=seed)
    return found + open_book_examples(
        answerable[::2], store, k=k, absent_share=1, late=True, seed=seed
    )


def read_examples(path: Path) -> list[Example]:
    """Read a learner's own JSONL: ``{"messages": […]}`` or ``{"prompt": …, "answer": …}`` a line.

    Raises
    ------
    ValueError
        Naming the line and what is wrong with it.
    """
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                examples.append(_parse(json.loads(line)))
            except ValueError as error:
                raise ValueError(f"{path.name}, line {number}: {error}") from error
    if not examples:
        raise ValueError(f"{path.name} holds no example; write one JSON object a line.")
    return examples


def encode(example: Example, tokenizer: Any, *, max_tokens: int) -> dict[str, list[int]]:
    """Return ``input_ids`` and ``labels`` of one example, both ``(T,)``.

    Labels are ``IGNORED`` over the prompt: the loss looks at the answers and their ends of turn.
    A model that never sees the end of turn never learns to stop.

    Raises
    ------
    ValueError
        If the example is longer than ``max_tokens``, or the template rewrites the prompt.
    """
    said = list(example.messages)
    asked = [("", example.answer), *example.more]
    input_ids: list[int] = []
    labels: list[int] = []
    so_far = ""
    for question, answer in asked:
        said += [{"role": "user", "content": question}] if question else []
        prompt = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        said.append({"role": "assistant", "content": answer})
        whole = tokenizer.apply_chat_template(said, tokenize=False).rstrip()
        if not (prompt.startswith(so_far) and whole.startswith(prompt)):
            raise ValueError(
                "This model's chat template changes the prompt once there is an answer."
            )
        prompt_ids, answer_ids = (
            tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (prompt[len(so_far) :], whole[len(prompt) :])
        )
        input_ids += prompt_ids + answer_ids
        labels += [IGNORED] * len(prompt_ids) + answer_ids
        so_far = whole
    if len(input_ids) > max_tokens:
        raise ValueError(
            f"An example takes {len(input_ids)} tokens, {max_tokens} are allowed: "
            f"{example.messages[-1]['content'][:60]!r}. Shorten it or raise max_tokens."
        )
    return {"input_ids": input_ids, "labels": labels}


def length_grouped_order(
    lengths: Sequence[int], *, batch_size: int, n_epochs: int, seed: int
) -> list[int]:
    """Return the order of a whole training run: batches of similar length, in random order.

    A batch is padded to its longest example, so mixing lengths pays for padding. The very first
    batch is the longest: if memory does not suffice, that shows at once. What does not fill a
    batch of its epoch waits for the end of the run.

    Parameters
    ----------
    lengths
        Tokens of each example, ``(n,)``.

    Returns
    -------
    list of int
        ``n_epochs * n`` positions, every example ``n_epochs`` times.
    """
    chance = random.Random(seed)
    longest_first = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    spare = longest_first[batch_size:] or longest_first
    order: list[int] = []
    waiting: list[int] = []
    for _ in range(n_epochs):
        left = set(chance.sample(spare, len(lengths) % batch_size))
        chosen = [i for i in longest_first if i not in left]
        batches = [chosen[i : i + batch_size] for i in range(0, len(chosen), batch_size)]
        later = batches[1:]
        chance.shuffle(later)
        order += [i for batch in batches[:1] + later for i in batch]
        waiting += sorted(left)
    return order + sorted(waiting, key=lambda i: -lengths[i])


def _abstention(question: Question, *, late: bool) -> str:
    if not late:
        return exam.ABSTENTION
    value_at = min(question.answer.find(value) for value in question.values)
    return question.answer[:value_at] + exam.ABSTENTION[0].lower() + exam.ABSTENTION[1:]


def holds_any(hit: Hit, question: Question) -> bool:
    """Tell whether a passage holds any piece of a question's evidence."""
    return any(holds_evidence(hit, evidence) for evidence in question.evidence)


def with_evidence(
    question: Question, hits: list[Hit], store: rag.Searcher, chance: random.Random
) -> list[Hit]:
    """Return the hits with each missing piece of evidence put in the place of another passage."""
    shown = list(hits)
    for evidence in question.evidence:
        if any(holds_evidence(hit, evidence) for hit in shown):
            continue
        near = store.search(evidence.quote, k=10, mode="text")
        holder = next((hit for hit in near if holds_evidence(hit, evidence)), None)
        free = [i for i, hit in enumerate(shown) if not holds_any(hit, question)]
        if holder and free:
            shown[chance.choice(free)] = holder
    return shown


def _parse(row: Any) -> Example:
    if not isinstance(row, dict):
        raise ValueError("not a JSON object; write {...}")
    if "messages" in row:
        return _from_messages(row["messages"])
    missing = [name for name in ("prompt", "answer") if not _is_text(row.get(name))]
    if missing:
        raise ValueError(
            f"{' and '.join(missing)} missing or empty; give 'messages', or 'prompt' and 'answer'"
        )
    return Example([{"role": "user", "content": row["prompt"]}], row["answer"])


def _from_messages(messages: Any) -> Example:
    if not isinstance(messages, list) or len(messages) < 2:
        raise ValueError("'messages' must be a list of two or more turns")
    for number, turn in enumerate(messages, 1):
        if not isinstance(turn, dict) or turn.get("role") not in ROLES:
            raise ValueError(f"turn {number} needs a 'role': {', '.join(ROLES)}")
        if not _is_text(turn.get("content")):
            raise ValueError(f"turn {number} has no 'content'")
    if messages[-1]["role"] != "assistant" or messages[-2]["role"] != "user":
        raise ValueError("the last two turns must be of the user and of the assistant")
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
    return Example(turns[:-1], turns[-1]["content"])


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


Setting = Literal["nothing", "the proof", "proof and distractors", "distractors only"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)


def proof_of(evidence: Evidence, store: rag.Searcher) -> Hit:
    """Return the passage that holds a piece of evidence.

    Raises
    ------
    ValueError
        If the store has no such passage: it is then another corpus, or not up to date.
    """
    for hit in store.search(evidence.quote, k=10, mode="text"):
        if holds_evidence(hit, evidence):
            return hit
    raise ValueError(
        f"No passage of {evidence.document} holds {evidence.quote[:60]!r}; ingest the documents "
        "again: python -m labkit fetch"
    )


def passages(
    question: Question, store: rag.Searcher, setting: Setting, *, k: int = 3, seed: int = 0
) -> list[Hit]:
    """Return what a setting shows: the proof stands at a random place among ``k`` passages.

    Distractors are the passages that retrieval ranks best for this question, without any that holds
    evidence: near misses, as a real search brings them.

    Raises
    ------
    ValueError
        If there is no such setting.
    """
    if setting not in SETTINGS:
        raise ValueError(f"There is no setting {setting!r}; choose {', '.join(SETTINGS)}.")
    if setting == "nothing":
        return []
    proofs = [proof_of(evidence, store) for evidence in question.evidence]
    if setting == "the proof":
        return proofs
    found = store.search(question.question, k=k + 5)
    others = [hit for hit in found if not any(holds_evidence(hit, e) for e in question.evidence)]
    if setting == "distractors only":
        return others[:k]
    shown = [*proofs, *others[: max(0, k - len(proofs))]]
    random.Random(f"{seed} {question.id}").shuffle(shown)
    return shown


def messages(question: Question, shown: Sequence[Hit]) -> Messages:
    """Return the exam's own prompt: with the passages, or closed book where there are none."""
    if not shown:
        return rag.closed_book_messages(question.question)
    return rag.build_messages(question.question, shown)


def ask(
    llm: LanguageModel,
    questions: Sequence[Question],
    shown: Sequence[Sequence[Hit]],
    *,
    max_new_tokens: int = 48,
) -> list[str]:
    """Return one answer a question, each from the passages shown for it."""
    conversations = [messages(q, hits) for q, hits in zip(questions, shown, strict=True)]
    told = llm.generate_batch(conversations, max_new_tokens=max_new_tokens)
    return [generation.text for generation in told]


def does_right(question: Question, text: str, setting: Setting) -> bool:
    """Tell whether an answer does what its setting asks for: the value, or a refusal without it."""
    if setting == "distractors only":
        return answer_metrics.abstains(text)
    return bool(answer_metrics.score_answer(question, text, citations=[]).exact_match)
