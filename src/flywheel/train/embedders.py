"""Pretrained encoders that you have: sentence-transformers, or any ONNX encoder in a local folder.

Nothing is downloaded unless you ask for it by `hub:`. A text that was embedded is remembered, so a spin embeds each
text once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import InvalidConfig, MissingExtra, NotFound
from flywheel.ports import Embedder
from flywheel.train.text_reading import text_of

__all__ = ["OnnxEmbedder", "Remembered", "SentenceEmbedder"]

_BATCH = 32
_LONGEST = 256
"""Tokens of a text that are read."""


class OnnxEmbedder:
    """An encoder exported to ONNX: a folder with `tokenizer.json` and `model.onnx` (or `onnx/model.onnx`).

    Of its outputs, one of shape texts × dimensions is taken as it is (`sentence_embedding` before others), and of one
    of shape texts × tokens × dimensions the mean over the tokens. Vectors have length 1.
    """

    name = "onnx"

    def __init__(self, model: str = "") -> None:
        folder = Path(model)
        if not model:
            raise InvalidConfig(
                'the onnx embedder needs a folder. Write it after a colon: embedder = "onnx:models/mini"'
            )
        found = [path for path in (folder / "model.onnx", folder / "onnx" / "model.onnx") if path.is_file()]
        if not found or not (folder / "tokenizer.json").is_file():
            raise NotFound(
                f"{folder} does not hold model.onnx (or onnx/model.onnx) and tokenizer.json. Export the encoder into "
                f"it, for instance with: optimum-cli export onnx --model NAME {folder}"
            )
        runtime, tokenizers = _part("onnxruntime", "onnx"), _part("tokenizers", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # the same bits on every machine
        self._session = runtime.InferenceSession(str(found[0]), options, providers=["CPUExecutionProvider"])
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_LONGEST)
        if self._tokenizer.padding is None:
            self._tokenizer.enable_padding()
        self._inputs = [one.name for one in self._session.get_inputs()]
        unknown = set(self._inputs) - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown:
            raise InvalidConfig(f"{found[0]} asks for the input {sorted(unknown)[0]!r}; a text encoder takes token ids")
        outputs = [one.name for one in self._session.get_outputs()]
        self._output = "sentence_embedding" if "sentence_embedding" in outputs else outputs[0]

    def embed(self, inputs: Sequence[Any]) -> NDArray[np.float32]:
        """n texts (or chats) to n × d, in batches of like length."""
        texts = [text_of(value) for value in inputs]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows: list[NDArray[np.float32] | None] = [None] * len(texts)
        for start in range(0, len(texts), _BATCH):
            some = order[start : start + _BATCH]
            for place, vector in zip(some, self._batch([texts[i] for i in some]), strict=True):
                rows[place] = vector
        return np.vstack([row for row in rows if row is not None]) if rows else np.zeros((0, 0), dtype=np.float32)

    def _batch(self, texts: list[str]) -> NDArray[np.float32]:
        read = self._tokenizer.encode_batch(texts)
        mask = np.array([one.attention_mask for one in read], dtype=np.int64)
        given = {
            "input_ids": np.array([one.ids for one in read], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([one.type_ids for one in read], dtype=np.int64),
        }
        (found,) = self._session.run([self._output], {name: given[name] for name in self._inputs})
        vectors = np.asarray(found, dtype=np.float32)
        if vectors.ndim == 3:
            counted = mask[:, :, None].astype(np.float32)
            vectors = (vectors * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
        return _unit(vectors)


class SentenceEmbedder:
    """A model of the sentence-transformers library: a local folder, or `hub:NAME`, which may download it."""

    name = "sentence-transformers"

    def __init__(self, model: str = "") -> None:
        if not model:
            raise InvalidConfig(
                "the sentence-transformers embedder needs a folder. Write it after a colon: "
                'embedder = "sentence-transformers:models/mini", or hub:NAME to have it downloaded'
            )
        hub = model.startswith("hub:")
        if not hub and not Path(model).is_dir():
            raise NotFound(
                f"there is no folder {model}, and nothing is downloaded unasked. "
                f"Save the model there, or write sentence-transformers:hub:{Path(model).name} to have it downloaded"
            )
        library = _part("sentence_transformers", "sentence-transformers")
        self._model = library.SentenceTransformer(
            model.removeprefix("hub:"), device="cpu", local_files_only=not hub, trust_remote_code=False
        )

    def embed(self, inputs: Sequence[Any]) -> NDArray[np.float32]:
        """n texts (or chats) to n × d."""
        texts = [text_of(value) for value in inputs]
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        found = self._model.encode(texts, batch_size=_BATCH, show_progress_bar=False, convert_to_numpy=True)
        return _unit(np.asarray(found, dtype=np.float32))


class Remembered:
    """An embedder that keeps the vectors of the last texts it was asked about."""

    def __init__(self, embedder: Embedder, most: int = 30_000) -> None:
        self.name = embedder.name
        self._embedder = embedder
        self._most = most
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def embed(self, inputs: Sequence[Any]) -> NDArray[np.float32]:
        """n texts to n × d rows of length 1 (0 for a vector of zeros)."""
        texts = [text_of(value) for value in inputs]
        with self._lock:
            found = {text: self._known[text] for text in texts if text in self._known}
        new = sorted({text for text in texts if text not in found})
        if new:
            vectors = np.asarray(self._embedder.embed(new), dtype=np.float32)
            if vectors.ndim != 2 or len(vectors) != len(new) or not np.isfinite(vectors).all():
                raise InvalidConfig(
                    f"the embedder {self.name!r} gave an array of shape {vectors.shape} for {len(new)} texts; "
                    f"finite numbers, texts × dimensions, are wanted. Check it with flywheel.testing.check_embedder"
                )
            found.update(zip(new, _unit(vectors), strict=True))
        with self._lock:
            for text in dict.fromkeys(texts):
                self._known[text] = found[text]
                self._known.move_to_end(text)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return np.vstack([found[text] for text in texts]) if texts else np.zeros((0, 0), dtype=np.float32)


def _part(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        raise MissingExtra(
            f"the embedder needs {module}, which is not installed. Run: pip install 'dataflywheel[{extra}]'"
        ) from missing


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    found: NDArray[np.float32] = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return found
