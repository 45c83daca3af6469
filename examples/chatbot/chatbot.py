"""A support chatbot that learns its users' new intents: CLINC150 with out-of-scope requests.

The bot starts with 100 of the 150 intents, 20 utterances each. The other 50 arrive in production, with requests that
belong to no intent at all. Each spin it may ask for a few labels. Run it:

    python examples/chatbot/chatbot.py --spins 4 --budget 100
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

import flywheel

SOURCE = "https://raw.githubusercontent.com/clinc/oos-eval/master/data/data_full.json"
SHA256 = "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0"
OUT_OF_SCOPE = "oos"


def load() -> dict[str, list[tuple[str, str]]]:
    """CLINC150 (Larson et al. 2019, CC BY 3.0), from FLYWHEEL_DATA where that is set, else downloaded and checked."""
    local = os.environ.get("FLYWHEEL_DATA")
    if local and (path := Path(local) / "clinc150" / "data_full.json.gz").exists():
        raw = json.loads(gzip.decompress(path.read_bytes()))
    else:
        import pooch

        raw = json.loads(Path(pooch.retrieve(SOURCE, f"sha256:{SHA256}", progressbar=True)).read_text())
    return {part: [(text, intent) for text, intent in rows] for part, rows in raw.items()}


def story(data: dict[str, list[tuple[str, str]]], spins: int, requests: int, seed: int):
    """First labels, the days of traffic, and the sealed test: known and new intents, and out-of-scope requests."""
    rng = np.random.default_rng(seed)
    intents = sorted({intent for _, intent in data["train"]})
    known = set(rng.choice(intents, 100, replace=False).tolist())
    by_intent: dict[str, list[str]] = {intent: [] for intent in intents}
    for text, intent in data["train"]:
        by_intent[intent].append(text)
    first = [(text, intent) for intent in sorted(known) for text in by_intent[intent][:20]]
    traffic = [(text, intent) for intent in sorted(known) for text in by_intent[intent][20:]]
    new = [(text, intent) for intent in intents if intent not in known for text in by_intent[intent]]
    outside = data["oos_train"] + data["oos_val"]
    days = []
    for day in range(spins):
        share_new = min(0.5, 0.2 + 0.1 * day)
        drawn = []
        for _ in range(requests):
            source = outside if rng.random() < 0.1 else new if rng.random() < share_new else traffic
            drawn.append(source[rng.integers(len(source))])
        days.append(drawn)
    return first, days, data["test"] + data["oos_test"]


def main() -> None:
    """Run the story and print what each spin did and what became of the sealed accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spins", type=int, default=4)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--test", type=int, default=5500, help="how many sealed utterances to score")
    options = parser.parse_args()
    first, days, sealed = story(load(), options.spins, options.requests, options.seed)
    sealed = [sealed[i] for i in np.random.default_rng(1).permutation(len(sealed))[: options.test]]
    folder = options.folder or Path(tempfile.mkdtemp(prefix="flywheel-chatbot-"))
    start = datetime(2026, 3, 2, 8, tzinfo=UTC)
    with flywheel.open(folder, task="classification") as fw:
        fw.seed([text for text, _ in first], [intent for _, intent in first], at=start)
        fw.spin(budget=0, at=start, seed=options.seed)
        before = accuracy(fw, sealed)
        print(f"first model: {before:.1%} of {len(sealed):,} sealed requests right (100 of 150 intents known)")
        for number, requests in enumerate(days):
            morning = start + timedelta(days=number)
            spin = one_day(fw, requests, morning, options.budget, options.seed)
            print(f"\nday {number + 1}: {len(requests):,} requests, {spin.labels} labels")
            for mode in spin.modes[:5]:
                print(f"  fails: {mode.name}  ({mode.share:.1%} of requests, {mode.cause.kind})")
            print(f"  gate:  {spin.verdict}")
            print(f"  sealed accuracy now {accuracy(fw, sealed):.1%}")
            if spin.receipt:
                print(f"  receipt: {spin.receipt.line}")
        after = accuracy(fw, sealed)
        print(f"\nsealed accuracy {before:.1%} -> {after:.1%}. The flywheel is in {folder}")
        print(f"Next: flywheel modes --folder {folder}")


def one_day(fw: flywheel.Flywheel, requests: list[tuple[str, str]], morning: datetime, budget: int, seed: int):
    """Answer a day's requests, hear the complaints, and spin with the labels a support agent would give."""
    rng = np.random.default_rng([seed, morning.toordinal()])
    truth = dict(requests)
    answers = fw.predict(
        [text for text, _ in requests],
        users=[f"user-{rng.integers(400)}" for _ in requests],
        contexts=[{"device": str(rng.choice(["ios", "android", "web"]))} for _ in requests],
        at=morning,
    )
    fw.feedback_many(
        {"interaction_id": answer.id, "rating": -1, "at": morning + timedelta(hours=2)}
        for (_, intent), answer in zip(requests, answers, strict=True)
        if rng.random() < (0.15 if answer.output != intent else 0.01)
    )
    return fw.spin(
        budget=budget, at=morning + timedelta(hours=12), seed=seed, labeler=lambda item: truth.get(item.input)
    )


def accuracy(fw: flywheel.Flywheel, sealed: list[tuple[str, str]]) -> float:
    """Share of the sealed requests the champion gets right; nothing of them is logged."""
    answers = fw.predict([text for text, _ in sealed], log=False)
    return float(np.mean([answer.output == intent for answer, (_, intent) in zip(answers, sealed, strict=True)]))


if __name__ == "__main__":
    main()
