"""How much should a label weigh? Clipped inverse propensities, and labels that are doubted, measured on three streams.

*Propensities*: each spin 20 labels are drawn evenly and 80 with a chance that grows with the model's doubt; the chance
is kept. The learner is then trained with every label alike, or weighted by 1/propensity clipped to 2, 5 or 10 times the
median and its inverse (`build_dataset(clip=…)`).

*Doubts*: 5 % of the labels are wrong, 15 % where people mix two labels up. Each spin the five most doubtful of them
(`curate.suspects`, out of fold) get a second look, which can be wrong as well, instead of five new labels. What is
doubted and has had no look yet weighs 1, 0.5, 0.25 or is left out. `believed`: no second look at all.

Accuracy on the sealed test, weighted as the spin's traffic is, as paired differences in points with bootstrap intervals
over seeds. `make bench-label-weights` (needs FLYWHEEL_DATA).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

HOME = Path(__file__).parent
sys.path.insert(0, str(HOME))

from augmentation import facts_of_run, interval  # noqa: E402
from flywheelbench.streams import STREAMS  # noqa: E402

from flywheel import curate, prove  # noqa: E402
from flywheel.config import Config  # noqa: E402
from flywheel.records import Example  # noqa: E402
from flywheel.train import text, vector  # noqa: E402

AT = datetime(2026, 1, 1, tzinfo=UTC)
BUDGET, AUDIT, LOOKS = 100, 20, 5
CLIPS = (None, 2.0, 5.0, 10.0)
WEIGHTS = (1.0, 0.5, 0.25, 0.0)
SETTINGS = Config().curate


class Product:
    """One stream under one seed: its learner, and how well a dataset does."""

    def __init__(self, name: str, seed: int) -> None:
        self.world, self.seed = STREAMS[name](seed), seed
        self.trainer: Any = text.make_trainer() if self.world.kind == "text" else vector.make_trainer()
        self.sealed = [case.input for case in self.world.sealed]
        self.truth = [case.truth for case in self.world.sealed]
        pairs = enumerate(zip(self.world.seed_inputs, self.world.seed_labels, strict=True))
        start = [Example(id=f"seed{i}", input=x, label=y, origin="seed") for i, (x, y) in pairs]
        self.start = curate.assign_groups(start, [], SETTINGS)

    def build(self, pool: Sequence[Example], spin: int, clip: float | None = None) -> Any:
        """The dataset of a spin."""
        return curate.build_dataset(pool, spin=spin + 1, settings=SETTINGS, seed=self.seed, at=AT, clip=clip)

    def fit(self, dataset: Any) -> Any:
        """The learner, trained."""
        return self.trainer.fit(dataset, None, self.seed)

    def accuracy(self, model: Any, spin: int) -> float:
        """On the sealed test, weighted as a spin's traffic is."""
        outputs = model.predict(self.sealed).outputs
        right = np.array([a == b for a, b in zip(outputs, self.truth, strict=True)])
        return float(right @ self.world.weights[spin])

    def labels(self, model: Any, spin: int, rng: Any, budget: int, said: Any) -> list[Example]:
        """New labels: an even draw, and one that is the likelier the more the model doubts its answer."""
        requests = self.world.spins[spin]
        answers = model.predict([one.input for one in requests])
        doubt = (1 - np.asarray(answers.confidence, dtype=float)) ** 2 + 1e-3
        chance = doubt / doubt.sum() * (budget - AUDIT)
        for _ in range(20):  # nobody has a chance above 1: what is too much goes to the others
            over = chance > 1
            chance[over] = 1.0
            rest = ~over
            chance[rest] *= (budget - AUDIT - over.sum()) / chance[rest].sum()
            if not (chance > 1).any():
                break
        order = rng.permutation(len(requests))
        steps = np.floor(np.r_[0.0, np.cumsum(chance[order])] + rng.random())
        picked = order[np.diff(steps) > 0].tolist()
        left = [i for i in range(len(requests)) if i not in set(picked)]
        audit = rng.choice(left, AUDIT, replace=False).tolist()
        rate = AUDIT / (len(requests) - len(picked))
        fresh = []
        for i in [*audit, *picked]:
            one, p = requests[i], float(chance[i] + (1 - chance[i]) * rate)
            fresh.append(
                Example(
                    id=one.id, input=one.input, label=said(one), interaction_id=one.id, spin=spin + 1, at=AT,
                    audit=i in audit, propensity=min(p, 1.0), failure=answers.outputs[i] != said(one),
                )
            )  # fmt: skip
        return fresh


def propensities(name: str, seed: int, spins: int) -> dict[str, list[float]]:
    """Accuracy by clip, at every third spin."""
    one, rng = Product(name, seed), np.random.default_rng([seed, 21])
    pool, found = one.start, defaultdict(list)
    model = one.fit(one.build(pool, 0))
    for spin in range(spins):
        pool = [*pool, *curate.assign_groups(one.labels(model, spin, rng, BUDGET, lambda r: r.truth), pool, SETTINGS)]
        model = one.fit(one.build(pool, spin))
        if spin % 3 == 2:
            for clip in CLIPS:
                fitted = model if clip is None else one.fit(one.build(pool, spin, clip))
                found[str(clip)].append(one.accuracy(fitted, spin))
    return found


def doubts(name: str, seed: int, spins: int) -> dict[str, list[float]]:
    """Accuracy by what is done about doubtful labels, at every third spin."""
    one = Product(name, seed)
    luck = np.random.default_rng([seed, 31])
    wrong: dict[tuple[str, int], Any] = {}

    def opinion(key: str, truth: Any, look: int) -> Any:
        """What a person says: the same person makes the same mistake, another one of their own."""
        if (key, look) not in wrong:
            mixed = one.world.confusable.get(truth, ())
            draw, which = luck.random(), luck.random()
            others = [label for label in (mixed or one.world.labels) if label != truth]
            wrong[key, look] = others[int(which * len(others))] if draw < (0.15 if mixed else 0.05) else truth
        return wrong[key, look]

    found: dict[str, list[float]] = defaultdict(list)
    rngs = {arm: np.random.default_rng([seed, 41]) for arm in ("believed", "looked at")}
    pools: dict[str, list[Example]] = dict.fromkeys(rngs, one.start)
    models = dict.fromkeys(rngs, one.fit(one.build(one.start, 0)))
    truths = {request.id: request.truth for traffic in one.world.spins for request in traffic}
    looked: set[str] = set()
    for spin in range(spins):
        for arm, rng in rngs.items():
            pool, budget = pools[arm], BUDGET
            if arm == "looked at" and spin:
                doubted = _doubted(one, pool, spin - 1, looked)[:LOOKS]
                looked |= set(doubted)
                pool = [
                    replace(e, label=opinion(e.id, truths.get(e.id, e.label), 2)) if e.id in doubted else e
                    for e in pool
                ]
                budget -= len(doubted)
            said = lambda r: opinion(r.id, r.truth, 1)  # noqa: E731
            pools[arm] = [
                *pool,
                *curate.assign_groups(one.labels(models[arm], spin, rng, budget, said), pool, SETTINGS),
            ]
            models[arm] = one.fit(one.build(pools[arm], spin))
            if spin % 3 == 2:
                found[arm if arm == "believed" else "weight 1.0"].append(one.accuracy(models[arm], spin))
        if spin % 3 == 2:
            doubted = set(_doubted(one, pools["looked at"], spin, looked))
            errors = {e.id for e in pools["looked at"] if e.id in truths and e.label != truths[e.id]}
            found["doubted"].append(len(doubted))
            found["of them wrong"].append(len(doubted & errors))
            found["wrong in all"].append(len(errors))
            for weight in WEIGHTS[1:]:
                pool = [replace(e, weight=e.weight * weight) if e.id in doubted else e for e in pools["looked at"]]
                fitted = one.fit(one.build([e for e in pool if e.weight > 0], spin))
                found[f"weight {weight}"].append(one.accuracy(fitted, spin))
    return found


def _doubted(one: Product, pool: Sequence[Example], spin: int, looked: set[str]) -> list[str]:
    """Examples whose label the learner, cross-fitted, finds hard to believe."""
    answers = prove.crossfit(one.trainer, one.build(pool, spin), seed=one.seed)
    said: list[str] = curate.suspects(pool, answers, limit=len(pool), exclude=looked)
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", nargs="*", default=["images", "dialect", "banking"])
    parser.add_argument("--studies", nargs="*", default=["propensities", "doubts"])
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, 5], help="from and up to")
    parser.add_argument("--spins", type=int, default=9)
    parser.add_argument("--rows", default="", help="add rows to this file, and summarise all that is in it")
    args = parser.parse_args()
    kept = Path(args.rows) if args.rows else None
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []
    done = {(row["study"], row["stream"], row["seed"]) for row in rows}
    for study in args.studies:
        for stream in args.streams:
            for seed in range(*args.seeds):
                if (study, stream, seed) in done:
                    continue
                play = {"propensities": propensities, "doubts": doubts}[study]
                rows.append({"study": study, "stream": stream, "seed": seed, "found": play(stream, seed, args.spins)})
                print(rows[-1], flush=True)
                if kept:
                    with kept.open("a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    by: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by[row["study"], row["stream"]].append(row["found"])
    out: dict[str, Any] = {}
    for (study, stream), found in sorted(by.items()):
        base = {"propensities": "None", "doubts": "weight 1.0"}[study]
        arms = [arm for arm in found[0] if arm != base and max(found[0][arm]) <= 1]
        out.setdefault(study, {})[stream] = {
            "seeds": len(found),
            base: round(100 * float(np.mean([np.mean(one[base]) for one in found])), 2),
            **{arm: interval([100 * float(np.mean(one[arm]) - np.mean(one[base])) for one in found]) for arm in arms},
            **{name: round(float(np.mean([np.mean(one[name]) for one in found])), 1)
               for name in found[0] if name in ("doubted", "of them wrong", "wrong in all")},
        }  # fmt: skip
    facts = {**facts_of_run(), "studies": out}
    (HOME / "results" / "label_weights.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(out, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
