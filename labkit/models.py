"""Running a language model: load it, ask it, ask it many things at once.

Knows: transformers, chat templates, devices and number formats.
Does not know: documents or retrieval (``rag``); nothing here downloads (``fetch``).
Used from lesson 00 on.
"""

from __future__ import annotations

import copy
import json
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit import catalogue, hardware, settings
from labkit.catalogue import SMALL_MODEL as SMALL_MODEL
from labkit.fetch import is_fetched, model_dir
from labkit.measure import Device
from labkit.types import Generation, Messages

if TYPE_CHECKING:
    import torch

ADAPTER_FILE = "adapter_model.safetensors"
FULL_FILE = "model.safetensors"
RESULT_FILE = "training.json"
# Fast mode runs every cell to see that it runs; nobody reads its answers.
FAST_TOKENS = 12


class LanguageModel:
    """A causal language model with its tokenizer, on one device.

    Parameters
    ----------
    name
        The catalogue name, kept for records.
    model, tokenizer
        A transformers causal language model and its tokenizer with a chat template.
    """

    def __init__(self, name: str, model: Any, tokenizer: Any) -> None:
        self.name = name
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.stop_ids = self._stop_ids()
        self._known: tuple[Any, Any] = (None, None)  # what was read, and its keys and values

    def _stop_ids(self) -> list[int]:
        """Return where generation ends: the model's own tokens, and its template's end of turn."""
        if not self.tokenizer.chat_template:
            raise ValueError(f"{self.name} has no chat template; take a model made to answer.")
        turn = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
        closing = self.tokenizer.apply_chat_template(turn, tokenize=False).rpartition("!")[2]
        end_of_turn = self.tokenizer(closing.strip(), add_special_tokens=False)["input_ids"][:1]
        known = self.model.generation_config.eos_token_id
        known = [known] if isinstance(known, int) else known or [self.tokenizer.eos_token_id]
        return sorted({*known, *end_of_turn})

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return self.model.device

    def prompt_text(self, messages: Messages) -> str:
        """Return the messages as the one string the model reads, by its own chat template."""
        return self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )

    def count_tokens(self, text: str) -> int:
        """Return how many tokens ``text`` takes."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def generate(
        self,
        messages: Messages,
        *,
        max_new_tokens: int = 48,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """Answer one conversation greedily; ``on_text`` receives the text as it grows.

        Parameters
        ----------
        messages
            ``[{"role": "user", "content": "…"}]`` and so on.
        max_new_tokens
            At least 1; generation stops earlier at the end-of-turn token.
        on_text
            Called with each new piece of text.
        """
        encoded = self._encode([messages])
        streamer = _text_streamer(self.tokenizer, on_text) if on_text else None
        output = self._run(encoded, max_new_tokens, streamer=streamer)
        return self._decode(encoded, output)[0]

    def generate_batch(
        self,
        conversations: Sequence[Messages],
        *,
        max_new_tokens: int = 48,
        batch_size: int = 16,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Generation]:
        """Answer many conversations greedily; answers come back in the order given.

        Conversations of similar length share a batch, which wastes the least on padding.

        Parameters
        ----------
        conversations
            ``n`` conversations.
        batch_size
            How many are answered together; more is faster until memory ends.
        on_progress
            Called with (answered, n) after each batch.
        """
        lengths = [len(self.prompt_text(messages)) for messages in conversations]
        order = sorted(range(len(conversations)), key=lambda index: -lengths[index])
        answers: dict[int, Generation] = {}
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            generated = self._generate([conversations[index] for index in batch], max_new_tokens)
            answers.update(zip(batch, generated, strict=True))
            if on_progress:
                on_progress(len(answers), len(order))
        return [answers[index] for index in range(len(order))]

    def _generate(self, part: list[Messages], max_new_tokens: int) -> list[Generation]:
        """Answer one batch; where a card's memory ends, in halves, down to one at a time."""
        import torch

        try:
            encoded = self._encode(part)
            return self._decode(encoded, self._run(encoded, max_new_tokens))
        except torch.OutOfMemoryError as error:
            if len(part) == 1:
                raise
            traceback.clear_frames(error.__traceback__)
        Device(self.device.type).clear()
        half = len(part) // 2
        return self._generate(part[:half], max_new_tokens) + self._generate(
            part[half:], max_new_tokens
        )

    def _encode(self, conversations: Sequence[Messages]) -> Any:
        """Return ids and mask, ``(B, T)``: a beginning that all share, padding, and the rest."""
        import torch

        texts = [self.prompt_text(messages) for messages in conversations]
        beginning = self._beginning(conversations[0], texts)
        rests = [text[len(beginning) :] for text in texts]
        encoded = self.tokenizer(rests, return_tensors="pt", padding=True, add_special_tokens=False)
        encoded = encoded.to(self.device)
        if not beginning:
            return encoded
        ids = self.tokenizer(beginning, return_tensors="pt", add_special_tokens=False).input_ids
        ids = ids.repeat(len(texts), 1).to(self.device)
        for name, first in (("input_ids", ids), ("attention_mask", torch.ones_like(ids))):
            encoded[name] = torch.cat([first, encoded[name]], dim=1)
        encoded["past_key_values"] = self._read_already(beginning, ids)
        return encoded

    def _beginning(self, messages: Messages, texts: Sequence[str]) -> str:
        """Return what stands before the last turn, if all texts begin so and it is a whole part."""
        if len(messages) < 3:
            return ""
        beginning = self.tokenizer.apply_chat_template(messages[:-1], tokenize=False)
        if not all(text.startswith(beginning) for text in texts):
            return ""
        parts = self.count_tokens(beginning) + self.count_tokens(texts[0][len(beginning) :])
        return beginning if parts == self.count_tokens(texts[0]) else ""

    def _read_already(self, beginning: str, ids: Any) -> Any:
        """Return keys and values of a beginning, which the model reads once for all questions."""
        import torch
        from transformers import DynamicCache

        weights = list(self.model.parameters())  # training changes their versions
        told = (beginning, len(weights), sum(weight._version for weight in weights))
        if self._known[0] != told:
            cache = DynamicCache(config=self.model.config)
            with torch.inference_mode():
                self.model(input_ids=ids[:1], past_key_values=cache, use_cache=True)
            self._known = (told, cache)
        cache = copy.deepcopy(self._known[1])
        cache.batch_repeat_interleave(len(ids))
        return cache

    def _run(self, encoded: Any, max_new_tokens: int, *, streamer: Any = None) -> Any:
        import torch

        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {max_new_tokens}; give 1 or more.")
        if settings.fast():
            max_new_tokens = min(max_new_tokens, FAST_TOKENS)
        with torch.inference_mode():
            return self.model.generate(
                **encoded,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                eos_token_id=self.stop_ids,
                pad_token_id=self.tokenizer.pad_token_id,
                streamer=streamer,
            )

    def _decode(self, encoded: Any, output: Any) -> list[Generation]:
        n_prompt = encoded["input_ids"].shape[1]
        new = output[:, n_prompt:]  # (B, T_new)
        texts = self.tokenizer.batch_decode(new, skip_special_tokens=True)
        n_prompts = encoded["attention_mask"].sum(dim=1).tolist()
        n_new = (new != self.tokenizer.pad_token_id).sum(dim=1).tolist()
        parts = zip(texts, n_prompts, n_new, strict=True)
        return [Generation(text.strip(), p, n) for text, p, n in parts]


def load_language_model(
    name: str = "auto",
    *,
    choice: catalogue.Choice | None = None,
    tuned: Path | None = None,
) -> LanguageModel:
    """Load a fetched model onto the best device of this machine.

    Parameters
    ----------
    name
        A catalogue name, or ``"auto"``: what ``tuned`` was trained on, else the best of the models
        that are here by the rule of ``catalogue.choose``.
    choice
        Overrides device, number format and quantization.
    tuned
        A folder that ``train`` wrote: its adapter is put on the model, or its weights replace it.

    Raises
    ------
    FileNotFoundError
        If the model was not fetched, or ``tuned`` holds no weights.
    ValueError
        If the catalogue has no such language model, or ``tuned`` was trained on another one.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    from labkit import nf4

    machine = hardware.detect()
    choice = choice or _choose(machine)
    trained = _training_of(tuned) if tuned else {}
    base = trained.get("model")
    wanted = name if name != "auto" else base or choice.model
    if tuned and base not in (None, wanted):
        raise ValueError(f"{tuned.name!r} was trained on {base}; it does not fit {wanted}.")
    in_4_bits = trained.get("method") == "qlora" or (choice.nf4 and wanted == choice.model)
    if catalogue.card(wanted).task != "generate":
        raise ValueError(f"{wanted} turns text into vectors; it cannot write answers.")
    folder = model_dir(wanted)
    logging.disable_progress_bar()
    options: dict[str, Any] = {"dtype": getattr(torch, choice.dtype)}
    if in_4_bits:
        options["quantization_config"] = nf4.bitsandbytes_config(choice.dtype)
    if choice.device == "cuda":
        _spare_grouped_queries(machine)
        options["device_map"] = {"": 0}  # straight onto the card: Colab's host memory is small
    whole = tuned if tuned and (tuned / FULL_FILE).is_file() else folder
    model = AutoModelForCausalLM.from_pretrained(whole, local_files_only=True, **options)
    if in_4_bits:
        nf4.never_repack(model)
    elif choice.device == "cpu":
        _into_memory(model)
    if tuned and whole is folder:
        model = with_adapter(model, tuned)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return LanguageModel(wanted, model, tokenizer)


def with_adapter(model: Any, folder: Path) -> Any:
    """Put the adapter in ``folder`` on a model; only safetensors are read, never a pickle.

    In 32 bits it is merged, which answers faster; in fewer, merging would round the update.
    """
    import torch
    from peft import PeftModel

    if not (folder / ADAPTER_FILE).is_file():
        raise FileNotFoundError(
            f"There is neither an adapter nor a model in {folder.name!r}. Train one with: "
            f"python -m labkit finetune --out {folder.name}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers in an old way
        adapted = PeftModel.from_pretrained(  # adapters in the base's format: nothing is trained
            model, folder, local_files_only=True, autocast_adapter_dtype=False
        )
    in_32_bits = {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    return adapted.merge_and_unload() if in_32_bits else adapted


def _into_memory(model: Any) -> None:
    """Copy the weights out of their mapped file: pages taken back are read again for each token."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def _training_of(tuned: Path) -> dict[str, Any]:
    """Return the configuration that a folder of ``train`` was trained with, if it says so."""
    path = tuned / RESULT_FILE
    return json.loads(path.read_text("utf-8"))["config"] if path.is_file() else {}


def _choose(machine: hardware.Hardware) -> catalogue.Choice:
    """Return the best of the models that are here; say which one a card deserves."""
    choice, best = catalogue.choose(machine, fetched=is_fetched), catalogue.choose(machine).model
    if machine.gpu_name and choice.model != best:
        warnings.warn(
            f"{best} suits this machine but is not fetched, so {choice.model} answers. "
            f"Fetch it once with: python -m labkit fetch {best}",
            stacklevel=3,
        )
    return choice


def _spare_grouped_queries(machine: hardware.Hardware) -> None:
    """Keep attention's memory in proportion to the length on cards before Ampere.

    PyTorch has no economical kernel there for grouped queries: it would write down every score,
    T × T a head. Copied keys and values are cheaper. Source: transformers, pull request 45776.
    """
    from transformers.integrations import sdpa_attention

    if not machine.gpu_bf16 and hasattr(sdpa_attention, "use_gqa_in_sdpa"):
        sdpa_attention.use_gqa_in_sdpa = lambda *_: False


def _text_streamer(tokenizer: Any, on_text: Callable[[str], None]) -> Any:
    from transformers import TextStreamer

    class CallbackStreamer(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            on_text(text)

    return CallbackStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
