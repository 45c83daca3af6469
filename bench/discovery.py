"""Novel classes: how many of a new domain's intents get their first label within the spin in which they appear.

`make bench-discovery` takes the streams of FlywheelBench at the spins when new intents begin (3, 6, 9 of CLINC150 and
of BANKING77, counted from 0): a thousand requests, the new intents among them by Zipf's law, and with CLINC150 10 to
20 % out of scope. The champion has learnt from the seed and from 100 random labels of each spin before. Then 80 labels
are given out by each order: by discovery (one label to each group), by margin, by P(failure) and at random; all arms
see the same requests, labels and champion. Reported on seeds 5 to 14; what could be tuned was tuned on seeds 0 to 4.

Then: what the probability of a new class is worth, in these windows and in the null streams where there is none; how
many labels that one decision would give to others are right, by rule; and what those do to accuracy. Needs
FLYWHEEL_DATA or the network. Intervals: 95 %, bootstrap over seeds.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from flywheelbench.streams import STREAMS
from flywheelbench.world import World

from flywheel import mine
from flywheel.curate.groups import RULES, spread
from flywheel.ports import Predictions
from flywheel.records import Dataset, Example, Group
from flywheel.train.text import make_trainer

RESULTS = Path(__file__).parent / "results" / "discovery.json"
SPINS = (3, 6, 9)
TUNED, REPORTED = range(5), range(5, 15)
BUDGET, BEFORE = 80, 100
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Moment:
    """A window with its truth, the labelled examples and what the champion says."""

    inputs: list[Any]
    truth: list[Any]
    known: list[Example]
    said: Predictions
    new: frozenset[Any]
    """New classes that are in the window."""
    sealed: tuple[list[Any], list[Any], Array]
    earlier: list[Any]
    """Unlabelled inputs of the two windows before."""

    @property
    def p_failure(self) -> Array:
        """How probably the champion is wrong, by its own calibrated confidence."""
        assert self.said.confidence is not None
        return 1.0 - self.said.confidence

    @property
    def margin(self) -> Array:
        """By how much the best class is ahead of the next."""
        assert self.said.scores is not None
        top = np.sort(self.said.scores, axis=1)
        return top[:, -1] - top[:, -2]


def example(key: str, value: Any, label: Any, **more: Any) -> Example:
    return Example(id=key, input=value, label=label, group=key, fold=int(key[-1]) % 5, **more)


def learn(examples: Sequence[Example], seed: int) -> Any:
    return make_trainer().fit(Dataset(hash=f"{len(examples)}-{seed}", examples=tuple(examples)), None, seed)


def moment(world: World, spin: int) -> Moment:
    rng = np.random.default_rng([world.seed, spin, 50])
    known = [
        example(f"s{n:05}", x, y) for n, (x, y) in enumerate(zip(world.seed_inputs, world.seed_labels, strict=True))
    ]
    earlier: list[Any] = []
    for before in range(spin):
        chosen = set(rng.choice(len(world.spins[before]), BEFORE, replace=False).tolist())
        for row, request in enumerate(world.spins[before]):
            if row in chosen:
                known.append(example(f"r{before:02}{row:04}", request.input, request.truth))
            elif before >= spin - 2:
                earlier.append(request.input)
    window = world.spins[spin]
    inputs = [request.input for request in window]
    seen = {one.label for one in known}
    new = frozenset(request.truth for request in window if request.truth not in seen) - {world.out_of_scope}
    sealed = ([case.input for case in world.sealed], [case.truth for case in world.sealed], world.weights[spin])
    said = learn(known, world.seed).predict(inputs)
    return Moment(inputs, [request.truth for request in window], known, said, new, sealed, earlier)


def groups_of(at: Moment, limit: int = BUDGET, recent: bool = False) -> list[Group]:
    return mine.discover(
        [f"{n:05}" for n in range(len(at.inputs))],
        at.inputs,
        [one.input for one in at.known],
        [one.label for one in at.known],
        p_failure=at.p_failure.tolist(),
        recent=at.earlier if recent else (),
        limit=limit,
    )


def rows_of(group: Group) -> list[int]:
    return [int(key) for key in group.members]


def by_discovery(at: Moment, seed: int, recent: bool = False) -> list[int]:
    return [rows_of(group)[0] for group in groups_of(at, recent=recent)]


ORDERS: dict[str, Callable[[Moment, int], list[int]]] = {
    "discovery": by_discovery,
    "discovery, with the two windows before": partial(by_discovery, recent=True),
    "margin": lambda at, seed: np.argsort(at.margin, kind="stable")[:BUDGET].tolist(),
    "P(failure)": lambda at, seed: np.argsort(-at.p_failure, kind="stable")[:BUDGET].tolist(),
    "random": lambda at, seed: np.random.default_rng([seed, 51]).permutation(len(at.inputs))[:BUDGET].tolist(),
}


def count(at: Moment, chosen: Sequence[int]) -> dict[str, float]:
    """New classes met by the first 40 and by all of these labels, and how many labels went to which inputs."""
    truth = [at.truth[row] for row in chosen]
    known = {one.label for one in at.known}
    return {
        "met at 40": len(set(truth[:40]) & at.new),
        "met": len(set(truth) & at.new),
        "there": len(at.new),
        "labels on new classes": sum(label in at.new for label in truth),
        "labels on known classes": sum(label in known for label in truth),
    }


def orders(streams: Sequence[str], seeds: Sequence[int], spins: Sequence[int]) -> list[dict[str, Any]]:
    found = []
    for stream in streams:
        for seed in seeds:
            world = STREAMS[stream](seed)
            for spin in spins:
                at = moment(world, spin)
                row: dict[str, Any] = {"stream": stream, "seed": seed, "spin": spin}
                row["orders"] = {name: count(at, order(at, seed)) for name, order in ORDERS.items()}
                row["groups"] = called_new(at, groups_of(at))
                found.append(row)
                print(stream, seed, spin, {name: one["met"] for name, one in row["orders"].items()}, flush=True)
    return found


def called_new(at: Moment, groups: Sequence[Group]) -> list[list[float]]:
    """For each group of two or more: the probability given, and whether most of it is one class without a label."""
    found = []
    for group in groups:
        truth = [at.truth[row] for row in rows_of(group)]
        most = max(sorted(set(truth)), key=truth.count)
        if len(truth) > 1:
            found.append([group.p_new, float(most in at.new and 2 * truth.count(most) > len(truth))])
    return found


def quiet(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Null streams: how many groups of two or more are called new with a probability of a half or more."""
    found = []
    for stream in ("intents-null", "banking-null"):
        for seed in seeds:
            groups = groups_of(moment(STREAMS[stream](seed), 3))
            called = sum(group.p_new >= 0.5 and group.size > 1 for group in groups)
            found.append({"stream": stream, "seed": seed, "groups": len(groups), "called new": called})
            print(found[-1], flush=True)
    return found


def decisions(stream: str, seeds: Sequence[int], spins: Sequence[int]) -> list[dict[str, Any]]:
    """What spreading one decision gives: precision by rule, and accuracy on the sealed test beside labels alone."""
    found = []
    for seed in seeds:
        world = STREAMS[stream](seed)
        for spin in spins:
            at = moment(world, spin)
            row: dict[str, Any] = {"stream": stream, "seed": seed, "spin": spin, "rules": {}, "accuracy": {}}
            for name in ("margin", "discovery", "random"):
                row["accuracy"][f"80 labels by {name}"] = accuracy(at, asked(at, ORDERS[name](at, seed)), seed)
            groups = groups_of(at)
            chosen = decided(groups)
            labelled = [*at.known, *asked(at, chosen)]
            row["accuracy"]["80 labels by groups and checks"] = accuracy(at, asked(at, chosen), seed)
            answers = {f"{n:05}": at.truth[n] for n in chosen}
            told = learn(labelled, seed).predict(at.inputs).outputs
            model = {f"{n:05}": output for n, output in enumerate(told)}
            seen = mine.look(at.inputs, [one.input for one in labelled], [one.label for one in labelled])
            nearest = {
                key: [labelled[place].label for place in seen.nearest_examples(int(key), 2)]
                for group in groups
                for key in group.members
            }
            for rule in RULES:
                given: dict[str, Any] = {}
                for group in groups:
                    given |= spread(group, answers, nearest=nearest, model=model, rule=rule)
                right = sum(at.truth[int(key)] == label for key, label in given.items())
                row["rules"][rule] = {"spread": len(given), "right": right}
                more = [
                    example(f"g{key}", at.inputs[int(key)], y, origin="group", weight=0.5) for key, y in given.items()
                ]
                row["accuracy"][f"and spread by {rule}"] = accuracy(at, [*asked(at, chosen), *more], seed)
            found.append(row)
            print(stream, seed, spin, row["rules"], {k: round(v, 4) for k, v in row["accuracy"].items()}, flush=True)
    return found


def asked(at: Moment, chosen: Sequence[int]) -> list[Example]:
    return [example(f"a{row:05}", at.inputs[row], at.truth[row]) for row in chosen]


def decided(groups: Sequence[Group]) -> list[int]:
    """80 labels: the decision of each group in order, and for one of three members or more a check on its last."""
    chosen: list[int] = []
    for group in groups:
        chosen += [rows_of(group)[0], *(rows_of(group)[-1:] if group.size >= 3 else [])]
    return chosen[:BUDGET]


def accuracy(at: Moment, fresh: Sequence[Example], seed: int) -> float:
    inputs, truth, weights = at.sealed
    said = learn([*at.known, *fresh], seed).predict(inputs).outputs
    return float(np.dot([a == b for a, b in zip(said, truth, strict=True)], weights))


def timing() -> dict[str, float]:
    """Seconds of one thread for `mine.look` and `mine.discover`: a spin's pool, and the most that a window may hold."""
    world = STREAMS["intents"](0)
    texts = [request.input for spin in world.spins for request in spin]
    took = {}
    for size in (1000, 20_000):
        asked_for = [f"{texts[n % len(texts)]} {n}" for n in range(size)]
        started = time.process_time()
        seen = mine.look(asked_for, world.seed_inputs, world.seed_labels)
        mine.discover([f"{n:06}" for n in range(size)], asked_for, (), (), seen=seen, limit=100)
        took[f"{size:,} texts"] = round(time.process_time() - started, 2)
    return took


def interval(by_seed: dict[int, list[float]]) -> dict[str, float]:
    """The mean over seeds of each seed's mean, and its 95 % bootstrap interval over seeds."""
    means = np.array([np.mean(values) for _, values in sorted(by_seed.items())])
    draws = np.random.default_rng(0).integers(len(means), size=(4000, len(means)))
    low, high = np.quantile(means[draws].mean(axis=1), [0.025, 0.975])
    return {"mean": round(float(means.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def over_seeds(rows: Sequence[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> dict[str, float]:
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], []).append(value(row))
    return interval(by_seed)


def told(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each stream's figures: what each order meets, and the paired difference to margin."""
    result: dict[str, Any] = {}
    for stream in sorted({row["stream"] for row in rows}):
        mine_ = [row for row in rows if row["stream"] == stream]
        result[stream] = {"there": over_seeds(mine_, lambda row: row["orders"]["margin"]["there"])["mean"]}
        for name in ORDERS:
            one = {
                what: over_seeds(mine_, lambda row, n=name, w=what: row["orders"][n][w])
                for what in ("met", "met at 40")
            }
            one["more than margin"] = over_seeds(
                mine_, lambda row, n=name: row["orders"][n]["met"] - row["orders"]["margin"]["met"]
            )
            one["labels on new classes"] = over_seeds(
                mine_, lambda row, n=name: row["orders"][n]["labels on new classes"]
            )
            result[stream][name] = one
        pairs = np.array([pair for row in mine_ for pair in row["groups"]])
        result[stream]["P(new)"] = {
            f"{low} to {high}": {
                "groups": int(here.sum()),
                "said": round(float(pairs[here, 0].mean()), 3) if here.any() else None,
                "true": round(float(pairs[here, 1].mean()), 3) if here.any() else None,
            }
            for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 1))
            for here in [(pairs[:, 0] >= low) & (pairs[:, 0] < high + (high == 1))]
        }
    return result


def told_decisions(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    base = "80 labels by groups and checks"
    spread_ = {
        rule: {
            "spread": int(sum(row["rules"][rule]["spread"] for row in rows)),
            "right": round(
                sum(row["rules"][rule]["right"] for row in rows)
                / max(1, sum(row["rules"][rule]["spread"] for row in rows)),
                4,
            ),
        }
        for rule in RULES
    }
    names = list(rows[0]["accuracy"])
    return {
        "windows": len(rows),
        "precision": spread_,
        "accuracy": {name: over_seeds(rows, lambda row, n=name: row["accuracy"][n]) for name in names},
        "more than groups and checks alone": {
            name: over_seeds(rows, lambda row, n=name: row["accuracy"][n] - row["accuracy"][base]) for name in names
        },
    }


def commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("orders", "quiet", "decisions", "timing"), help="measure only this")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(REPORTED))
    parser.add_argument("--spins", type=int, nargs="+", default=list(SPINS))
    parser.add_argument("--streams", nargs="+", default=["intents", "banking"])
    parser.add_argument("--quietly", action="store_true", help="do not print the figures")
    options = parser.parse_args()
    kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    rows = kept.get("rows", {})
    parts = [options.part] if options.part else ["orders", "quiet", "decisions", "timing"]
    fresh: dict[str, list[dict[str, Any]]] = {}
    if "orders" in parts:
        fresh["orders"] = orders(options.streams, options.seeds, options.spins)
    if "quiet" in parts:
        fresh["quiet"] = quiet(options.seeds[:5])
    if "decisions" in parts:
        fresh["decisions"] = [
            row for stream in options.streams for row in decisions(stream, options.seeds[:5], options.spins[:2])
        ]
    for part, found in fresh.items():
        now = {(row["stream"], row["seed"], row.get("spin")) for row in found}
        before = [row for row in rows.get(part, []) if (row["stream"], row["seed"], row.get("spin")) not in now]
        rows[part] = sorted([*before, *found], key=lambda row: (row["stream"], row["seed"], row.get("spin", 0)))
    result = {
        "commit": commit(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "seeds": sorted({row["seed"] for part in rows.values() for row in part}),
        "orders": told(rows["orders"]) if "orders" in rows else {},
        "quiet": {
            "windows": len(rows.get("quiet", [])),
            "groups": sum(row["groups"] for row in rows.get("quiet", [])),
            "called new": sum(row["called new"] for row in rows.get("quiet", [])),
        },
        "decisions": {
            stream: told_decisions([row for row in rows["decisions"] if row["stream"] == stream])
            for stream in sorted({row["stream"] for row in rows.get("decisions", [])})
        },
        "seconds": timing() if "timing" in parts else kept.get("seconds", {}),
        "rows": rows,
    }
    rows_apart = json.dumps(result.pop("rows"), separators=(",", ":"))
    RESULTS.write_text(json.dumps(result, indent=1)[:-2] + f',\n "rows": {rows_apart}\n}}\n')
    if not options.quietly:
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
