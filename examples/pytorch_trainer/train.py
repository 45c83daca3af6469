"""Your own trainer in PyTorch: a small network for dense vectors.

Put this file beside `flywheel.toml` and name it there:

    [train]
    trainer = "train.py:make_trainer"

A trainer has three methods, `fit`, `save` and `load`, and a name. Weights are kept as plain NumPy arrays, so that
loading a model never runs code from the file. `flywheel.testing.check_trainer` tells whether yours keeps the contract.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flywheel import Dataset, Predictions


class Network:
    """Two layers on standardised inputs; confidence is the softmax of the answer."""

    def __init__(self, weights: dict[str, np.ndarray], labels: list[Any]) -> None:
        self.weights = weights
        self.labels = tuple(labels)

    def predict(self, inputs: Sequence[Any]) -> Predictions:
        """Answer a batch."""
        w = {name: torch.from_numpy(value) for name, value in self.weights.items()}
        raw = np.asarray(inputs, dtype=np.float32).reshape(len(inputs), len(self.weights["mean"]))
        x = (torch.from_numpy(raw) - w["mean"]) / w["scale"]
        hidden = torch.relu(x @ w["first"].T + w["first_bias"])
        scores = torch.softmax(hidden @ w["second"].T + w["second_bias"], dim=1).numpy()
        best = scores.argmax(axis=1)
        return Predictions([self.labels[i] for i in best], scores.max(axis=1), self.labels, scores)


class TorchTrainer:
    """Adam on cross-entropy with the examples' weights; the same dataset and seed give the same network."""

    name = "torch"

    def __init__(self, hidden: int = 64, epochs: int = 150) -> None:
        self.hidden = hidden
        self.epochs = epochs

    def fit(self, dataset: Dataset, base: Any = None, seed: int = 0) -> Network:
        """Learn from the examples."""
        labels = sorted({example.label for example in dataset.examples}, key=str)
        index = {label: position for position, label in enumerate(labels)}
        x = np.asarray([example.input for example in dataset.examples], dtype=np.float32)
        mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-3
        inputs = torch.from_numpy((x - mean) / scale)
        targets = torch.tensor([index[example.label] for example in dataset.examples])
        importance = torch.tensor([example.weight for example in dataset.examples], dtype=torch.float32)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            first, second = torch.nn.Linear(x.shape[1], self.hidden), torch.nn.Linear(self.hidden, len(labels))
        network = torch.nn.Sequential(first, torch.nn.ReLU(), second)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=1e-4)
        loss = torch.nn.CrossEntropyLoss(reduction="none")
        for _ in range(self.epochs):
            optimiser.zero_grad()
            (loss(network(inputs), targets) * importance).mean().backward()
            optimiser.step()
        tensors = {
            "first": first.weight,
            "first_bias": first.bias,
            "second": second.weight,
            "second_bias": second.bias,
        }
        weights = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
        return Network({**weights, "mean": mean, "scale": scale}, labels)

    def save(self, model: Network, folder: Path) -> None:
        """Write the weights and the labels."""
        np.savez(folder / "weights.npz", **model.weights)
        (folder / "labels.json").write_text(json.dumps(list(model.labels)))

    def load(self, folder: Path) -> Network:
        """Bring them back."""
        with np.load(folder / "weights.npz", allow_pickle=False) as stored:
            weights = {name: stored[name] for name in stored.files}
        return Network(weights, json.loads((folder / "labels.json").read_text()))


def make_trainer() -> TorchTrainer:
    """What `flywheel.toml` names."""
    return TorchTrainer()
