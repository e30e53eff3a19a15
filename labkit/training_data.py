"""Training examples: from questions, passages or your own JSONL to token ids with labels.

Knows: the chat template's end of turn, which tokens the loss looks at, and what is wrong with a
line. Does not know: how anything is trained (``train``).
Used by lessons 06, 08 and 09 and by ``python -m labkit finetune``.
"""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labkit import exam, rag
from labkit.retrieval_metrics import holds_evidence
from labkit.types import IGNORED, Example, Hit, Question

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
            shown = [hit for hit in hits if not _holds_any(hit, question)][:k]
        else:
            shown = _with_evidence(question, hits[:k], store, chance)
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


def reading_examples(
    questions: Sequence[Question], store: rag.Searcher, *, k: int = 5, most: int = 5, seed: int = 0
) -> list[Example]:
    """Return conversations over ``k`` passages each, in which a few questions are asked in turn.

    A prompt is long and a question short: several questions on the same passages teach more in the
    same time. Each conversation holds what one question finds, with its evidence put in where the
    search missed it, and up to ``most`` questions that these passages answer. In every second one
    there is a near miss, too: a question that finds some of the same passages while its answer is
    not among them, as of another machine or another quantity. Its right answer is the abstention.
    Every question is answered once, and once at most a near miss.

    Parameters
    ----------
    questions
        Training questions; those without an answer in the documents are abstained from.
    store
        Where the passages come from.

    Source: training with distractors follows RAFT (Zhang et al. 2024, arXiv 2403.10131).
    """
    chance = random.Random(seed)
    hits = store.search_many([q.question for q in questions], k=k)
    found = dict(zip(questions, hits, strict=True))
    waiting = chance.sample(list(questions), len(questions))
    missable = [q for q in waiting if q.evidence and q.kind != "updated"]
    examples: list[Example] = []
    while waiting:
        first = waiting[0]
        shown = _with_evidence(first, found[first], store, chance)
        answered = [q for q in waiting if q.evidence and _holds_all(shown, q)][:most]
        told = [(q, q.answer) for q in answered]
        if first not in answered:  # nothing answers it, or its evidence could not be shown
            told.append((first, exam.ABSTENTION))
        waiting = [q for q in waiting if q not in answered and q is not first]
        if len(examples) % 2 and (missed := _nearest_miss(missable, shown, found)):
            missable.remove(missed)
            told.append((missed, exam.ABSTENTION))
        examples.append(_conversation(chance.sample(told, len(told)), shown))
    return examples


def _conversation(told: Sequence[tuple[Question, str]], shown: Sequence[Hit]) -> Example:
    (first, answer), *others = told
    more = tuple((rag.asked(question.question), answer) for question, answer in others)
    return Example(rag.build_messages(first.question, shown), answer, more)


def _nearest_miss(
    candidates: Sequence[Question], shown: Sequence[Hit], found: Mapping[Question, Sequence[Hit]]
) -> Question | None:
    """Return the question that finds most of these passages, none of which has its evidence."""
    names = {hit.chunk_id for hit in shown}
    shared = {
        question: len(names & {hit.chunk_id for hit in found[question]})
        for question in candidates
        if not any(_holds_any(hit, question) for hit in shown)
    }
    best = max(shared, key=lambda question: shared[question], default=None)
    return best if best and shared[best] else None


def _holds_all(shown: Sequence[Hit], question: Question) -> bool:
    return all(any(holds_evidence(hit, piece) for hit in shown) for piece in question.evidence)


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


def _holds_any(hit: Hit, question: Question) -> bool:
    return any(holds_evidence(hit, evidence) for evidence in question.evidence)


def _with_evidence(
    question: Question, hits: list[Hit], store: rag.Searcher, chance: random.Random
) -> list[Hit]:
    """Return the hits with each missing piece of evidence put in the place of another passage."""
    shown = list(hits)
    for evidence in question.evidence:
        if any(holds_evidence(hit, evidence) for hit in shown):
            continue
        near = store.search(evidence.quote, k=10, mode="text")
        holder = next((hit for hit in near if holds_evidence(hit, evidence)), None)
        free = [i for i, hit in enumerate(shown) if not _holds_any(hit, question)]
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
