"""What you can bring yourself: the contracts a plugin fulfils.

Each port has at most six methods, at least two implementations that ship with Flywheel, and a conformance check in
`flywheel.testing` that you can run against yours. A plugin is found by name: either through an entry point of your
package (group `flywheel.trainers`, `flywheel.tasks` …, see `flywheel.plugins`) or through `module:callable` in
`flywheel.toml`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from flywheel.records import Dataset, Release, ReviewItem

__all__ = [
    "Detector",
    "Embedder",
    "Labeler",
    "Model",
    "Predictions",
    "Redactor",
    "Registry",
    "Sentiment",
    "Sink",
    "Source",
    "Task",
    "Trainer",
]


@dataclass(frozen=True, slots=True)
class Predictions:
    """A model's answers to a batch of n inputs.

    `outputs` has n entries, any JSON. `confidence` (n floats, 0 to 1) and `scores` (n × len(labels)) are None where the
    model has none.
    """

    outputs: list[Any]
    confidence: np.ndarray[Any, Any] | None = None
    labels: tuple[Any, ...] = ()
    scores: np.ndarray[Any, Any] | None = None


@runtime_checkable
class Task(Protocol):
    """What is right: how an output is held against the truth."""

    name: str

    def correct(self, output: Any, truth: Any) -> bool:
        """Is this output right?"""
        ...

    def score(self, output: Any, truth: Any) -> float:
        """How right, 0 to 1 (exact match, token F1, NDCG, closeness)."""
        ...

    def severity(self, output: Any, truth: Any) -> float:
        """How bad is this wrong output, 0 to 1."""
        ...


@runtime_checkable
class Model(Protocol):
    """Anything that answers."""

    def predict(self, inputs: Sequence[Any]) -> Predictions:
        """Answer a batch; the same inputs always get the same answers."""
        ...


@runtime_checkable
class Trainer(Protocol):
    """Makes models, and keeps them without pickle.

    A trainer that can do it cheaper than by training again may also have

    - `crossfit(dataset, turns, *, seed=0) -> list[Predictions] | None`: each turn is `(left out, asked)`, a set of
      example ids and a sequence of examples. The answer to a turn is what
      `fit(dataset without the examples left out, None, seed).predict([e.input for e in asked])` would say: near enough
      that hardly an output differs, and without anything that the labels of the examples left out could tell, in
      confidence as well. Examples asked about may be among those left out, or not be in the dataset at all; turns may
      overlap. None, always or for this dataset: train for each turn instead.
    """

    name: str

    def fit(self, dataset: Dataset, base: Model | None = None, seed: int = 0) -> Model:
        """Learn from a dataset, warm from `base` where the trainer can; the same arguments give the same model."""
        ...

    def save(self, model: Model, folder: Path) -> None:
        """Write the model's files into an empty folder."""
        ...

    def load(self, folder: Path) -> Model:
        """Bring back what `save` wrote, trusting no types beyond the trainer's own list."""
        ...


@runtime_checkable
class Detector(Protocol):
    """Evidence of failure: one column of evidence strength per interaction, as an Ibis expression."""

    name: str

    def evidence(self, interactions: Any, feedback: Any) -> Any:
        """Return an Ibis table `(id string, strength float64 0..1, detail string)` of the interactions that show it."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns inputs into vectors in which near means alike."""

    name: str

    def embed(self, inputs: Sequence[Any]) -> np.ndarray[Any, Any]:
        """n inputs to an n × d float array."""
        ...


@runtime_checkable
class Sentiment(Protocol):
    """Says how people feel by what they wrote."""

    name: str

    def score(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """n texts to n floats, -1 (bad) to 1 (good)."""
        ...


@runtime_checkable
class Labeler(Protocol):
    """Answers review items: people, a function, delayed ground truth."""

    name: str

    def label(self, items: Sequence[ReviewItem]) -> Iterator[tuple[str, Any, str]]:
        """Yield `(item id, label, by)` for the items it can answer now; the rest keep waiting."""
        ...


@runtime_checkable
class Redactor(Protocol):
    """Removes personal data from a payload before the first byte is written."""

    name: str

    def redact(self, value: Any) -> tuple[Any, dict[str, int]]:
        """Return the value without it, and how many of each kind were removed."""
        ...


@runtime_checkable
class Source(Protocol):
    """A way in: yields records of an existing log, as plain dicts with `kind` `interaction` or `feedback`.

    What cannot be read is yielded as `{"kind": "unreadable", "place": …, "problem": …}`, so that the rest goes on.
    Records should have an `id` of their own where the log gives them one. A source may have more, which an import uses:

    - `columns(location) -> list[str]`: the columns, from which the mapping is guessed and shown;
    - `maps: dict[str, str]` instead, where it knows what its fields mean: field → where it is from, for people;
    - `settings: tuple[str, ...]`: names that may stand in the mapping or after the location (`?spans=all`);
    - `recognises(rows) -> str | None`: why these rows, the first of a file, are its own;
    - `done: float`: the share that has been read, 0 to 1; `passed: int`: rows that were neither;
    - `cursor: str | None`: where reading can go on after the record that was yielded last, without a word of the log in
      it; then `read` takes `after: str | None`, such a cursor, and yields what comes after it.
    """

    name: str

    def read(self, location: str, mapping: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the records of `location` in order."""
        ...


@runtime_checkable
class Sink(Protocol):
    """A way out: writes rows to a file or a service."""

    name: str

    def write(self, rows: Iterable[dict[str, Any]], location: str) -> int:
        """Write the rows, all or nothing; return how many."""
        ...


@runtime_checkable
class Registry(Protocol):
    """Keeps the versions of a model and says which is `champion` and which `challenger`."""

    name: str

    def register(self, version: str, folder: Path, tags: dict[str, str]) -> None:
        """Make a version known; doing it twice is doing it once."""
        ...

    def alias(self, alias: str, version: str | None) -> None:
        """Point an alias at a version, or remove it with None."""
        ...

    def resolve(self, alias: str) -> str | None:
        """The version an alias points at."""
        ...

    def versions(self) -> list[str]:
        """Every registered version, oldest first."""
        ...


Progress = Callable[[str, float], None]
"""Called with a step's name and the share of it that is done, 0 to 1."""

Releases = Sequence["Release"]
