"""What the random part of a label budget costs and what it measures: drawn evenly, or doubtful answers more often.

`make bench-random-part` plays streams of FlywheelBench (tuning seeds 0 to 4) without a gate: the product's own `select`
chooses, the product's own learner learns, every candidate serves. By the way in which the random part is drawn it
reports

- *taught*: live accuracy, the mean over spins, each answered by what was learnt in the spins before;
- *error*: how far the estimate of a spin's accuracy from its labels (`measure.accuracy`, as on the receipt) is off, by
  root mean square over spins, seeds and draws; *width* of its 95 % interval and how often that *covers*.

Needs `FLYWHEEL_DATA`. Results go to `bench/results/random_part.json`; the comparison is with even draws of a fifth.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import ibis
import numpy as np
from flywheelbench.habits import Shared
from flywheelbench.report import interval
from flywheelbench.streams import STREAMS
from flywheelbench.users import Labeler
from flywheelbench.world import Request, World

from flywheel.config import CurateSettings
from flywheel.curate import assign_groups, select
from flywheel.measure import accuracy
from flywheel.records import Example, Failure

WAYS = {"evenly, a fifth": (0.2, True), "by doubt, a fifth": (0.2, False), "evenly, a tenth": (0.1, True)}
"""The least share of the random part, and whether its chances are equal."""
BUDGET = 0.1
POOL = (400, 8)
"""As in a spin: the pool is the likeliest failures, so many at least, and so many times the budget."""
RESULTS = Path(__file__).parent / "results" / "random_part.json"


def play(world: World, shared: Shared, way: tuple[float, bool], draw: int) -> tuple[float, list[tuple[float, ...]]]:
    """One stream: mean live accuracy, and a spin a row: error of the estimate, width, covered."""
    share, evenly = way
    people, rng = Labeler(world), np.random.default_rng([world.seed, draw])
    examples, model = list(shared.seed_examples), shared.seed_model
    live: list[float] = []
    told: list[tuple[float, ...]] = []
    for number, requests in enumerate(world.spins):
        said = model.predict([request.input for request in requests])
        wrong = np.array([o != r.truth for o, r in zip(said.outputs, requests, strict=True)])
        live.append(1 - wrong.mean())
        if number + 1 == len(world.spins):
            break
        doubt, heard, p = _signs(requests, said, wrong)
        window = ibis.memtable({
            "id": [request.id for request in requests],
            "rand": rng.random(len(requests)).tolist(),
            "p_failure": [0.1] * len(requests) if evenly else p.tolist(),
        })  # fmt: skip
        budget = round(BUDGET * len(requests))
        pool = [
            Failure(
                interaction_id=requests[k].id, at=requests[k].at, probability=float(p[k]), input=requests[k].input,
                output=said.outputs[k], context=dict(requests[k].context),
            )
            for k in np.argsort(-p, kind="stable")[: max(POOL[0], POOL[1] * budget)]
        ]  # fmt: skip
        with mock.patch("flywheel.curate.audit._LEAST_AUDIT", share):
            chosen = select(
                window, budget=budget, pool=pool, novelty={}, exclude=(), spin=number,
                settings=replace(CurateSettings(), audit_share=share), seed=1000 * draw + world.seed,
                doubt=dict(zip((r.id for r in requests), doubt.tolist(), strict=True)),
                told=dict(zip((r.id for r in requests), heard.tolist(), strict=True)),
            )  # fmt: skip
        place = {request.id: k for k, request in enumerate(requests)}
        asked = [place[one.interaction_id] for one in chosen]
        labels = [people.label_of(requests[k]) for k in asked]
        right = [said.outputs[k] == label for k, label in zip(asked, labels, strict=True)]
        found = accuracy(right, [s.propensity for s in chosen], [s.audit for s in chosen], len(requests))
        truth = np.mean([o == people.label_of(r) for o, r in zip(said.outputs, requests, strict=True)])
        told.append((found.estimate - truth, found.high - found.low, found.low <= truth <= found.high))
        fresh = [
            Example(id=requests[k].id, input=requests[k].input, label=label, interaction_id=requests[k].id)
            for k, label in zip(asked, labels, strict=True)
        ]
        examples = [*examples, *assign_groups(fresh, examples, CurateSettings())]
        model = shared.fit(examples)
    return float(np.mean(live)), told


def _signs(requests: Sequence[Request], said: Any, wrong: Any) -> tuple[Any, Any, Any]:
    """Doubt, what users said in log-odds, and the probability of a failure from both, as the product reckons it."""
    scores = np.clip(np.asarray(said.scores, dtype=np.float64), 1e-9, 1.0)
    two = -np.partition(-scores, 1, axis=1)[:, :2]
    unsure = np.clip(1 - scores.max(axis=1), 1e-3, 1 - 1e-3)
    end = requests[-1].at + timedelta(hours=1)
    report = [
        r.luck.report < (0.08 if w else 0.01) and r.at + timedelta(days=r.luck.delay_days) <= end
        for r, w in zip(requests, wrong, strict=True)
    ]
    retry = [r.luck.retry < (0.4 if w else 0.05) for r, w in zip(requests, wrong, strict=True)]
    heard = 2.0 * (np.asarray(report, dtype=np.float64) + np.asarray(retry, dtype=np.float64))
    return (1 - (two[:, 0] - two[:, 1])) / 2, heard, 1 / (1 + np.exp(-(np.log(unsure / (1 - unsure)) + heard)))


def main() -> None:
    """Play, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="dialect,images,banking")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--draws", type=int, default=3, help="draws a world; their mean counts once")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    data: dict[str, Any] = {"commit": commit.stdout.strip(), "seeds": seeds, "draws": options.draws, "streams": {}}
    for name in options.streams.split(","):
        worlds = [STREAMS[name](seed) for seed in seeds]
        taught: dict[str, list[float]] = {}
        rows: dict[str, Any] = {}
        for way, how in WAYS.items():
            runs = [[play(w, Shared(w, w.seed), how, d) for d in range(options.draws)] for w in worlds]
            taught[way] = [float(np.mean([live for live, _ in world])) for world in runs]
            told = np.array([row for world in runs for _, rows_ in world for row in rows_], dtype=np.float64)
            more = [a - b for a, b in zip(taught[way], taught["evenly, a fifth"], strict=True)]
            rows[way] = {
                "taught": float(np.mean(taught[way])), "more": interval(more),
                "error": float(np.sqrt((told[:, 0] ** 2).mean())),
                "width": float(told[:, 1].mean()), "covers": float(told[:, 2].mean()),
            }  # fmt: skip
            one = rows[way]
            mean, low, high = (100 * v for v in one["more"])
            print(
                f"{name:<9} {way:<18} taught {100 * one['taught']:.2f} % ({mean:+.2f}, {low:+.2f} to {high:+.2f})  "
                f"error {100 * one['error']:.1f}  width {100 * one['width']:.0f}  covers {one['covers']:.0%}",
                flush=True,
            )
        data["streams"][name] = rows
    RESULTS.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
