"""What the steps of one spin work with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flywheel import curate, diagnose, prove
from flywheel.records import Failure, Release, Spin, from_dict

if TYPE_CHECKING:
    import ibis

    from flywheel.config import Config
    from flywheel.govern import Trail
    from flywheel.ports import Detector, Embedder, Labeler, Model, Progress, Task, Trainer
    from flywheel.prove import Answer, Pair
    from flywheel.records import Dataset, Example
    from flywheel.release import Releases
    from flywheel.store import Snapshot, Store

__all__ = ["RECENT", "Turn", "Workshop", "calibration_before"]

RECENT = 4
"""A window is held against so many spins before it at most."""
_SUSPECTS = 50
"""So many doubtful labels are named at least: the search for causes looks at them too."""


@dataclass(slots=True)
class Workshop:
    """Everything a spin works with, laid out by the wheel: the store, the ports that were chosen, and who listens.

    `on_step` is told `(step, "begin" | "end")` around every step, before anything is stored of it and after all is.
    """

    store: Store
    config: Config
    task: Task
    releases: Releases
    trail: Trail
    trainer_for: Callable[[Sequence[Any]], Trainer]
    load_model: Callable[[Release], Model]
    embedder_for: Callable[[Sequence[Any]], Embedder]
    detectors: Sequence[Detector] = ()
    labelers: Sequence[Labeler] = ()
    progress: Progress | None = None
    on_step: Callable[[str, str], None] | None = None


@dataclass
class Turn:
    """What the steps of one spin share. Everything here can be worked out again from the stored documents."""

    shop: Workshop
    spin: Spin
    at: datetime
    docs: dict[str, dict[str, Any]] = field(default_factory=dict)
    answered: dict[str, dict[str, Answer]] = field(default_factory=dict)
    """Cross-fitted answers that an earlier step of this process has worked out already, by the dataset's hash."""
    trials: float = 0.0
    """Seconds that the step under way has trained by the way: they count as training, not as the step's own."""
    paired: tuple[list[Pair], str] | None = None
    """What the gate has judged, for the receipt."""
    _datasets: dict[str, Dataset | None] = field(default_factory=dict)
    _likeliest: list[float] = field(default_factory=list)

    @cached_property
    def snapshot(self) -> Snapshot:
        """Everything in the tables when the spin began."""
        return self.shop.store.tables.snapshot(upto=self.docs["sync"]["upto"])

    @cached_property
    def window(self) -> Snapshot:
        """What arrived since the spin before."""
        return self.recent.window(self.docs["sync"]["after"], self.docs["sync"]["upto"])

    @cached_property
    def recent(self) -> Snapshot:
        """This window and the few before it that it is held against, with all feedback: many questions are asked of
        them."""
        oldest = self.shop.store.state.step(max(1, self.spin.number - RECENT), "sync") or self.docs["sync"]
        since = min(oldest["after"], self.docs["sync"]["after"])  # a comparison's window may begin earlier
        return self.snapshot.window(since, self.docs["sync"]["upto"]).held()

    @cached_property
    def signs(self) -> ibis.Table:
        """The signs of failure, a row an interaction of the window."""
        return diagnose.signs(self.window, self.shop.config.detect, self.shop.detectors, self.shop.task)

    @cached_property
    def detected(self) -> ibis.Table:
        """The same with the probability that each is a failure."""
        return diagnose.detect(self.signs, self.calibration)

    @cached_property
    def calibration(self) -> diagnose.Calibration | None:
        """What the labels of the spins before this one have taught about the signs of failure."""
        return calibration_before(self.shop, self.spin.number)

    @cached_property
    def pool(self) -> list[Failure]:
        """The failures of the window, and below them the most doubtful cases, so that there is always enough to ask."""
        wanted = max(400, 8 * self.spin.budget)
        limit = min(self.shop.config.diagnose.max_failures, max(wanted, 1000))
        threshold = self.kth_largest(wanted)
        return diagnose.failures(
            self.window,
            self.detected,
            threshold=min(0.5, threshold),
            limit=limit,
            seed=self.spin.seed,
            calibration=self.calibration,
            task=self.shop.task,
        )

    def kth_largest(self, k: int) -> float:
        """The k-th largest probability of failure in the window; 0 when there are fewer."""
        if len(self._likeliest) < k:
            most = max(k, 8 * self.spin.budget, 400)
            top = self.detected.order_by(self.detected.p_failure.desc()).limit(most).select("p_failure")
            self._likeliest = sorted(top.to_pyarrow().column(0).to_pylist(), reverse=True)
        return float(self._likeliest[k - 1]) if len(self._likeliest) >= k else 0.0

    @cached_property
    def examples(self) -> list[Example]:
        """The examples that were there before this spin's own labels, read once; the curate step reads them anew."""
        return self.shop.store.state.examples()

    def dataset(self, hash: str) -> Dataset | None:
        """A dataset, or the version that took its place after an erasure, read once a turn."""
        if hash not in self._datasets:
            self._datasets[hash] = self.shop.store.state.living_dataset(hash)
        return self._datasets[hash]

    @cached_property
    def looked_at(self) -> set[str]:
        """Examples that had their second look in an earlier spin."""
        state = self.shop.store.state
        earlier = (state.step(number, "select") or {} for number in range(1, self.spin.number))
        return {example for doc in earlier for example in doc.get("second_looks", {}).values()}

    @cached_property
    def suspects(self) -> list[str]:
        """Examples whose label the champion, cross-fitted, finds hard to believe, the worst first; each gets one second
        look."""
        if not self.shop.config.curate.label_noise or self.incumbent is None:
            return []
        return curate.suspects(
            self.examples,
            {key: prove.Answer(*answer) for key, answer in self.incumbent_answers.items()},
            limit=max(_SUSPECTS, self.spin.budget),
            regression=self.shop.config.product.task == "regression",
            exclude=self.looked_at,
        )

    @cached_property
    def champion(self) -> Release | None:
        """The model in production now."""
        return self.shop.releases.champion()

    @cached_property
    def incumbent(self) -> Release | None:
        """The champion when the spin began: the release step must not move the yardstick."""
        version = self.docs["sync"]["champion"]
        if version is None:
            return None
        return next((release for release in self.shop.releases.history() if release.version == version), None)

    @cached_property
    def incumbent_model(self) -> Model | None:
        """The champion's model, loaded once a turn."""
        return self.shop.load_model(self.incumbent) if self.incumbent else None

    @cached_property
    def incumbent_answers(self) -> dict[str, list[Any]]:
        """The champion's out-of-fold answers to what it was trained on: example id → output and confidence."""
        known = self.shop.store.state.candidate(self.incumbent.version) if self.incumbent else None
        return dict(known[1]["answers"]) if known else {}

    def embedder(self, inputs: Sequence[Any]) -> Embedder:
        """The embedder that suits these inputs."""
        return self.shop.embedder_for(inputs)


def calibration_before(shop: Workshop, number: int) -> diagnose.Calibration | None:
    """What the spins before this number have learnt about the signs of failure, None where none has."""
    for earlier in range(number - 1, 0, -1):
        doc = shop.store.state.step(earlier, "curate")
        if doc and doc.get("calibration"):
            return from_dict(diagnose.Calibration, doc["calibration"])
    return None
