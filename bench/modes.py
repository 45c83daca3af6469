"""Failure modes found without being told how many: CLINC150 and banking77, their intents as the truth.

`make bench-modes` groups every text of the two test sets as if each had failed, on the path a spin takes
(`diagnose.group`), beside KMeans and HDBSCAN on the same vectors. KMeans is told the true number of groups; Flywheel
and HDBSCAN are not. Texts left without a mode count as one group more. banking77 was not looked at while the method
was chosen. Then: the failures of a real model; whether modes keep their ids from one half of the texts to the other;
time as texts grow. Needs FLYWHEEL_DATA. Intervals: 95 %, bootstrap over texts.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from flywheel.config import DiagnoseSettings
from flywheel.diagnose import group
from flywheel.diagnose.clusters import cluster
from flywheel.diagnose.embed import TextEmbedder
from flywheel.records import Failure, Mode

RESULTS = Path(__file__).parent / "results" / "modes.json"
AT = datetime(2026, 3, 2, tzinfo=UTC)
Labels = np.ndarray[Any, Any]


def data() -> Path:
    local = os.environ.get("FLYWHEEL_DATA")
    if not local or not (Path(local) / "clinc150").exists():
        sys.exit("FLYWHEEL_DATA names no folder with clinc150 and banking77. Set it to where they lie, and run again")
    return Path(local)


def clinc(part: str) -> tuple[list[str], list[str]]:
    rows = json.loads(gzip.decompress((data() / "clinc150" / "data_full.json.gz").read_bytes()))[part]
    return [text for text, _ in rows], [intent for _, intent in rows]


def banking(part: str) -> tuple[list[str], list[str]]:
    with (data() / "banking77" / f"{part}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def failed(texts: list[str], outputs: list[str] | None = None, prefix: str = "f") -> list[Failure]:
    return [
        Failure(
            interaction_id=f"{prefix}{place:06}",
            at=AT,
            probability=0.9,
            input=text,
            output=outputs[place] if outputs else None,
        )
        for place, text in enumerate(texts)
    ]


def modes_of(
    found: list[Failure],
    seed: int,
    previous: list[Mode] | None = None,
    inputs: dict[str, str] | None = None,
    spin: int = 1,
    beside: list[str] | None = None,
) -> tuple[list[Mode], dict[str, str]]:
    return group(
        found,
        previous or [],
        spin=spin,
        total=float(len(found)),
        window_size=10 * len(found),
        embedder=TextEmbedder(seed=seed),
        previous_inputs=inputs or {},
        settings=DiagnoseSettings(),
        seed=seed,
        beside=beside or [],
    )


def score(truth: Labels, labels: Labels, rng: np.random.Generator, draws: int = 200) -> dict[str, Any]:
    """NMI and ARI with bootstrap intervals, and the number of groups."""
    again = [rng.integers(len(truth), size=len(truth)) for _ in range(draws)]
    out: dict[str, Any] = {"groups": len(set(labels.tolist()))}
    for name, measure in (("nmi", normalized_mutual_info_score), ("ari", adjusted_rand_score)):
        drawn = [measure(truth[rows], labels[rows]) for rows in again]
        low, high = np.quantile(drawn, [0.025, 0.975])
        point = float(measure(truth, labels))
        # Resampled texts repeat, which makes groups look purer: the interval is moved to lie around the estimate.
        shift = point - float(np.mean(drawn))
        out[name] = round(point, 4)
        out[f"{name}_95"] = [round(float(low + shift), 4), round(float(high + shift), 4)]
    return out


def mean_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The means of several seeds' scores."""
    return {
        key: np.round(np.mean([row[key] for row in rows], axis=0), 4).tolist() for key in rows[0] if key != "seconds"
    } | {"seconds": round(float(np.median([row.get("seconds", 0.0) for row in rows])), 2)}


def compare(found: list[Failure], truth: list[str], seeds: int, peers: bool = True) -> dict[str, Any]:
    """Flywheel's modes beside KMeans (told the number) and HDBSCAN on the same vectors."""
    from sklearn.cluster import HDBSCAN, KMeans

    rng = np.random.default_rng(0)
    known = np.unique(truth, return_inverse=True)[1]
    rows: dict[str, list[dict[str, Any]]] = {}
    for seed in range(seeds):
        start = time.perf_counter()
        _, assigned = modes_of(found, seed)
        took = time.perf_counter() - start
        ours = np.unique([assigned.get(f.interaction_id, "") for f in found], return_inverse=True)[1]
        rows.setdefault("flywheel", []).append(score(known, ours, rng) | {"seconds": took})
        vectors = TextEmbedder(seed=seed).embed([f.input for f in found])
        start = time.perf_counter()
        told = KMeans(len(set(truth)), n_init=1, random_state=seed).fit_predict(vectors)
        took = time.perf_counter() - start
        rows.setdefault("kmeans, told the number", []).append(score(known, told, rng) | {"seconds": took})
        older = KMeans(len(set(truth)), n_init=1, random_state=seed).fit_predict(lsa([f.input for f in found], seed))
        rows.setdefault("kmeans, told the number, on TF-IDF and SVD", []).append(score(known, older, rng))
        if peers and seed == 0:
            start = time.perf_counter()
            dense = HDBSCAN(min_cluster_size=5, copy=True).fit_predict(vectors)
            took = time.perf_counter() - start
            rows["hdbscan"] = [score(known, dense, rng) | {"seconds": took, "left_out": float(np.mean(dense < 0))}]
        print(f"  seed {seed}: " + "  ".join(f"{k} {v[-1]['nmi']:.3f}/{v[-1]['ari']:.3f}" for k, v in rows.items()))
    return {
        "texts": len(found),
        "intents": len(set(truth)),
        "seeds": seeds,
        **{key: mean_of(value) for key, value in rows.items()},
    }


def lsa(texts: list[str], seed: int) -> np.ndarray[Any, Any]:
    """The usual vectors without pretrained weights: words and pairs, TF-IDF, 128 dimensions by SVD, length 1."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    counts = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit_transform(texts)
    reduced = TruncatedSVD(128, random_state=seed).fit_transform(counts)
    return np.asarray(normalize(reduced))


def of_a_model(seeds: int) -> dict[str, Any]:
    """What a classifier that knows 100 of CLINC150's intents gets wrong on all 150: grouped by its texts alone,
    with its answers, and with 2,000 of its training texts beside, from which words are learnt."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, intents = clinc("train")
    asked, right = clinc("test")
    rows: dict[str, list[dict[str, Any]]] = {"texts": [], "texts and answers": [], "with training texts beside": []}
    failures = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        taught = set(rng.choice(sorted(set(intents)), 100, replace=False).tolist())
        kept = [place for place, intent in enumerate(intents) if intent in taught]
        model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=20))
        model.fit([texts[p] for p in kept], [intents[p] for p in kept])
        said = model.predict(asked).tolist()
        wrong = [place for place, answer in enumerate(said) if answer != right[place]]
        truth = np.unique([right[p] for p in wrong], return_inverse=True)[1]
        failures.append(len(wrong))
        answers = [said[p] for p in wrong]
        known = [texts[p] for p in kept[:: max(1, len(kept) // 2000)]]
        for name, outputs, beside in (
            ("texts", None, []),
            ("texts and answers", answers, []),
            ("with training texts beside", answers, known),
        ):
            found = failed([asked[p] for p in wrong], outputs)
            _, assigned = modes_of(found, seed, beside=beside)
            ours = np.unique([assigned.get(f.interaction_id, "") for f in found], return_inverse=True)[1]
            rows[name].append(score(truth, ours, rng))
        print(f"  seed {seed}: {len(wrong)} failures, " + ", ".join(f"{k} {v[-1]['nmi']:.3f}" for k, v in rows.items()))
    return {"failures": failures, **{key: mean_of(value) for key, value in rows.items()}}


def stability(texts: list[str], truth: list[str], seeds: int) -> dict[str, Any]:
    """Two spins see one half of the texts each: how many texts of the second are in a mode that kept its id, and how
    many of those ids still mean the same intent."""
    kept, same, counted, splits, merges = [], [], [], [], []
    for seed in range(seeds):
        half = np.random.default_rng(seed).permutation(len(texts)) % 2
        parts = [[p for p in range(len(texts)) if half[p] == side] for side in (0, 1)]
        one, two = (
            failed([texts[p] for p in part], prefix=prefix) for part, prefix in zip(parts, ("a", "b"), strict=True)
        )
        first, in_first = modes_of(one, seed)
        inputs = {f.interaction_id: f.input for f in one}
        second, in_second = modes_of(two, seed, first, inputs, spin=2)
        known = {mode.id for mode in first}
        mostly = [
            {
                key: Counter(truth[part[int(i[1:])]] for i in ids).most_common(1)[0][0]
                for key, ids in _inverted(assigned).items()
            }
            for part, assigned in zip(parts, (in_first, in_second), strict=True)
        ]
        stayed = [mode.id for mode in second if mode.id in known]
        sizes = Counter(in_second.values())
        kept.append(sum(sizes[key] for key in stayed) / max(sum(sizes.values()), 1))
        same.append(sum(mostly[0][key] == mostly[1][key] for key in stayed) / max(len(stayed), 1))
        counted.append([len(first), len(second)])
        splits.append(sum(mode.split_from is not None for mode in second))
        merges.append(sum(len(mode.merged) for mode in second))
        print(f"  seed {seed}: {counted[-1]} modes, {kept[-1]:.0%} of texts keep an id, {same[-1]:.0%} mean the same")
    return {
        "texts_in_modes_that_kept_their_id": round(float(np.mean(kept)), 4),
        "kept_ids_that_mean_the_same_intent": round(float(np.mean(same)), 4),
        "modes": counted,
        "splits": splits,
        "merges": merges,
    }


def _inverted(assigned: dict[str, str]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for key, mode in assigned.items():
        out.setdefault(mode, []).append(key)
    return out


def scaling(sizes: list[int]) -> list[dict[str, Any]]:
    """Seconds for vectors and groups as texts grow; beyond CLINC150's own, texts repeat with a word left out."""
    pool = [text for part in ("train", "val", "test") for text in clinc(part)[0]]
    rows = []
    for size in sizes:
        rng = np.random.default_rng(size)
        texts = [pool[p] for p in rng.permutation(len(pool))[:size]]
        while len(texts) < size:
            words = pool[int(rng.integers(len(pool)))].split()
            gone = int(rng.integers(len(words)))
            texts.append(" ".join(words[:gone] + words[gone + 1 :]) or "hello")
        start = time.perf_counter()
        vectors = TextEmbedder().embed(texts)
        middle = time.perf_counter()
        groups = int(cluster(vectors).max()) + 1
        end = time.perf_counter()
        rows.append(
            {"texts": size, "embed_s": round(middle - start, 2), "group_s": round(end - middle, 2), "groups": groups}
        )
        print(
            f"  {size:>7,} texts: vectors {middle - start:6.2f} s, groups {end - middle:6.2f} s ({groups})", flush=True
        )
    return rows


def show(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}: {found['texts']:,} texts, {found['intents']} intents, mean of {found['seeds']} seeds")
    print(f"  {'':44} groups   NMI  [95 %]           ARI  [95 %]          seconds")
    for key, row in found.items():
        if isinstance(row, dict):
            print(
                f"  {key:44} {row['groups']:6.0f} {row['nmi']:.3f}  [{row['nmi_95'][0]:.3f}, {row['nmi_95'][1]:.3f}]  "
                f"{row['ari']:.3f}  [{row['ari_95'][0]:.3f}, {row['ari_95'][1]:.3f}] {row['seconds']:7.2f}"
            )


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 4000, 16_000, 100_000])
    parser.add_argument("--quick", action="store_true", help="one seed, small sizes, nothing written")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.sizes = 1, [1000, 4000]
    result: dict[str, Any] = {"commit": commit(), "machine": f"{platform.machine()}, {platform.python_version()}"}
    for name, (texts, truth) in {"clinc150": clinc("test"), "banking77": banking("test")}.items():
        print(f"{name} ...", flush=True)
        result[name] = compare(failed(texts), truth, options.seeds)
        show(name, result[name])
    print("\nfailures of a model that knows 100 of 150 intents ...", flush=True)
    result["of_a_model"] = of_a_model(options.seeds)
    print("\ntwo spins, one half of the texts each ...", flush=True)
    result["stability"] = {
        "clinc150": stability(*clinc("test"), options.seeds),
        "banking77": stability(*banking("test"), options.seeds),
    }
    print("\ntime ...", flush=True)
    result["scaling"] = scaling(options.sizes)
    if not options.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result, indent=2) + "\n")
        print(f"\nwritten to {RESULTS.relative_to(Path(__file__).parents[1])}")


if __name__ == "__main__":
    main()
