"""The flywheel as an arm: the product itself, by its public names, in a folder of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from flywheelbench.compute import CapSpent
from flywheelbench.world import Request, World

import flywheel
from flywheel.ports import Model
from flywheel.records import ReviewItem, Spin

__all__ = ["ABLATIONS", "WAYS", "Product"]

LOOKS = ("levels", "monitor")
"""The sides from which a spin looks at its window here. The others report and decide nothing; what they cost is
measured apart (`--all-looks`)."""

WAYS: dict[str, dict[str, Any]] = {
    "flywheel": {"curate": {"rounds": 3}, "gate": {"disagreements": 0.15}},
    "flywheel in one round": {},
}
"""Arm → the settings that it has beside the defaults. People answer at once here, so asking four times a spin costs
nobody a day; in one round it is the product as it is installed."""

ABLATIONS: dict[str, dict[str, Any]] = {
    "rounds": {"curate": {"rounds": 1}},
    "disagreements": {"gate": {"disagreements": 0.0}},
    "gate": {},  # every candidate is promoted, whatever the verdict
    "novelty mining": {"mine": {"novelty": False}},
    "label-noise guard": {"curate": {"label_noise": False}},
    "slices": {"product": {"protected": ()}},
    "replay buffer": {},  # max_examples is one budget: only the newest labels are kept
    "augmentation": {"mine": {"augment": False}},
    "corrections by users": {"curate": {"corrections": False}},
    "learned split": {"curate": {"learned_split": False}},
    "causes in the budget": {"curate": {"follow_causes": False}},
}
"""Name of the part → the settings that take it out."""


@dataclass
class Product:
    """One run of the product over a world's spins."""

    world: World
    budget: int
    seed: int
    arm: str = "flywheel"
    """A name of `WAYS`, or one followed by ` without ` and a name of `ABLATIONS`."""
    label: Callable[[Request, int], Any] = field(repr=False, default=lambda request, times: request.truth)
    """What a person answers when asked about a request for the nth time."""
    parts: tuple[str, ...] = field(default_factory=lambda: LOOKS)
    asked: list[str] = field(default_factory=list)
    """Every label that was paid for: the id of its request."""

    def __post_init__(self) -> None:
        self.way, _, without = self.arm.partition(" without ")
        self.without = without or None
        self.folder = Path(tempfile.mkdtemp(prefix="flywheelbench-"))
        self._by_id = {request.id: request for spin in self.world.spins for request in spin}
        self._times: dict[str, int] = {}
        first = self.world.spins[0][0].at
        self.fw = flywheel.open(self.folder, task="classification", **self._settings())
        self.fw.seed(self.world.seed_inputs, self.world.seed_labels, at=first - timedelta(days=2))
        opening = self.fw.spin(budget=0, at=first - timedelta(days=1), seed=self.seed)
        if self.fw._releases.champion() is None and opening.candidate:
            # Every arm begins with the seed model, also where it is no better than always giving the commonest answer.
            known = self.fw._store.state.candidate(opening.candidate)
            assert known is not None
            self.fw._releases.promote(known[0], first - timedelta(days=1))
        self.candidates: list[tuple[Model, Model, bool]] = []
        """Champion, candidate, promoted: one for each spin that trained."""

    def _settings(self) -> dict[str, Any]:
        chosen: dict[str, dict[str, Any]] = {
            "product": {"protected": tuple(self.world.protected)},
            "observe": {"parts": self.parts},
            "detect": {"detectors": ("retried",)},  # users of these products try again, and the products log it
            "privacy": {"redactor": "none"},  # the data are public; what redaction costs is another benchmark's
        }
        more = {"curate": {"max_examples": max(self.budget, 1)}} if self.without == "replay buffer" else {}
        for settings in (WAYS[self.way], ABLATIONS.get(self.without or "", {}), more):
            for room, values in settings.items():
                chosen[room] = {**chosen.get(room, {}), **values}
        return chosen

    def close(self) -> None:
        """Close the folder and remove it."""
        self.fw.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def champion(self) -> Model:
        """The model in production."""
        release = self.fw._releases.champion()
        assert release is not None
        model: Model = self.fw._load_model(release)
        return model

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """The product answers, and logs, a spin's traffic."""
        said = self.fw.predict(
            [request.input for request in requests],
            users=[request.user for request in requests],
            contexts=[dict(request.context) for request in requests],
            at=[request.at for request in requests],
            ids=[request.id for request in requests],
        )
        return [one.output for one in said]

    def hear(self, feedback: Sequence[Mapping[str, Any]]) -> None:
        """Log what users said."""
        if feedback:
            self.fw.feedback_many(feedback)

    def spin(self, end: Any, known: Callable[[Request], bool]) -> Spin:
        """Finish what waits, then turn once more. `known` says whether the truth of a request can be told by now.

        A spin whose training used up its cap stays where it is, as if the process had been stopped, and waits.
        """

        def person(item: ReviewItem) -> Any:
            request = self._by_id.get(item.interaction_id)
            if request is None:  # a second look at a seed example
                self.asked.append("seed")
                return self._seed_label(item)
            if not known(request):
                return None
            times = self._times.get(request.id, 0)
            self._times[request.id] = times + 1
            self.asked.append(request.id)
            return self.label(request, times)

        spins = self.fw.spins()
        try:
            if spins and spins[-1].state != "done":
                self._turn(end, person)
            return self._turn(end, person)
        except CapSpent:
            return self.fw.spins()[-1]

    def _seed_label(self, item: ReviewItem) -> Any:
        for value, label in zip(self.world.seed_inputs, self.world.seed_labels, strict=True):
            if value == item.input:
                return label
        return None

    def _turn(self, end: Any, person: Callable[[ReviewItem], Any]) -> Spin:
        before = self.fw._releases.champion()
        old = self.champion()
        spin = self.fw.spin(budget=self.budget, at=end, seed=self.seed, labeler=person)
        if spin.state == "done" and spin.candidate:
            known = self.fw._store.state.candidate(spin.candidate)
            assert known is not None
            assert before is not None
            trainer = self.fw._trainer(known[0].trainer)
            new = trainer.load(self.fw.folder / known[0].folder)
            after = self.fw._releases.champion()
            promoted = after is not None and after.version == spin.candidate
            if self.without == "gate" and not promoted:
                self.fw._releases.promote(known[0], end)
                promoted = True
            self.candidates.append((old, new, promoted))
        return spin
