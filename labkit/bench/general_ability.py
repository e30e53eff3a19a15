"""General ability: how well a model still does what nobody fine-tuned it for.

Knows: twelve short texts and forty sentences to complete, none of them about wind turbines, and how
a model's likelihood judges them. Does not know: how the model was trained.
Used by ``bench side-effects`` and lesson 09.
"""

import json
from dataclasses import dataclass

from labkit import settings
from labkit.models import LanguageModel


@dataclass(frozen=True)
class Cloze:
    """The start of a sentence, the one ending that is right, and wrong ones."""

    start: str
    right: str
    wrong: tuple[str, ...]


def load_texts() -> list[str]:
    """Return the course's general texts, one paragraph each."""
    path = settings.data_dir() / "general" / "texts.txt"
    return [text.strip() for text in path.read_text(encoding="utf-8").split("\n\n")]


def load_clozes() -> list[Cloze]:
    """Return the course's sentences to complete."""
    path = settings.data_dir() / "general" / "cloze.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Cloze(row["start"], row["right"], tuple(row["wrong"])) for row in rows]


def token_losses(llm: LanguageModel, text: str) -> list[float]:
    """Return the loss of each token of a text but the first, in nats: minus its log-likelihood.

    The text is read bare, without a chat template.

    Raises
    ------
    ValueError
        If the text has fewer than two tokens.
    """
    import torch

    ids = llm.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    if ids.shape[1] < 2:
        raise ValueError(f"{text!r} is one token or none; there is nothing to predict.")
    ids = ids.to(llm.device)
    with torch.inference_mode():
        logits = llm.model(input_ids=ids).logits.float()  # (1, T, V)
    losses = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="none")
    return losses.tolist()


def mean_loss(llm: LanguageModel, text: str) -> float:
    """Return the mean loss over a text's tokens, in nats a token."""
    losses = token_losses(llm, text)
    return sum(losses) / len(losses)


def completes(llm: LanguageModel, cloze: Cloze) -> bool:
    """Tell whether the model finds the right ending likelier than every wrong one.

    Likelihoods are compared a character, so that a long ending is not at a disadvantage.
    """

    def cost(ending: str) -> float:
        shared = len(llm.tokenizer(cloze.start, add_special_tokens=False)["input_ids"])
        losses = token_losses(llm, f"{cloze.start} {ending}")
        return sum(losses[shared - 1 :]) / len(ending)

    return all(cost(cloze.right) < cost(wrong) for wrong in cloze.wrong)


def measure(llm: LanguageModel) -> dict[str, list[float]]:
    """Return ``loss`` of each text in nats a token, and ``completed`` (0 or 1) of each sentence."""
    return {
        "loss": [mean_loss(llm, text) for text in load_texts()],
        "completed": [float(completes(llm, cloze)) for cloze in load_clozes()],
    }
