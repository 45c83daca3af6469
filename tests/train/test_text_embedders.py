"""Pretrained encoders: a tiny one, made here, is run for real; nothing is downloaded unasked."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from flywheel import config, plugins
from flywheel.errors import InvalidConfig, MissingExtra, NotFound
from flywheel.parts import Parts
from flywheel.records import Dataset, Example
from flywheel.testing import check_embedder, check_trainer
from flywheel.train import text
from flywheel.train.embedders import Remembered

WORDS = ["[PAD]", "[UNK]", "card", "lost", "stolen", "gone", "money", "cash", "balance", "where", "my", "is", "the"]
MEANS = {"lost": 0, "stolen": 0, "gone": 0, "money": 1, "cash": 1, "balance": 1}
"""Words that mean the same have the same vector, as a pretrained encoder would know."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A folder with a whole encoder: a table of word vectors, looked up."""
    onnx = pytest.importorskip("onnx")
    tokenizers = pytest.importorskip("tokenizers")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    folder = tmp_path_factory.mktemp("encoder")
    table = np.random.default_rng(0).normal(size=(len(WORDS), 8)).astype(np.float32) * 0.1
    for word, kind in MEANS.items():
        table[WORDS.index(word)] = np.eye(8, dtype=np.float32)[kind]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["looked"]),
            helper.make_node("Cast", ["attention_mask"], ["ones"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["ones", "last"], ["wide"]),
            helper.make_node("Mul", ["looked", "wide"], ["last_hidden_state"]),
        ],
        "encoder",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "t"]) for n in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["n", "t", 8])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([2]), "last")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, folder / "model.onnx")
    words = tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def taught():
    said = ["my card is lost", "where is my lost card", "the money", "where is my money"] * 3
    made = [
        Example(id=f"e{i}", input=f"{t} {i}", label="card" if "lost" in t else "cash", group=f"g{i}", fold=i % 5)
        for i, t in enumerate(said)
    ]
    return Dataset(hash="h", examples=tuple(made))


def test_an_onnx_encoder_gives_the_mean_of_its_tokens(encoder):
    embedder = plugins.create("embedders", "onnx", model=str(encoder))
    check_embedder(embedder, [f"my card is {word}" for word in (*MEANS, "the")] + ["where is the money"])
    lost, stolen, cash = embedder.embed(["my card is lost", "my card is stolen", "my card is cash"])
    assert lost @ stolen > 0.99 > lost @ cash
    np.testing.assert_allclose(embedder.embed(["lost", "where is my lost card the money"])[0], np.eye(8)[0], atol=1e-6)
    assert embedder.embed([]).shape[0] == 0


@pytest.mark.parametrize("limit", [5000, 5], ids=["kernel", "linear"])
def test_a_text_trainer_knows_what_its_encoder_knows(encoder, limit, monkeypatch, tmp_path):
    """Words that were never taught are understood, alone or joined with n-grams, and after a load as well."""
    monkeypatch.setattr(text, "EXACT", limit)
    for share in (1.0, 0.7):
        embedder = plugins.create("embedders", "onnx", model=str(encoder))
        trainer = text.make_trainer(embedder=embedder, share=share)
        model = trainer.fit(taught())
        asked = ["stolen", "gone", "cash", "balance"]
        assert model.predict(asked).outputs == ["card", "card", "cash", "cash"]
        trainer.save(model, tmp_path / f"{share}")
        np.testing.assert_array_equal(
            trainer.load(tmp_path / f"{share}").predict(asked).confidence, model.predict(asked).confidence
        )
    with pytest.raises(InvalidConfig, match=r"train\.embedder"):
        text.make_trainer().load(tmp_path / "1.0")
    with pytest.raises(InvalidConfig, match="share is 0"):
        text.make_trainer(embedder=embedder, share=0)


def test_it_keeps_the_contract_of_a_trainer(encoder):
    examples = taught().examples
    trainer = text.make_trainer(embedder=plugins.create("embedders", "onnx", model=str(encoder)))
    check_trainer(trainer, [e.input for e in examples], [e.label for e in examples])


def test_the_settings_name_it_and_its_folder(encoder, tmp_path):
    (tmp_path / "mini").symlink_to(encoder)
    parts = Parts(tmp_path, config.load(tmp_path, train={"embedder": "onnx:mini", "outside": "none"}))
    trainer = parts._trainer("text")
    assert trainer.outside == "none"
    assert trainer.blank.embedder is parts._trainer("text").blank.embedder
    assert trainer.fit(taught()).predict(["stolen"]).outputs == ["card"]
    assert parts._trainer("tabular").name == "tabular"


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    with pytest.raises(InvalidConfig, match="needs a folder"):
        plugins.create("embedders", "onnx")
    with pytest.raises(NotFound, match=r"tokenizer\.json"):
        plugins.create("embedders", "onnx", model=str(tmp_path))
    with pytest.raises(InvalidConfig, match="hub:NAME"):
        plugins.create("embedders", "sentence-transformers")
    with pytest.raises(NotFound, match="nothing is downloaded unasked"):
        plugins.create("embedders", "sentence-transformers", model=str(tmp_path / "none"))
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'dataflywheel\[sentence-transformers\]'"):
        plugins.create("embedders", "sentence-transformers", model=str(tmp_path))


def test_sentence_transformers_are_asked_for_local_files_only(tmp_path, monkeypatch):
    """The library itself is not at hand here: what it is called with, and what becomes of its vectors."""
    asked = []

    class Model:
        def __init__(self, name, **options):
            asked.append((name, options["local_files_only"], options["trust_remote_code"]))

        def encode(self, texts, **options):
            return np.array([[len(text), 1.0] for text in texts])

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Model))
    embedder = plugins.create("embedders", "sentence-transformers", model=str(tmp_path))
    plugins.create("embedders", "sentence-transformers", model="hub:mini")
    assert asked == [(str(tmp_path), True, False), ("mini", False, False)]
    np.testing.assert_allclose(np.linalg.norm(embedder.embed(["a", "bcd"]), axis=1), 1, atol=1e-6)


def test_texts_are_embedded_once_and_forgotten_in_order():
    class Counting:
        name = "counting"

        def __init__(self):
            self.asked = []

        def embed(self, inputs):
            self.asked += inputs
            return np.array([[len(text), 1.0] for text in inputs])

    inner = Counting()
    embedder = Remembered(inner, most=2)
    embedder.embed(["a", "b", "a"])
    embedder.embed(["a", "c"])
    embedder.embed(["b", "a"])
    assert inner.asked == ["a", "b", "c", "b"]
    inner.embed = lambda inputs: np.zeros(3)
    with pytest.raises(InvalidConfig, match="check_embedder"):
        embedder.embed(["new"])
