"""How much personal data the redactors find, how much they destroy that is none, and how fast.

`make bench-redaction` reads the 1,500 made-up texts of `presidio_pii` (Microsoft, MIT; found under `FLYWHEEL_DATA`).
The rules were made with the texts of even templates; figures are those of the odd ones. A find counts when
every character of the entity is gone under the right kind; precision is the share of removals that touch an entity of
that kind. Intervals are Wilson's, 95 %. Speed is in processor time of one thread, best of several runs, in bytes of
UTF-8; chat texts are those of `topical_chat`. With `--presidio` (the extra, and a spaCy model) names
and places too.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import platform
import random
import re
import subprocess
import sys
import tarfile
import time
import timeit
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import phonenumbers

from flywheel import plugins

RESULTS = Path(__file__).parent / "results"
BUILT_IN = {
    "EMAIL_ADDRESS": "email",
    "CREDIT_CARD": "card",
    "PHONE_NUMBER": "phone",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "US_SSN": "national id",
    "US_DRIVER_LICENSE": "national id",
}
WITH_PRESIDIO = {"PERSON": "name", "GPE": "place", "STREET_ADDRESS": "place", "DATE_TIME": "date"}
MARK = re.compile(r"\[(email|card|phone|iban|ip|national id|secret|url login|name|place|date)\]")
TARGET_MB_S, TARGET_SHORT_US = 20.0, 1.5
DENSE, DENSE_TENS = "presidio_pii, a text a call", "presidio_pii, ten messages a call"
SHORT = ("What is the weather in Paris?", "ios", "checkout", "en-GB", "the password is wrong")


def wilson(good: int, n: int) -> list[float] | None:
    """Interval of a share (E. B. Wilson, 1927), 95 %; None without a case."""
    if not n:
        return None
    z, p = 1.959964, good / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [round((middle - half) / (1 + z * z / n), 3), round((middle + half) / (1 + z * z / n), 3)]


def removals(text: str, cleaned: str) -> list[tuple[int, int, str]]:
    """Read off what was removed: the spans of `text` that marks of `cleaned` stand for."""
    kinds = MARK.findall(cleaned)
    pattern = "(.+?)".join(re.escape(part) for part in MARK.split(cleaned)[::2])
    match = re.fullmatch(pattern, text, re.DOTALL)
    if match is None:
        raise SystemExit(f"the redactor changed more than it marked, in a text of {len(text)} characters")
    return [(*match.span(place + 1), kind) for place, kind in enumerate(kinds)]


def accuracy(rows: list[dict[str, Any]], redact: Callable[[Any], Any], kinds: dict[str, str]) -> dict[str, Any]:
    """Count per entity type what was found and missed, and per kind what was removed without cause."""
    found: Counter[str] = Counter()
    there: Counter[str] = Counter()
    right: Counter[str] = Counter()
    removed: Counter[str] = Counter()
    for row in rows:
        text = row["full_text"]
        gone = removals(text, redact(text)[0])
        for span in row["spans"]:
            kind = kinds.get(span["entity_type"])
            there[span["entity_type"]] += 1
            covered = {place for start, end, of in gone if of == kind for place in range(start, end)}
            found[span["entity_type"]] += covered >= set(range(span["start_position"], span["end_position"]))
        for start, end, kind in gone:
            removed[kind] += 1
            right[kind] += any(
                kinds.get(span["entity_type"]) == kind and span["start_position"] < end and start < span["end_position"]
                for span in row["spans"]
            )
    report: dict[str, Any] = {}
    for entity, kind in kinds.items():
        recall = found[entity] / there[entity] if there[entity] else 0.0
        precision = right[kind] / removed[kind] if removed[kind] else 0.0
        report[entity] = {
            "kind": kind,
            "n": there[entity],
            "recall": round(recall, 3),
            "recall_interval": wilson(found[entity], there[entity]),
            "removed_as_kind": removed[kind],
            "precision_of_kind": round(precision, 3),
            "precision_interval": wilson(right[kind], removed[kind]),
            "f1": round(2 * recall * precision / (recall + precision), 3) if recall + precision else 0.0,
        }
    return report


def speed(texts: list[Any], redact: Callable[[Any], Any], repeat: int = 15) -> dict[str, float]:
    """Megabytes a second, and microseconds a text, over all texts one after another."""
    size = sum(len((text if isinstance(text, str) else json.dumps(text)).encode()) for text in texts)
    took = min(timeit.repeat(lambda: [redact(text) for text in texts], timer=time.thread_time, number=1, repeat=repeat))
    return {
        "texts": len(texts),
        "bytes_per_text": round(size / len(texts), 1),
        "MB_per_s": round(size / took / 1e6, 1),
        "us_per_text": round(took / len(texts) * 1e6, 2),
    }


def chats(folder: Path) -> list[str]:
    """Every message of the conversations, as people typed them."""
    talks = json.loads(gzip.decompress((folder / "topical_chat" / "valid_freq.json.gz").read_bytes()))
    return [turn["message"] for talk in talks.values() for turn in talk["content"]]


def log_lines(folder: Path) -> list[str]:
    """Lines of eight systems' logs; the network addresses in them are rightly removed."""
    lines: list[str] = []
    with tarfile.open(folder / "loghub_2k" / "loghub_2k.tar.gz") as packed:
        for member in packed:
            held = packed.extractfile(member)
            if held is not None and member.name.endswith(".log"):
                lines += held.read().decode("utf-8", "replace").splitlines()
    return lines


def records(texts: list[str]) -> list[dict[str, Any]]:
    """Interactions of about 340 bytes as a recorder hands them over, around the given texts."""
    draw = random.Random(7)
    return [
        {
            "input": {"text": texts[place], "lang": "en-GB", "turn": place % 9},
            "output": texts[place + 1],
            "scores": {"yes": 0.75, "no": 0.25},
            "context": {"device": "ios", "network": "3g", "app": "4.12.0", "country": "DE", "step": place % 7},
            "model": "support-2026-01",
            "session": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
        }
        for place in range(len(texts) - 1)
    ]


def wrongly_touched(texts: Iterable[str], redact: Callable[[Any], Any]) -> dict[str, Any]:
    """How many texts of a corpus without personal data were changed, and by which kinds."""
    changed, kinds, n = 0, Counter[str](), 0
    for text in texts:
        counts = redact(text)[1]
        n += 1
        changed += bool(counts)
        kinds.update(counts)
    return {"texts": n, "changed": changed, "interval": wilson(changed, n), "kinds": dict(kinds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presidio", action="store_true", help="measure the redactor `presidio` too (slow)")
    parser.add_argument("--tune", action="store_true", help="show the even templates, which the rules were made with")
    options = parser.parse_args()
    folder = Path(os.environ.get("FLYWHEEL_DATA", ""))
    if not (folder / "presidio_pii").is_dir():
        sys.exit("Set FLYWHEEL_DATA to the folder that holds presidio_pii and topical_chat")
    rows = json.loads(gzip.decompress((folder / "presidio_pii" / "synth_dataset_v2.json.gz").read_bytes()))
    half = [row for row in rows if row["template_id"] % 2 == (0 if options.tune else 1)]
    patterns = plugins.create("redactors", "patterns")
    everywhere = plugins.create("redactors", "patterns", regions=sorted(phonenumbers.SUPPORTED_REGIONS))
    talk = chats(folder)
    texts = [row["full_text"] for row in rows]
    types = Counter(span["entity_type"] for row in half for span in row["spans"])
    report: dict[str, Any] = {
        "half": "even templates" if options.tune else "odd templates",
        "texts": len(half),
        "patterns": accuracy(half, patterns.redact, BUILT_IN),
        "patterns_with_every_region": {
            **accuracy(half, everywhere.redact, {"PHONE_NUMBER": "phone"}),
            "chat_texts_changed": wrongly_touched(talk, everywhere.redact),
        },
        "not_covered_by_patterns": {name: n for name, n in sorted(types.items()) if name not in BUILT_IN},
        "chat_texts_changed": wrongly_touched(talk, patterns.redact),
        "log_lines_changed": wrongly_touched(log_lines(folder), patterns.redact),
        "speed": {
            DENSE: speed(texts, patterns.redact),
            DENSE_TENS: speed(
                [
                    [{"role": "user", "content": text} for text in texts[at : at + 10]]
                    for at in range(0, len(texts), 10)
                ],
                patterns.redact,
            ),
            "chat without personal data, a text a call": speed(
                [t for t in talk if not patterns.redact(t)[1]], patterns.redact
            ),
            "records of chat, about 340 bytes": speed(records(talk), patterns.redact),
            "one chat as one text of 1 MB": speed([("\n".join(talk) * 2)[:1_000_000]], patterns.redact),
        },
        "short_clean_us": {
            text: round(
                min(timeit.repeat(lambda t=text: patterns.redact(t), timer=time.thread_time, number=20_000, repeat=5))
                / 0.02,
                2,
            )
            for text in SHORT
        },
    }
    if options.presidio:
        names = plugins.create("redactors", "presidio", entities=("PERSON", "LOCATION", "DATE_TIME"))
        report["presidio"] = accuracy(half, names.redact, {**BUILT_IN, **WITH_PRESIDIO})
        report["speed"]["presidio_pii with presidio"] = speed(texts[:100], names.redact, repeat=2)
    show(report)
    if options.tune:
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    report = {
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
        **report,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "redaction.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    missed = [name for name, one in report["speed"].items() if one["MB_per_s"] < TARGET_MB_S]
    if missed:
        sys.stdout.write(f"under {TARGET_MB_S:.0f} MB/s: {', '.join(missed)}\n")
    ordinary = set(missed) - {DENSE, DENSE_TENS, "presidio_pii with presidio"}
    if ordinary or max(report["short_clean_us"].values()) > TARGET_SHORT_US:
        sys.exit(f"missed: {TARGET_MB_S:.0f} MB/s on ordinary texts, or {TARGET_SHORT_US} µs for a short clean one")


def show(report: dict[str, Any]) -> None:
    """Print the figures as a table."""
    for redactor in ("patterns", "presidio"):
        for entity, one in report.get(redactor, {}).items():
            sys.stdout.write(
                f"{redactor:9} {entity:18} n {one['n']:4}  recall {one['recall']:.3f} {one['recall_interval']}"
                f"  precision of {one['kind']} {one['precision_of_kind']:.3f} {one['precision_interval']}"
                f"  F1 {one['f1']:.3f}\n"
            )
    for name in ("patterns_with_every_region", "not_covered_by_patterns", "chat_texts_changed", "log_lines_changed"):
        sys.stdout.write(f"{name.replace('_', ' ')}: {report[name]}\n")
    for name, one in report["speed"].items():
        sys.stdout.write(f"{name:36} {one['MB_per_s']:8.1f} MB/s {one['us_per_text']:12.2f} µs a text\n")
    sys.stdout.write(f"short clean texts, µs: {report['short_clean_us']}\n")


if __name__ == "__main__":
    main()
