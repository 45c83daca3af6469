"""`flywheel demo`: three post offices read the same letters; one of them learns from what it gets wrong.

All three start from the same 100 labels and the same learner. *Frozen* never learns again. *Random labels* asks for 40
labels a day at random and retrains. *Flywheel* runs the product: it has the same 40 labels a day, decides itself which
to ask for, and ships a new model only when the gate promotes it. Every figure comes from the run.
"""

from __future__ import annotations

import json as json_text
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

import flywheel
from flywheel import plugins
from flywheel.demo.post_office import Day, PostOffice, complains
from flywheel.errors import InvalidConfig
from flywheel.records import Dataset, Example, Mode, ReviewItem, Spin

__all__ = ["LABELS_A_SPIN", "main", "run"]

LABELS_A_SPIN = 40


class _RandomLane:
    """What a team does without a loop: label at random, retrain on everything, ship without asking."""

    def __init__(self, office: PostOffice, seed: int) -> None:
        self.trainer = plugins.create("trainers", "vector")
        self.seed = seed
        self.rng = np.random.default_rng([seed, 1])
        self.examples = _examples(office.seed_inputs, office.seed_labels, 0)
        self.labels = 0
        self.retrain()

    def retrain(self) -> None:
        dataset = Dataset(hash="", examples=tuple(self.examples))
        self.model = self.trainer.fit(dataset, seed=self.seed)

    def spin(self, day: Day) -> None:
        drawn = self.rng.choice(len(day.reads), LABELS_A_SPIN, replace=False)
        reads = [day.reads[i] for i in drawn]
        self.examples += _examples([r.pixels for r in reads], [r.digit for r in reads], day.number)
        self.labels += len(reads)
        self.retrain()


def _examples(inputs: Sequence[Any], labels: Sequence[int], spin: int) -> list[Example]:
    return [
        Example(id=f"{spin}-{i}", input=x, label=y, group=f"{spin}-{i}", fold=i % 5, spin=spin)
        for i, (x, y) in enumerate(zip(inputs, labels, strict=True))
    ]


@dataclass(slots=True)
class Moment:
    """What there is to show after one spin."""

    spin: Spin
    modes: list[Mode]
    accuracy: dict[str, float]
    complaints: int
    reads: int
    total: int


def _accuracy(answers: Sequence[Any], truth: Sequence[int]) -> float:
    return float(np.mean([a == t for a, t in zip(answers, truth, strict=True)]))


def run(
    folder: Path, *, spins: int = 6, seed: int = 0, show: Callable[[PostOffice | Moment], None] | None = None
) -> dict[str, Any]:
    """Run the three lanes in `folder` and return the object that `--json` prints; `show` is told of every spin."""
    started = time.perf_counter()
    if (folder / "flywheel.toml").exists():
        raise InvalidConfig(f"{folder} holds a flywheel already; the demo starts from nothing, so name an empty folder")
    office = PostOffice(spins, seed)
    if show:
        show(office)
    random_lane = _RandomLane(office, seed)
    history: list[dict[str, Any]] = []
    with flywheel.open(folder, task="classification", product={"name": "post office", "protected": ["scanner"]}) as fw:
        fw.seed(office.seed_inputs, office.seed_labels, at=office.opening)
        fw.spin(budget=0, at=office.opening, seed=seed)
        frozen = _accuracy([p.output for p in fw.predict(office.sealed_inputs, log=False)], office.sealed_labels)
        accuracy = {"frozen": frozen, "random": frozen, "flywheel": frozen}
        late: list[tuple[Any, str]] = []
        truth = {tuple(x): y for x, y in zip(office.seed_inputs, office.seed_labels, strict=True)}

        def reader(item: ReviewItem) -> int | None:
            return truth.get(tuple(item.input))

        for day in office.days:
            late, heard = _open_office(fw, day, late)
            truth.update((tuple(read.pixels), read.digit) for read in day.reads)
            spin = fw.spin(budget=LABELS_A_SPIN, at=day.end, seed=seed, labeler=reader)
            random_lane.spin(day)
            accuracy = {
                "frozen": frozen,
                "random": _accuracy(random_lane.model.predict(office.sealed_inputs).outputs, office.sealed_labels),
                "flywheel": _accuracy(
                    [p.output for p in fw.predict(office.sealed_inputs, log=False)], office.sealed_labels
                ),
            }
            modes = fw.modes()
            history.append(_line(spin, modes, accuracy))
            if show:
                show(Moment(spin, modes, accuracy, heard, len(day.reads), spins))
        uplift = fw.uplift()
    return {
        "seed": seed,
        "accuracy": accuracy,
        "labels": {"random": random_lane.labels, "flywheel": sum(line["labels"] for line in history)},
        "spins": history,
        "uplift": {"estimate": uplift.estimate, "low": uplift.low, "high": uplift.high},
        "seconds": round(time.perf_counter() - started, 1),
    }


def _open_office(fw: flywheel.Flywheel, day: Day, late: list[tuple[Any, str]]) -> tuple[list[tuple[Any, str]], int]:
    """Read a day's letters with the champion, and hear the complaints that arrive before the evening."""
    answers = fw.predict(
        [read.pixels for read in day.reads],
        users=[read.user for read in day.reads],
        contexts=[read.context for read in day.reads],
        at=[read.at for read in day.reads],
        ids=[f"day-{day.number}-letter-{place}" for place in range(len(day.reads))],  # the same letters every time
    )
    late = late + [
        (read, str(answer.id))
        for read, answer in zip(day.reads, answers, strict=True)
        if complains(read, answer.output)
    ]
    heard = [(read, id) for read, id in late if read.at + timedelta(hours=read.delay_hours) <= day.end]
    fw.feedback_many(
        {"interaction_id": id, "rating": -1, "at": read.at + timedelta(hours=read.delay_hours)} for read, id in heard
    )
    return [pair for pair in late if pair not in heard], len(heard)


def _line(spin: Spin, modes: Sequence[Mode], accuracy: dict[str, float]) -> dict[str, Any]:
    verdict = spin.verdict
    return {
        "spin": spin.number,
        "verdict": verdict.decision if verdict else None,
        "labels": spin.labels,
        "modes_open": sum(mode.state != "fixed" for mode in modes),
        "modes_fixed": sum(mode.state == "fixed" for mode in modes),
        "fixed": verdict.fixed if verdict else 0,
        "broke": verdict.broke if verdict else 0,
        "accuracy": accuracy["flywheel"],
    }


def main(spins: int = 6, seed: int = 0, json: bool = False, folder: Path | None = None) -> None:
    """Run the demo as the command line does: in `folder`, or a new one; a person is shown each spin as it happens."""
    place = folder or Path("flywheel-demo")
    if json and folder is None:
        place = Path(tempfile.mkdtemp(prefix="flywheel-demo-"))
    elif place.exists() and (place / "flywheel.toml").exists() and folder is None:
        shutil.rmtree(place)
    if json:
        try:
            print(json_text.dumps(run(place, spins=spins, seed=seed)))
        finally:
            if folder is None:
                shutil.rmtree(place, ignore_errors=True)
        return
    from flywheel.demo.show import Screen

    screen = Screen(place, spins)
    screen.end(run(place, spins=spins, seed=seed, show=screen.show))
