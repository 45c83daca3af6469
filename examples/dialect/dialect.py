"""A German assistant meets Swiss and South Tyrolean users: what Flywheel says, asks for, and mends in one spin.

The assistant has learnt 15 intents from 300 German sentences of xSID. In its second week people from Switzerland and
South Tyrol begin to use it, in their own German. Run it:

    python examples/dialect/dialect.py
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

import flywheel

SOURCE = "https://raw.githubusercontent.com/mainlp/xsid/{commit}/data/xSID-0.7/{name}"
COMMIT = "761d926c3f2e9f6bea13192d2f39cec1d04d9777"
SHA256 = {
    "de.valid.conll": "36fa82c92a5da4b53330d38f5f0c4b80b9cdafe8b0a320d4baab6e2de8f63ef8",
    "de.test.conll": "3940bd10101babf1c29ae238d2c788a91e4b25b9dbd5b7a162de52cab552354b",
    "gsw.test.conll": "e4c0b6a30cd79e5249d73b56cdb2ffb6bd7cd0385be69dd5c60fb7a34c664e7b",
    "de-st.test.conll": "6815aa88dd2457fd4cb3eaf6042b5d814c748fccf7f4a4500e08b169f95c1482",
    "gsw.valid.conll": "8d9c3a482e02bd0e0fbf8c56f774624b277dda322b8e4ca9b2d1306fb68708e5",
    "de-st.valid.conll": "38114cb90ff8efc7ac2c65166058f0847d4a33692f38192f7ff8feea1a1a7ad0",
}
MORE = {"de-CH": "gsw.valid.conll", "de-IT": "de-st.valid.conll"}
LOCALES = {"de-DE": "de.test.conll", "de-CH": "gsw.test.conll", "de-IT": "de-st.test.conll"}
START = datetime(2026, 3, 2, 8, tzinfo=UTC)

Said = tuple[str, str]
"""A sentence and its intent."""


def load() -> dict[str, list[Said]]:
    """xSID 0.7 (van der Goot et al. 2021; Aepli et al. 2023; Winkler et al. 2024; CC BY-SA 4.0), from FLYWHEEL_DATA
    where that is set, else downloaded and checked."""
    local = os.environ.get("FLYWHEEL_DATA")
    found = {}
    for name, digest in SHA256.items():
        path = Path(local) / "xsid" / name if local else None
        if path is None or not path.exists():
            import pooch

            try:
                path = Path(pooch.retrieve(SOURCE.format(commit=COMMIT, name=name), f"sha256:{digest}"))
            except OSError as problem:
                raise SystemExit(
                    f"xSID's {name} could not be downloaded: {problem}. Fetch data/xSID-0.7 of "
                    "github.com/mainlp/xsid, and set FLYWHEEL_DATA to the folder that holds it as xsid/"
                ) from problem
        found[name] = sentences(path.read_text(encoding="utf-8"))
    return found


def sentences(conll: str) -> list[Said]:
    """The sentences of a file in xSID's CoNLL form, in order: `# text = …`, `# intent = …`.

    >>> sentences("# text = Regnet es heute?\\n# intent = weather/find\\n1\\tRegnet\\tweather/find\\tO\\n")
    [('Regnet es heute?', 'weather/find')]
    """
    rows: list[Said] = []
    text = ""
    for line in conll.splitlines():
        if line.startswith("# text = "):
            text = line.removeprefix("# text = ").strip()
        elif line.startswith(("# intent = ", "# intent: ")):
            rows.append((text, line.split("=" if "=" in line else ":", 1)[1].strip()))
    return rows


WEEKS = 4
"""How long it works before the others come: what is usual has to be known before it can be missed."""


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Tell the story; returns the figures it ends with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=int, default=120, help="labels that the spin may ask for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(arguments)
    data = load()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="flywheel-dialect-"))
    # The varieties translate the same sentences: what is held out in one is held out in all.
    order = np.random.default_rng(options.seed).permutation(len(data["de.test.conll"]))
    used, held = order[: len(order) // 2], order[len(order) // 2 :]
    with flywheel.open(folder, task="classification", observe={"every": "day"}) as fw:
        first = data["de.valid.conll"]
        fw.seed([text for text, _ in first], [intent for _, intent in first], at=START)
        fw.spin(budget=0, at=START, seed=options.seed)
        # There are few German sentences to hand, so that many users say the same; in dialect each is said once.
        german = [data[LOCALES["de-DE"]][row] for row in used]
        for week in range(WEEKS):
            traffic(fw, {"de-DE": german * 4}, START + timedelta(weeks=week), options.seed)
        second = START + timedelta(weeks=WEEKS)
        fw.spin(budget=0, at=second, seed=options.seed)
        before = scores(fw, data, held)
        print(f"An assistant has learnt {len(first)} German sentences, and worked {WEEKS} weeks in Germany.")
        print(
            "Of sentences it has not seen it gets right: " + ", ".join(f"{k} {v.mean():.0%}" for k, v in before.items())
        )
        # What the dialects say for the sentences it was taught is new to it, too, and never held out.
        new = {locale: [data[LOCALES[locale]][row] for row in used] + data[name] for locale, name in MORE.items()}
        traffic(fw, {"de-DE": german, **new}, second, options.seed)
        seen(fw, second)
        modes = spin(fw, data, second + timedelta(days=7), options.budget, options.seed)
        after = scores(fw, data, held)
        figures = avoided(before, after)
        print(f"\nThe flywheel is in {folder}")
        if modes:
            print(f"Next: flywheel why {modes[0].id} --folder {folder}")
    return figures


def traffic(fw: flywheel.Flywheel, said: dict[str, list[Said]], monday: datetime, seed: int) -> None:
    """A week of requests. One in ten wrong answers is complained about; support checks one in five at random."""
    rng = np.random.default_rng([seed, monday.toordinal()])
    asked = [(locale, text, intent) for locale, rows in said.items() for text, intent in rows]
    asked = [asked[place] for place in rng.permutation(len(asked))]
    times = [monday + timedelta(days=7) * (place / len(asked)) for place in range(len(asked))]
    answers = fw.predict(
        [text for _, text, _ in asked],
        users=[f"{locale}-{rng.integers(60)}" for locale, _, _ in asked],
        contexts=[{"locale": locale, "device": str(rng.choice(["phone", "speaker"]))} for locale, _, _ in asked],
        at=times,
        ids=[f"{monday:%m%d}-{place}" for place in range(len(asked))],  # the same story every time
    )
    told = []
    for (_, _, intent), answer, at in zip(asked, answers, times, strict=True):
        about = {"interaction_id": answer.id, "at": at + timedelta(minutes=5)}
        if answer.output != intent and rng.random() < 0.1:
            told.append({**about, "rating": -1})
        if rng.random() < 0.2:
            told.append({**about, "label": intent, "source": "reviewer", "by": "support", "propensity": 0.2})
    fw.feedback_many(told)


def seen(fw: flywheel.Flywheel, since: datetime) -> None:
    """What got worse, and for whom."""
    found = fw.observe(since=since)
    print("\nThe alarm:")
    alarms = [one for one in found if one.alarm]
    for alarm in sorted(alarms, key=lambda one: one.kind != "performance")[:3]:
        print(f"  {alarm.line}")
    if not alarms:
        print("  none")
    print("\nFor whom:")
    for piece in fw.slices(since=since, k=3):
        print(f"  {piece.line}")


def spin(
    fw: flywheel.Flywheel, data: dict[str, list[Said]], at: datetime, budget: int, seed: int
) -> Sequence[flywheel.Mode]:
    """One spin: what fails and why, the labels it asks for, the answers of people who speak the dialects."""
    truth = {text: intent for name in (*LOCALES.values(), *MORE.values()) for text, intent in data[name]}
    turn = fw.spin(budget=budget, at=at, seed=seed)
    modes = turn.modes
    print("\nWhat fails, and why:")
    for mode in sorted(modes, key=lambda mode: -mode.count)[:4]:
        print(f"  {mode.name}: {mode.count:.0f} failures, {mode.share:.1%} of all requests")
        print(f"    {mode.cause.kind} ({mode.cause.probability:.0%}): {'; '.join(mode.cause.evidence[:2])}")
    queue = fw.review_queue()
    local = sum(item.context.get("locale") != "de-DE" for item in queue)
    print(f"\nIt asks for {len(queue)} labels, {local} of them of Swiss and South Tyrolean users, for instance:")
    for item in [item for item in queue if not item.audit][:3] + [item for item in queue if item.audit][:1]:
        print(f"  {item.input!r} → {item.output}? ({item.context.get('locale', 'known example')}; {item.why})")
    for item in queue:
        if item.input in truth:
            fw.label(item.id, truth[item.input], by="native speaker", at=at)
        else:
            # A second look at one of the examples it began with: its label stands.
            fw.skip(item.id, by="native speaker", at=at)
    turn = fw.spin(at=at + timedelta(hours=1), seed=seed)
    print(f"\nThe gate: {turn.verdict}")
    return modes


def scores(fw: flywheel.Flywheel, data: dict[str, list[Said]], held: np.ndarray) -> dict[str, np.ndarray]:
    """By locale, which of the held-out sentences the champion gets right; nothing of them is logged."""
    out = {}
    for locale, name in LOCALES.items():
        asked = [data[name][row] for row in held]
        answers = fw.predict([text for text, _ in asked], log=False)
        out[locale] = np.array([a.output == intent for a, (_, intent) in zip(answers, asked, strict=True)], dtype=float)
    return out


def avoided(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> dict[str, float]:
    """Say what one spin is worth on sentences nobody trained on: paired differences with their intervals."""
    rng = np.random.default_rng(0)
    print("\nOn held-out sentences, before and after the spin:")
    for locale in before:
        low, high = interval(after[locale] - before[locale], rng)
        print(
            f"  {locale}: {np.mean(before[locale]):.1%} -> {np.mean(after[locale]):.1%} right "
            f"({100 * np.mean(after[locale] - before[locale]):+.1f} points, {100 * low:+.1f} to {100 * high:+.1f})"
        )
    # The two dialects translate the same sentences, so a sentence is drawn with both.
    gain = np.mean([after[locale] - before[locale] for locale in ("de-CH", "de-IT")], axis=0)
    low, high = interval(gain, rng)
    print(
        f"Loss avoided: {1000 * gain.mean():.0f} wrong answers in 1,000 requests in dialect "
        f"({1000 * low:.0f} to {1000 * high:.0f}), and no request of theirs was in the training data"
    )
    return {
        "before": float(np.mean([before["de-CH"], before["de-IT"]])),
        "after": float(np.mean([after["de-CH"], after["de-IT"]])),
        "german_before": float(before["de-DE"].mean()),
        "german_after": float(after["de-DE"].mean()),
        "low": low,
        "high": high,
    }


def interval(differences: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The mean's 95 % interval by 5,000 bootstrap draws."""
    means = rng.choice(differences, (5000, len(differences))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main(sys.argv[1:])
