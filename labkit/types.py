"""Plain data that the rooms hand to each other: documents, chunks, hits, questions, runs.

Knows: fields and what they mean. Does not know: any other module of labkit.
Used by every module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

if TYPE_CHECKING:
    import numpy as np

Scalar = str | int | float | bool
AnyPath = str | PurePath


@dataclass(frozen=True)
class Document:
    """One document: a file, or one row of a table.

    ``content_hash`` covers everything but the path, so an unchanged document keeps it.
    """

    id: str
    title: str
    kind: str
    text: str
    path: str
    date: str | None
    content_hash: str
    metadata: dict[str, Scalar]


@dataclass(frozen=True)
class Unreadable:
    """A file or document that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Chunk:
    """A piece of a document; ``text == document.text[start:end]``, never across a heading."""

    id: str
    document_id: str
    title: str
    heading: str
    text: str
    position: int
    start: int
    end: int
    headed: bool = True

    @property
    def passage(self) -> str:
        """Return ``title > heading: text``: what is embedded, indexed and shown to the model.

        A chunk alone rarely says which machine it is about; its heading path does. Where headings
        are switched off (lesson 05), the passage is the text alone.
        """
        if not self.headed:
            return self.text
        where = f"{self.title} > {self.heading}" if self.heading else self.title
        return f"{where}: {self.text}"


Mode = Literal["vector", "text", "hybrid"]


@dataclass(frozen=True)
class Hit:
    """A chunk that was found; ``score`` is comparable within one mode only, higher is better."""

    chunk_id: str
    document_id: str
    title: str
    heading: str
    text: str
    passage: str
    score: float
    date: str | None
    kind: str
    metadata: dict[str, Scalar]


QuestionKind = Literal["lookup", "jargon", "synthesis", "table", "updated", "unanswerable"]
Split = Literal["train", "more", "test", "final"]
KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)


@dataclass(frozen=True)
class Evidence:
    """A verbatim quote of a document, which proves the answer."""

    document: str
    quote: str


@dataclass(frozen=True)
class Question:
    """One exam question with its gold answer.

    ``values`` are the strings that a right answer must hold; ``terms`` the house terms it should
    use; ``held_out`` says that no training question draws on its documents.
    """

    id: str
    kind: QuestionKind
    question: str
    answer: str
    values: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    terms: tuple[str, ...] = ()
    superseded_value: str = ""
    held_out: bool = False


@dataclass(frozen=True)
class AnswerScore:
    """How one answer did; shares are between 0 and 1, ``None`` where the question has no say.

    ``exact_match`` of an unanswerable question is 1 for an abstention. ``citation_precision`` is
    ``None`` when nothing was cited. ``wrong_but_confident`` means: neither right nor abstaining.
    """

    exact_match: float
    house_format: float
    citation_precision: float | None
    citation_recall: float | None
    house_terms: float | None
    abstained: bool
    answerable: bool
    wrong_but_confident: bool = field(default=False)


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval, all in the unit of the values."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """Show a share as percent: ``40 % (31–49)``."""
        return f"{100 * self.mean:.0f} % ({100 * self.low:.0f}–{100 * self.high:.0f})"

    @classmethod
    def of(cls, share: Mapping[str, Any]) -> Interval:
        """Return the interval that a record holds as JSON; what else it holds is left out."""
        return cls(*(share[name] for name in ("mean", "low", "high", "n")))

    def in_points(self) -> str:
        """Show a difference of shares in percentage points: ``+7.1 points (+2.2 to +12.4)``."""
        mean, low, high = (100 * value for value in (self.mean, self.low, self.high))
        return f"{mean:+.1f} points ({low:+.1f} to {high:+.1f})"

    @property
    def excludes_zero(self) -> bool:
        """Tell whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Generation:
    """One generated text, and how many tokens were read and written for it."""

    text: str
    n_prompt_tokens: int
    n_new_tokens: int


IGNORED = -100  # the label that torch's cross entropy leaves out


@dataclass(frozen=True)
class Example:
    """A conversation that ends with a user's turn, and the answer to learn.

    ``more`` are further questions in the same conversation, each with its answer, learned too.
    """

    messages: Messages
    answer: str
    more: tuple[tuple[str, str], ...] = ()


Dtype = Literal["bfloat16", "float16", "float32"]
Method = Literal["full", "lora", "qlora"]


@dataclass(frozen=True)
class TrainConfig:
    """One training run; without a learning rate ``catalogue.learning_rate`` gives the usual one.

    ``rank`` is the width of the adapter's two matrices; their product is multiplied by
    ``alpha / rank`` before it is added. ``micro_batch`` is how many rows of a batch are in memory
    at once, all of them unless given; the gradient is that of the whole batch either way.
    ``command`` repeats the run; it is kept with the result.
    """

    model: str
    method: Method = "lora"
    rank: int = 16
    alpha: int = 32
    targets: str | tuple[str, ...] = "all-linear"
    learning_rate: float | None = None
    n_epochs: int = 1
    batch_size: int = 8
    micro_batch: int | None = None
    max_tokens: int = 1024
    checkpointing: bool = False
    save_every: int = 25
    seed: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.method not in get_args(Method):
            raise ValueError(
                f"There is no method {self.method!r}; use {', '.join(get_args(Method))}."
            )
        for name in ("rank", "alpha", "n_epochs", "batch_size", "max_tokens", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more.")
        if self.micro_batch is not None and (
            self.micro_batch < 1 or self.batch_size % self.micro_batch
        ):
            raise ValueError(
                f"micro_batch is {self.micro_batch}; give a number that divides the batch of "
                f"{self.batch_size}."
            )
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise ValueError(
                f"learning_rate is {self.learning_rate}; give a number above 0 and below 1, "
                "or none for the method's usual one."
            )

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> TrainConfig:
        """Return the configuration that a record holds as JSON."""
        targets = row["targets"]
        return cls(**{**row, "targets": targets if isinstance(targets, str) else tuple(targets)})

    @property
    def rows_at_once(self) -> int:
        """Rows of a batch that are in memory together."""
        return self.micro_batch or self.batch_size


@dataclass(frozen=True)
class Precision:
    """Number formats of one run: of the base's weights, and of the products where it differs.

    ``autocast`` is the format that weights and inputs are cast to for each matrix product.
    """

    weights: Dtype
    autocast: Dtype | None = None


@dataclass(frozen=True)
class TrainResult:
    """What a run gave: ``log`` holds one dict a step, ``peak_bytes`` names what was measured.

    ``n_parameters`` are the base model's, ``n_trainable`` those that were trained. ``n_skipped``
    counts steps without an update: in fp16 the loss was scaled too far, and is scaled less.
    """

    folder: Path
    config: TrainConfig
    n_trainable: int
    n_parameters: int
    log: list[dict]
    evaluations: list[dict]
    n_tokens: int
    train_s: float
    peak_bytes: dict[str, int]
    saved_bytes: int
    n_skipped: int = 0


class Embedder(Protocol):
    """What a store needs of an embedding model: its name, its dimension and two ways to encode."""

    name: str
    dimension: int

    def encode_documents(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of passages, ``(n, d) float32``."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of questions, ``(n, d) float32``."""
        ...


# Question and passages in, one score a passage out, higher is better.
Scorer = Callable[[str, Sequence[str]], Sequence[float]]


class BatchSearcher(Protocol):
    """What reranking and benchmarks need of a store."""

    def search_many(
        self, queries: Sequence[str], *, k: int = 5, mode: Mode = "hybrid"
    ) -> list[list[Hit]]:
        """Return the best ``k`` hits of each query."""
        ...


class Searcher(BatchSearcher, Protocol):
    """What the RAG loop needs of a store."""

    def search(self, query: str, *, k: int = 5, mode: Mode = "hybrid") -> list[Hit]:
        """Return the best ``k`` hits."""
        ...
