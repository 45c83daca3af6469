"""Synthetic examples from failures: what they are worth, and how often they are let in where they cannot help.

The streams of FlywheelBench, spin by spin. Each spin 20 labels are drawn at random and 80 from the answers that the
model without augmentation is least sure of; every arm learns from the same labels, which are right. Arms: `without`;
`admitted`, which runs the loop's own code (`flywheel.loop.synthesise`) and keeps what it admits; `always`, which uses
everything that is proposed. Figures are accuracies on the sealed test, weighted as the spin's traffic is, overall and
on the damaged slice, as differences to `without` in points, paired over seeds, with bootstrap intervals over seeds. On
streams where nothing changes (`-null`) an admission is a false one.

`make bench-augmentation` (needs FLYWHEEL_DATA). Half a minute to two minutes a stream and seed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

HOME = Path(__file__).parent
sys.path.insert(0, str(HOME))

from flywheelbench.streams import STREAMS  # noqa: E402

from flywheel import curate  # noqa: E402
from flywheel.config import Config  # noqa: E402
from flywheel.loop.synthesise import augmented  # noqa: E402
from flywheel.mine import augment  # noqa: E402
from flywheel.prove.tasks import Classification  # noqa: E402
from flywheel.records import Example  # noqa: E402
from flywheel.train import text, vector  # noqa: E402

AT = datetime(2026, 1, 1, tzinfo=UTC)
BUDGET, AUDIT = 100, 20
SPINS = {"images": 12, "intents": 6, "banking": 6, "dialect": 12}
DAMAGED = {
    "images": ("scanner=B",),
    "intents": ("device=old", "hour=evening"),
    "banking": ("device=old", "hour=evening"),
}


def accuracy(right: Any, world: Any, weights: Any) -> tuple[float, float]:
    """Of the population, and of the damaged slice in it (NaN where there is none)."""
    wanted = DAMAGED.get(world.name.removesuffix("-null"), ())
    inside = np.array([all(s in case.slices for s in wanted) for case in world.sealed])
    if not wanted:  # dialect: everybody who does not write German
        inside = np.array(["variety=de" not in case.slices for case in world.sealed])
    mass = weights * inside
    return float(right @ weights), float(right @ mass / mass.sum()) if mass.sum() > 0 else float("nan")


def turn(number: int, config: Config, trainer: Any, failed: list[Any], past: dict[int, Any]) -> Any:
    """As much of a spin as the loop's augmentation asks for."""
    state = SimpleNamespace(step=lambda spin, _: past.get(spin))
    shop = SimpleNamespace(
        config=config, trainer_for=lambda _: trainer, task=Classification(), store=SimpleNamespace(state=state)
    )
    docs = {"sync": {"interactions": len(failed)}, "diagnose": {"modes": [], "assignments": {}}}
    return SimpleNamespace(
        shop=shop, spin=SimpleNamespace(number=number, seed=0), pool=failed, docs=docs, answered={}
    )  # fmt: skip


def play(name: str, seed: int, spins: int) -> list[dict[str, Any]]:
    """One stream under one seed: a row a spin."""
    world = STREAMS[name](seed)
    trainer: Any = text.make_trainer() if world.kind == "text" else vector.make_trainer()
    config, rng = Config(), np.random.default_rng([seed, 11])
    start = [Example(id=f"seed{i}", input=x, label=y, origin="seed") for i, (x, y) in
             enumerate(zip(world.seed_inputs, world.seed_labels, strict=True))]  # fmt: skip
    pool = curate.assign_groups(start, [], config.curate)
    truth = [case.truth for case in world.sealed]
    sealed = [case.input for case in world.sealed]
    past: dict[int, Any] = {}
    rows = []
    model = None
    for spin in range(spins):
        build = partial(curate.build_dataset, spin=spin + 1, settings=config.curate, seed=seed, at=AT,
                        synthetic_share=config.mine.synthetic_share)  # fmt: skip
        model = model or trainer.fit(build(pool), None, seed)
        requests = world.spins[spin]
        said = model.predict([one.input for one in requests])
        doubtful = np.argsort(said.confidence, kind="stable")
        audit = rng.choice(len(requests), AUDIT, replace=False).tolist()
        asked = [*audit, *[int(i) for i in doubtful if int(i) not in set(audit)][: BUDGET - AUDIT]]
        fresh = [
            Example(id=requests[i].id, input=requests[i].input, label=requests[i].truth, interaction_id=requests[i].id,
                    spin=spin + 1, failure=said.outputs[i] != requests[i].truth, at=AT)
            for i in asked
        ]  # fmt: skip
        pool = [*pool, *curate.assign_groups(fresh, pool, config.curate)]
        failed = [
            SimpleNamespace(
                interaction_id=requests[i].id, input=requests[i].input, probability=1 - float(said.confidence[i])
            )
            for i in doubtful[: len(requests) // 4]
        ]
        plain = build(pool)
        began = time.process_time()
        model = trainer.fit(plain, None, seed)
        cross = time.process_time()
        work = turn(spin + 1, config, trainer, failed, past)
        dataset, doc = augmented(work, plain, lambda more, pool=pool, build=build: build([*pool, *more]))
        ended = time.process_time()
        past[spin + 1] = {"augment": doc}
        arms = {"without": plain, "admitted": dataset}
        found = augment.propose({one.interaction_id: one.input for one in failed}, plain.examples)
        if found:
            most = len(plain.examples) // 3
            arms["always"] = build([*pool, *augment.synthesise(found[:1], plain.examples, most=most)])
        got, models = {}, {plain.hash: model}
        for arm, data in arms.items():
            models[data.hash] = models.get(data.hash) or trainer.fit(data, None, seed)
            right = np.array([a == b for a, b in zip(models[data.hash].predict(sealed).outputs, truth, strict=True)])
            got[arm] = accuracy(right, world, world.weights[spin])
        got.setdefault("always", got["without"])
        rows.append({
            "stream": name, "seed": seed, "spin": spin, "examples": len(plain.examples),
            "proposed": [one.name for one in found], "tried": doc.get("tried"), "lines": doc.get("lines", []),
            "inside": sorted(k for k, r in doc["operations"].items() if r["admitted"]),
            "accuracy": {arm: [round(v, 4) for v in values] for arm, values in got.items()},
            "fit_seconds": round(cross - began, 2), "augment_seconds": round(ended - cross, 2),
        })  # fmt: skip
    return rows


def interval(values: Sequence[float]) -> list[float]:
    """Mean over seeds, and the 95 % bootstrap interval."""
    x = np.array(values)
    draws = np.random.default_rng(0).choice(x, (4000, len(x))).mean(axis=1)
    return [round(float(v), 2) for v in (x.mean(), *np.quantile(draws, [0.025, 0.975]))]


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By stream: what each arm adds over all spins, and in the first spins after an admission; what was admitted."""
    by: defaultdict[str, defaultdict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by[row["stream"]][row["seed"]].append(row)
    out = {}
    for stream, seeds in by.items():
        one: dict[str, Any] = {"seeds": len(seeds), "spins": len(next(iter(seeds.values())))}
        for arm in ("admitted", "always"):
            for place, part in enumerate(("overall", "damaged")):
                gains = [
                    [100 * (r["accuracy"][arm][place] - r["accuracy"]["without"][place]) for r in run]
                    for run in seeds.values()
                ]
                means = [float(np.nanmean(g)) for g in gains if not np.isnan(g).all()]
                if means:
                    one[f"{arm}_{part}"] = interval(means)
                inside = [g for run, gain in zip(seeds.values(), gains, strict=True)
                          for g, r in zip(gain, run, strict=True) if r["inside"] and not np.isnan(g)]  # fmt: skip
                if arm == "admitted" and inside:
                    one[f"while_inside_{part}"] = round(float(np.mean(inside)), 2)
        one["trials"] = sum(r["tried"] is not None for run in seeds.values() for r in run)
        one["seeds_with_an_admission"] = sum(any(r["inside"] for r in run) for run in seeds.values())
        one["admitted_operations"] = sorted({name for run in seeds.values() for r in run for name in r["inside"]})
        fits = sum(r["fit_seconds"] for run in seeds.values() for r in run)
        more = sum(r["augment_seconds"] for run in seeds.values() for r in run)
        one["cpu_per_fit"] = round(more / max(fits, 1e-9), 2)
        out[stream] = one
    return out


def facts_of_run() -> dict[str, str]:
    """The commit and the machine."""
    asked = ["git", "-C", str(HOME), "rev-parse", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    return {
        "commit": commit,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", nargs="*", default=["images", "dialect", "intents", "images-null", "intents-null"])
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, 5], help="from and up to")
    parser.add_argument("--spins", type=int, default=0, help="of a stream; 0 for as many as are usual")
    parser.add_argument("--rows", default="", help="add rows to this file, and summarise all that is in it")
    args = parser.parse_args()
    rows = []
    kept = Path(args.rows) if args.rows else None
    if kept and kept.exists():
        rows = [json.loads(line) for line in kept.read_text().splitlines()]
    done = {(row["stream"], row["seed"]) for row in rows}
    for stream in args.streams:
        for seed in range(*args.seeds):
            if (stream, seed) in done:
                continue
            found = play(stream, seed, args.spins or SPINS[stream.removesuffix("-null")])
            rows += found
            if kept:
                with kept.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in found)
            last = summary(found)[stream]
            print(
                stream, seed, {key: value for key, value in last.items() if key not in ("seeds", "spins")}, flush=True
            )
    facts = {
        **facts_of_run(),
        "streams": summary(rows),
        "trials": [
            {"stream": r["stream"], "seed": r["seed"], "spin": r["spin"], "line": line}
            for r in rows
            for line in r["lines"]
        ],
    }
    (HOME / "results" / "augmentation.json").write_text(json.dumps(facts, indent=1) + "\n")
    for stream, one in facts["streams"].items():
        print(f"\n{stream}")
        for name, value in one.items():
            print(f"  {name:28} {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
