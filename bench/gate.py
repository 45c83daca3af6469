"""What does the gate let through? Sabotage, luck, and real improvements of several sizes.

Every trial plays one spin on scikit-learn's digits: a champion learns from 150 labels, 900 more digits arrive as
traffic, users complain about 40 % of the wrong reads and 3 % of the right ones, and 40 labels are asked for: 8 at
random, 32 where the champion looked most wrong. So the new labels carry the selection that a real spin has. Then the
gate judges:

- luck         the champion's own learner with another seed, which ignores the new labels; "any of five looks" gathers
               40 labels a spin for five spins and asks the gate each time, as a flywheel does whose champion stays
- sabotage     a real candidate with its labels shuffled, with one class dropped, and one that takes 3 ms more an input
- "after gains" tells the gate that three releases before gained five points each (error two), which a lucky or a
               sabotaged candidate may hide behind
- "asked apart" asks six more labels where candidate and champion differ on the traffic, and tells the gate what they
               say (`[gate] disagreements`), behind the same three gains
- improvement  a real candidate that learns the 40 labels, where the champion had never seen 0, 1, 2 or 3 digits

Each is judged with the placebo and, for comparison, by McNemar's test against the champion alone in its place. Rows go
to gate.csv, the table to standard output, the summary to gate.json. `python bench/gate.py --trials 200`
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from flywheel.config import GateSettings
from flywheel.prove import agreement, answers, compare_latency, crossfit, gate, pairs, placebo
from flywheel.prove.apart import Apart
from flywheel.prove.exact import proportion, sign_test
from flywheel.prove.folds import crossfit_fresh
from flywheel.prove.history import no_gain
from flywheel.prove.tasks import Classification
from flywheel.records import Dataset, Example
from flywheel.train.vector import VectorTrainer

GAINED = ((0.05, 0.02),) * 3
RELEASED = tuple(no_gain(*gained, GAINED[:before]) for before, gained in enumerate(GAINED))
SEEDS, TRAFFIC, AUDIT, AIMED, FOLDS, APART = 150, 900, 8, 32, 5, 6
LANDMARKS = 64  # fewer than the examples, so that the seed matters: it draws the basis
TASK, SETTINGS = Classification(), GateSettings()
DIGITS = load_digits()


class Shuffled(VectorTrainer):
    """Learns from shuffled labels."""

    def fit(self, dataset, base=None, seed=0):  # noqa: D102
        labels = np.random.default_rng(seed).permutation([e.label for e in dataset.examples]).tolist()
        mixed = tuple(replace(e, label=label) for e, label in zip(dataset.examples, labels, strict=True))
        return super().fit(replace(dataset, examples=mixed), base, seed)


class Dropped(VectorTrainer):
    """Loses every example of one class, one that the champion knows."""

    lost = 0

    def fit(self, dataset, base=None, seed=0):  # noqa: D102
        return super().fit(
            replace(dataset, examples=tuple(e for e in dataset.examples if e.label != self.lost)), base, seed
        )


class Deaf(VectorTrainer):
    """Ignores the new labels: the champion's learner, with whatever seed it is given."""

    def fit(self, dataset, base=None, seed=0):  # noqa: D102
        return super().fit(replace(dataset, examples=tuple(e for e in dataset.examples if e.spin == 0)), base, seed)


class SlowModel:
    """Takes three milliseconds more for every input."""

    def __init__(self, model):
        self.model = model

    def predict(self, inputs):  # noqa: D102
        time.sleep(0.003 * len(inputs))
        return self.model.predict(inputs)


class Slow(VectorTrainer):
    """Makes slow models."""

    def fit(self, dataset, base=None, seed=0):  # noqa: D102
        return SlowModel(super().fit(dataset, base, seed))


def example(row: int, spin: int, **more) -> Example:
    name = f"digit-{row}"
    return Example(
        id=name, input=DIGITS.data[row].tolist(), label=int(DIGITS.target[row]), group=name, fold=row % FOLDS,
        spin=spin, **more,
    )  # fmt: skip


def dataset(examples) -> Dataset:
    return Dataset(hash=f"{len(examples)}", examples=tuple(examples))


class World:
    """A champion, its traffic, and the labels that were asked for because it looked wrong."""

    def __init__(self, seed: int, unseen: int, looks: int = 1) -> None:
        rng = np.random.default_rng([seed, unseen])
        order = rng.permutation(len(DIGITS.target))
        hidden = set(rng.permutation(10)[:unseen].tolist())
        known = [int(r) for r in order if DIGITS.target[r] not in hidden][:SEEDS]
        rest = [int(r) for r in order if int(r) not in set(known)]
        self.traffic, self.sealed = rest[:TRAFFIC], rest[TRAFFIC:]
        traffic = self.traffic
        self.learner, self.seed = VectorTrainer(landmarks=LANDMARKS), 1000 * seed
        self.old = [example(r, 0) for r in known]
        self.champion = self.learner.fit(dataset(self.old), None, self.seed)
        self.suite_answers = crossfit(self.learner, dataset(self.old), seed=self.seed, folds=FOLDS)
        self.batches = [self.ask(traffic[look::looks], rng, look + 1) for look in range(looks)]
        self.gather(self.batches[0])

    def ask(self, rows: list[int], rng, spin: int) -> list[Example]:
        """Choose the labels of one spin."""
        said = self.champion.predict([DIGITS.data[r].tolist() for r in rows])
        wrong = np.array(said.outputs) != DIGITS.target[rows]
        complained = rng.random(len(rows)) < np.where(wrong, 0.4, 0.03)
        doubt = 1 - said.confidence + 0.5 * complained
        audit = set(rng.choice(len(rows), AUDIT, replace=False).tolist())
        doubtful = np.argsort(-doubt, kind="stable").tolist()
        aimed = [i for i in doubtful if i not in audit][:AIMED]
        certain, drawn = set(doubtful[:AIMED]), AUDIT / len(rows)
        return [
            example(rows[i], spin, audit=i in audit, propensity=1.0 if i in certain or i not in audit else drawn)
            for i in [*sorted(audit), *aimed]
        ]

    def gather(self, fresh: list[Example], again: int = 0) -> None:
        """Take these as the fresh labels; `again` moves on the seeds of candidate and placebo."""
        self.fresh, self.again = fresh, 10 * again
        self.champion_answers = self.suite_answers | answers(self.champion, fresh)
        self.everything = dataset(self.old + fresh)
        self.control = placebo(self.learner, dataset(self.old), fresh, seed=self.seed + self.again + 2)

    def accuracy(self, model) -> float:  # noqa: D102
        said = model.predict([DIGITS.data[r].tolist() for r in self.sealed]).outputs
        return float(np.mean(np.array(said) == DIGITS.target[self.sealed]))

    def apart(self, final) -> Apart:
        """What six labels say where a candidate and the champion differ on traffic that has no label."""
        labelled = {e.id for e in self.fresh}
        rows = [r for r in self.traffic if f"digit-{r}" not in labelled]
        inputs = [DIGITS.data[r].tolist() for r in rows]
        both = zip(rows, self.champion.predict(inputs).outputs, final.predict(inputs).outputs, strict=True)
        votes = [int(new == DIGITS.target[r]) - int(old == DIGITS.target[r]) for r, old, new in both if old != new]
        drawn = np.random.default_rng([self.seed, self.again]).permutation(votes)[:APART]
        return Apart(len(votes), len(rows), tuple(int(vote) for vote in drawn))

    def judge(self, arm: str, trainer, *, look: int = 1, earlier=(), released=(), apart_before=None) -> dict:  # noqa: D102
        seed = self.seed + self.again + 1
        final = trainer.fit(self.everything, None, seed)
        candidate = crossfit(trainer, self.everything, seed=seed, folds=FOLDS)
        fresh = {e.id for e in self.fresh}
        lined = pairs(
            self.everything.examples, task=TASK, fresh=fresh, champion=self.champion_answers,
            candidate=candidate | crossfit_fresh(trainer, self.everything, fresh, seed=seed, folds=FOLDS),
            placebo=self.control,
        )  # fmt: skip
        batch = [DIGITS.data[r].tolist() for r in self.sealed[:64]]
        asked = {} if apart_before is None else {"apart": self.apart(final), "apart_before": apart_before}
        verdict = gate(
            lined, settings=SETTINGS, look=look, earlier=earlier, released=released, **asked,
            latency=compare_latency(self.champion, final, batch),
            agreement=agreement(final, self.everything, candidate, TASK),
        )  # fmt: skip
        checks = {check.name: check for check in verdict.checks}
        rest = {name: check for name, check in checks.items() if name != "superiority"}
        alone = sign_test(checks["champion"].values["wins"], checks["champion"].values["losses"])
        return {
            "arm": arm, "decision": verdict.decision, "promoted": verdict.decision == "promote",
            "promoted_without_placebo": alone <= 0.03 and all(c.outcome == "pass" for n, c in rest.items()),
            "p_champion": alone, "p_placebo": checks["superiority"].values["p"],
            "no_gain": round(checks["superiority"].values["no_gain"], 4),
            "spin_gain": checks["superiority"].values["spin_gain"],
            "spin_error": checks["superiority"].values["spin_error"],
            "apart_gain": checks["disagreements"].values["gain"] if asked else None,
            "apart_error": checks["disagreements"].values["error"] if asked else None,
            "fixed": verdict.fixed, "failures": verdict.failures, "broke": verdict.broke, "kept": verdict.kept,
            "traffic_at_least": round(checks["traffic"].values.get("low", 0.0), 4),
            "need": verdict.need, "unsure": named(checks, "unsure"), "failed": named(checks, "fail"),
            "accuracy_before": round(self.accuracy(self.champion), 4), "accuracy_after": round(self.accuracy(final), 4),
        }  # fmt: skip


def five_looks(seed: int, apart: bool) -> dict:
    """Luck with five tries: a fifth of the traffic a spin, all fresh labels so far, another seed each time; the gate
    is told what earlier spins gained, as in a flywheel."""
    world, row, earlier, before = World(seed, 0, looks=5), {}, [], []
    name = "luck, any of five looks" + (", asked apart" if apart else "")
    for look in range(1, 6):
        world.gather([e for batch in world.batches[:look] for e in batch], again=look)
        row = world.judge(
            name, Deaf(landmarks=LANDMARKS), look=look, earlier=tuple(earlier), apart_before=before if apart else None
        )
        earlier.append((row["spin_gain"], row["spin_error"]))
        if row["apart_error"]:
            before.append((row["apart_gain"], row["apart_error"]))
        if row["promoted"]:
            break
    return row


def named(checks: dict, outcome: str) -> str:
    return " ".join(name.replace(" ", "-") for name, check in checks.items() if check.outcome == outcome)


def trial(seed: int) -> list[dict]:
    plain, shifted = World(seed, 0), World(seed, 2)
    own = {"landmarks": LANDMARKS}
    dropped = Dropped(**own)
    dropped.lost = shifted.old[0].label
    behind = {"earlier": GAINED, "released": RELEASED, "apart_before": GAINED}
    rows = [
        plain.judge("luck", Deaf(**own)),
        shifted.judge("luck, two digits unseen", Deaf(**own)),
        plain.judge("luck, after gains", Deaf(**own), earlier=GAINED, released=RELEASED),
        shifted.judge("sabotage, shuffled labels", Shuffled(**own)),
        shifted.judge("sabotage, shuffled, after gains", Shuffled(**own), earlier=GAINED, released=RELEASED),
        shifted.judge("sabotage, class dropped", dropped),
        shifted.judge("sabotage, 3 ms slower", Slow(**own)),
        plain.judge("improvement, 0 digits unseen", VectorTrainer(**own)),
        World(seed, 1).judge("improvement, 1 digit unseen", VectorTrainer(**own)),
        shifted.judge("improvement, 2 digits unseen", VectorTrainer(**own)),
        five_looks(seed, False),
        five_looks(seed, True),
        plain.judge("luck, after gains, asked apart", Deaf(**own), **behind),
        shifted.judge("sabotage, shuffled, asked apart", Shuffled(**own), **behind),
        shifted.judge("sabotage, class dropped, asked apart", dropped, **behind),
        plain.judge("improvement, 0 unseen, asked apart", VectorTrainer(**own), **behind),
        World(seed, 1).judge("improvement, 1 unseen, asked apart", VectorTrainer(**own), **behind),
        World(seed, 3).judge("improvement, 3 digits unseen", VectorTrainer(**own)),
    ]
    return [{"seed": seed, **row} for row in rows]


def summary(rows: list[dict]) -> list[dict]:
    table = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        promoted = sum(row["promoted"] for row in own)
        low, high = proportion(promoted, len(own), 0.025)
        gains = np.array([row["accuracy_after"] - row["accuracy_before"] for row in own])
        table.append({
            "arm": arm, "trials": len(own), "promoted": promoted, "share": promoted / len(own),
            "low": low, "high": high,
            "without_placebo": sum(row["promoted_without_placebo"] for row in own),
            "superior_by_mcnemar_alone": sum(row["p_champion"] <= 0.05 for row in own),
            "rejected": sum(row["decision"] == "reject" for row in own),
            "mean_gain": float(gains.mean()),
            "harmful_promotions": int(sum(row["promoted"] and gain < 0 for row, gain in zip(own, gains, strict=True))),
        })  # fmt: skip
    return table


def show(table: list[dict]) -> None:
    heads = f"{'candidate':38}{'true gain':>10}{'promoted':>12}{'95 % interval':>18}"
    print(f"{heads}{'no placebo':>12}{'McNemar':>9}{'harmful':>9}")
    for line in table:
        interval = f"{line['low']:.1%} to {line['high']:.1%}"
        print(
            f"{line['arm']:38}{line['mean_gain']:>+10.1%}{line['promoted']:>5} ({line['share']:>4.0%}){interval:>19}"
            f"{line['without_placebo']:>12}{line['superior_by_mcnemar_alone']:>9}{line['harmful_promotions']:>9}"
        )
    print("true gain: accuracy on sealed digits. no placebo: promoted if McNemar against the champion stood in for it.")
    print("McNemar: candidate against champion alone has p <= 0.05. harmful: promoted, and sealed accuracy fell.")


def commit() -> str:
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    start = time.perf_counter()
    with ProcessPoolExecutor(given.workers) as workers:
        rows = [row for found in workers.map(trial, range(given.seed, given.seed + given.trials)) for row in found]
    table = summary(rows)
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "gate.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    seconds = time.perf_counter() - start
    by_arm = {line["arm"]: line for line in table}
    tries, hidden = by_arm["luck, any of five looks"], by_arm["luck, after gains"]
    luck = [by_arm["luck"], by_arm["luck, two digits unseen"]]
    sabotage = [line for line in table if line["arm"].startswith("sabotage")]
    holds = all(line["share"] <= 0.05 for line in luck) and not any(line["promoted"] for line in sabotage)
    facts = {
        "holds": holds, "apart": APART, "five_looks_share": tries["share"], "after_gains_share": hidden["share"],
        "five_looks_apart_share": by_arm["luck, any of five looks, asked apart"]["share"],
        "after_gains_apart_share": by_arm["luck, after gains, asked apart"]["share"],
        "trials": given.trials, "seed": given.seed, "seconds": round(seconds, 1), "commit": commit(),
        "machine": {"python": platform.python_version(), "system": platform.machine(), "cores": os.cpu_count()},
        "arms": table,
    }  # fmt: skip
    (given.out / "gate.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    show(table)
    word = "holds" if holds else "DOES NOT HOLD"
    print(f"{word}: one verdict promotes luck in at most 5 % of trials, and sabotage never. {seconds:.0f} s")
    side = "within" if tries["share"] <= SETTINGS.alpha else "ABOVE"
    print(f"Behind three spins that gained, luck passes in {hidden['share']:.1%}.")
    print(f"Over five looks at one champion luck passes in {tries['share']:.1%}, {side} alpha = {SETTINGS.alpha:.0%}.")
    print(
        f"With {APART} labels on disagreements it passes in {facts['after_gains_apart_share']:.1%} behind gains, in "
        f"{facts['five_looks_apart_share']:.1%} over five looks: what they let through alpha does not limit."
    )
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
