"""A folder that holds a long log: what `bench/web.py` looks at.

A support bot's ninety days. Everything is written by the product's own code: records through `codec.encode`, the log
through `Log.commit` in commits of 20,000, the tables through `Tables.sync`, the spins through `Flywheel.spin`. Left out
is only what a client does beforehand (drafts, redaction, HTTP): the records are made in memory, already pseudonymous.

Feedback stands on a twentieth of the interactions, some of it days late. In the last tenth a device begins to fail more
often (drift), a new intent turns up, and errors come in bursts. Three spins are real: over the first fiftieth, over
what came up to the last fiftieth, and over half of that; what came after them is there as on any morning.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import flywheel
from flywheel.records import Feedback, Interaction
from flywheel.store import codec

__all__ = ["DAYS", "THINGS", "fill", "label_of"]

DAYS = 90
THINGS = ("card", "transfer", "refund", "pin", "limit", "account", "loan", "fee", "atm", "cheque")
ASKS = ("where is my", "cancel the", "why was the", "how do i change my", "i lost my", "please block the")
TAILS = ("today", "again", "please", "since monday", "abroad", "online", "twice", "for my son", "at night", "")
DEVICES, NETWORKS, PLANS = ("ios", "android", "web"), ("4g", "wifi", "3g"), ("free", "plus", "team")
KNOWN = 8  # of the things; the bot was never taught the others
_CHUNK = 20_000
_MARK = "bench-web.json"


def label_of(text: str) -> str:
    """What is right: the thing that is spoken of."""
    return next((word for word in text.split() if word in THINGS), "card")


def fill(folder: Path, size: int, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Make the folder, or go on with the one that is there; return its figures. Some minutes a ten million."""
    mark = folder / _MARK
    if mark.exists():
        told: dict[str, Any] = json.loads(mark.read_text())
        if told["interactions"] < size:
            raise SystemExit(f"{folder} holds {told['interactions']:,} interactions; name another folder, or delete it")
        return told
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty and was not finished: delete it, or name another with --folder")
    begun = time.perf_counter()
    seconds: dict[str, float] = {}
    end = datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flywheel.toml").write_text('[product]\nname = "support bot"\ntask = "classification"\n\n'
                                          '[release]\nregistry = "folder"\n')  # fmt: skip
    with flywheel.open(folder) as fw:
        texts = [f"{ask} {thing} {tail}".strip() for ask in ASKS for thing in THINGS[:KNOWN] for tail in TAILS]
        fw.seed(texts, [label_of(text) for text in texts], at=end - timedelta(days=DAYS))
        edges = [0, size // 50, size - size // 50, size - size // 100, size]
        for part, (first, last) in enumerate(pairwise(edges), 1):
            seconds[f"log {part}"] = _log(fw, first, last, size, end, say)
            started = time.perf_counter()
            fw._store.tables.sync(fw._store.log, lambda _, share: say(f"tables: {share:.0%}"))
            seconds[f"tables {part}"] = round(time.perf_counter() - started, 1)
            if part < len(edges) - 1:
                if part == 2:
                    _spun_until(fw, size // 50)
                started = time.perf_counter()
                at = end - timedelta(days=DAYS) * (1 - last / size)
                done = fw.spin(budget=100, at=at, labeler=lambda item: label_of(str(item.input)))
                seconds[f"spin {part}"] = round(time.perf_counter() - started, 1)
                say(f"spin {done.number}: {done.state} in {seconds[f'spin {part}']:.0f} s, {len(done.modes)} modes")
        started = time.perf_counter()
        fw.status()  # adds up the hourly cells once, as whoever opens the first page does
        seconds["first look"] = round(time.perf_counter() - started, 1)
    held = {
        "interactions": size,
        "seconds": {**seconds, "all": round(time.perf_counter() - begun, 1)},
        "megabytes": round(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6),
    }
    mark.write_text(json.dumps(held, indent=2) + "\n")
    return held


def _spun_until(fw: Any, width: int) -> None:
    """Move the first spin's window to where the second one's is to begin."""
    state, last = fw._store.state, fw._store.log.last()
    done = state.step(1, "sync")
    window = {"after": max(0, last - 2 * width), "upto": max(0, last - width)}
    state.save_step(1, "sync", {**done, **window, "interactions": width})


def _log(fw: Any, first: int, last: int, size: int, end: datetime, say: Callable[[str], None]) -> float:
    started, told = time.perf_counter(), time.perf_counter()
    for records, at in _days(first, last, size, end):
        fw._store.log.commit([codec.encode(record) for record in records], at)
        if time.perf_counter() - told > 10:
            told = time.perf_counter()
            done = int(records[0].id.split("-")[1], 16)
            say(f"log: {done:,} of {size:,}, {(done - first) / (told - started):,.0f} a second")
    return round(time.perf_counter() - started, 1)


def _days(first: int, last: int, size: int, end: datetime) -> Iterator[tuple[list[Any], datetime]]:
    """Records in the order of their time, with the feedback that came by then on what was logged before."""
    start, step = end - timedelta(days=DAYS), timedelta(days=DAYS) / size
    for begin in range(first, last, _CHUNK):
        count = min(_CHUNK, last - begin)
        chance = np.random.default_rng([1, begin])
        records: list[Any] = list(_interactions(chance, begin, count, size, start, step))
        about = [record for record in records if int(record.id.split("-")[1], 16) % 20 == 0]
        late = begin > 10 * _CHUNK and begin // _CHUNK % 5 == 0
        if late:  # a few that speak of what came long before
            old = chance.integers(0, begin, 200)
            now = records[-1].at
            records += [_said(chance, _id(int(n)), int(n), "card", "card", now) for n in old]
        records += [
            _said(chance, one.id, int(one.id.split("-")[1], 16), label_of(one.input), one.output, one.at)
            for one in about
        ]
        yield records, start + step * (begin + count)


def _id(n: int) -> str:
    return f"i-{n:012x}"


def _said(chance: Any, about: str, n: int, right: str, output: Any, at: datetime) -> Feedback:
    key, wrong = f"f-{n:012x}-{chance.integers(1 << 30):08x}", output != right
    if chance.random() < 0.1:
        return Feedback(id=key, interaction_id=about, at=at, kind="label", value=right, source="system")
    return Feedback(id=key, interaction_id=about, at=at, kind="rating", value=-1 if wrong else 1)


def _interactions(
    chance: Any, begin: int, count: int, size: int, start: datetime, step: timedelta
) -> Iterator[Interaction]:
    drifted = begin >= size * 0.9
    thing = chance.integers(0, len(THINGS) if drifted else KNOWN, count).tolist()
    ask, tail = chance.integers(0, len(ASKS), count).tolist(), chance.integers(0, len(TAILS), count).tolist()
    device, network = chance.integers(0, 3, count).tolist(), chance.integers(0, 3, count).tolist()
    plan, user = chance.integers(0, 3, count).tolist(), chance.integers(0, 50_000, count).tolist()
    slow = chance.gamma(4, 12, count).round(1).tolist()
    fate, sure = chance.random(count), chance.beta(8, 2, count)
    weak = (np.array(device) == 0) & (np.array(network) == 2)
    wrong = fate < np.where(weak, 0.3 if drifted else 0.12, 0.03)
    wrong |= np.array(thing) >= KNOWN
    sure = np.where(wrong, sure * 0.55, sure).round(3).tolist()
    burst = begin // _CHUNK % 40 == 7
    errors = (chance.random(count) < (0.02 if burst else 0.001)).tolist()
    model = f"v{1 + 3 * begin // size}"
    for k in range(count):
        n = begin + k
        asked = thing[k]
        said = THINGS[(asked + 1) % KNOWN] if wrong[k] else THINGS[asked]
        yield Interaction(
            id=_id(n), at=start + step * n, input=f"{ASKS[ask[k]]} {THINGS[asked]} {TAILS[tail[k]]} ref {n}",
            output=said, confidence=sure[k], latency_ms=slow[k], error="TimeoutError: no answer" if errors[k] else None,
            model=model, user=f"u_{user[k] * 2654435761 % (1 << 128):032x}", session=f"s{n // 4}",
            context={"device": DEVICES[device[k]], "network": NETWORKS[network[k]], "plan": PLANS[plan[k]]},
        )  # fmt: skip
