"""A BERT encoder without padding: the tokens of many texts stand in one row, one after the other.

Knows: BERT's layers as sentence-transformers loads them, and mean pooling. Only attention has to
know where a text ends; all else works on each token alone, so that no padding is multiplied.
Does not know: other architectures, for which ``supports`` says no and ``embed`` goes the usual way.
Used by ``embed`` on a CPU.
"""

from collections import Counter
from typing import Any

import numpy as np


def supports(model: Any) -> bool:
    """Tell whether a sentence-transformers model is a BERT with mean pooling, and on a CPU."""
    from transformers import BertModel

    modules = [*getattr(model, "children", list)()]
    if len(modules) < 2 or model.device.type != "cpu":
        return False
    bert = getattr(modules[0], "auto_model", None)
    if not isinstance(bert, BertModel) or bert.config.hidden_act != "gelu":
        return False
    # The first name is of sentence-transformers 6, the second of 5.
    pooling = getattr(modules[1], "pooling_mode", "") or modules[1].get_pooling_mode_str()
    rest = {type(module).__name__ for module in modules[2:]}
    return pooling == "mean" and rest <= {"Normalize"}


class PackedBert:
    """The weights of a supported model; its vectors equal the model's up to rounding."""

    def __init__(self, model: Any) -> None:
        self._tokenizer = model.tokenizer
        self._max_tokens = model.max_seq_length
        bert = next(model.children()).auto_model
        self._embeddings = bert.embeddings
        self._layers = [_Layer(layer) for layer in bert.encoder.layer]

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return mean token vectors, ``(n, d) float32``, of any length."""
        import torch

        ids = self._tokenizer(texts, truncation=True, max_length=self._max_tokens)["input_ids"]
        order = sorted(range(len(ids)), key=lambda number: len(ids[number]))
        # Texts of the same length share a call of attention: (length, how many), shortest first.
        runs = sorted(Counter(map(len, ids)).items())
        with torch.inference_mode():
            x = self._embed([ids[number] for number in order])  # (tokens, d)
            for layer in self._layers:
                x = layer(x, runs)
            parts = x.float().split([length * n for length, n in runs])
            means = [
                part.view(n, length, -1).mean(1)
                for part, (length, n) in zip(parts, runs, strict=True)
            ]
            return torch.cat(means).numpy()[np.argsort(order)]

    def _embed(self, ids: list[list[int]]) -> Any:
        import torch

        tokens = torch.tensor([token for text in ids for token in text])
        positions = torch.cat([torch.arange(len(text)) for text in ids])
        table = self._embeddings
        x = table.word_embeddings.weight[tokens] + table.position_embeddings.weight[positions]
        return table.LayerNorm(x + table.token_type_embeddings.weight[0])


class _Layer:
    """One layer; query, key and value weights are joined, for one large product beats three."""

    def __init__(self, layer: Any) -> None:
        import torch

        attention = layer.attention.self
        parts = attention.query, attention.key, attention.value
        self._n_heads = attention.num_attention_heads
        self._weight = torch.cat([part.weight.detach() for part in parts])
        self._bias = torch.cat([part.bias.detach() for part in parts])
        self._after_attention = layer.attention.output
        self._widen = layer.intermediate.dense
        self._narrow = layer.output

    def __call__(self, x: Any, runs: list[tuple[int, int]]) -> Any:
        import torch
        from torch.nn.functional import gelu, linear

        blocks = linear(x, self._weight, self._bias).split([length * n for length, n in runs])
        mixed = [self._attend(b, *run) for b, run in zip(blocks, runs, strict=True)]
        x = self._added(self._after_attention, torch.cat(mixed), x)
        return self._added(self._narrow, gelu(self._widen(x)), x)

    def _attend(self, block: Any, length: int, n: int) -> Any:
        from torch.nn.functional import scaled_dot_product_attention

        q, k, v = block.view(n, length, 3, self._n_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(q, k, v)  # (n, heads, length, d / heads)
        return mixed.transpose(1, 2).reshape(n * length, -1)

    @staticmethod
    def _added(output: Any, change: Any, x: Any) -> Any:
        return output.LayerNorm(output.dense(change) + x)
