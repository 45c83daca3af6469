"""Datasets: what a model learns from, immutable and known by the hash of its content."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flywheel.config import CurateSettings
from flywheel.curate.examples import canonical
from flywheel.errors import InvalidConfig, NothingToLearn
from flywheel.records import Dataset, Example

__all__ = ["build_dataset", "content_hash"]

_BINS = 10
_WIDE = 32
"""A list with so many numbers is a picture or an embedding."""
_NOTED = 50
"""At most so many conflicts are written out in a dataset's notes; all are counted."""
_CONTENT = (
    "id",
    "input",
    "label",
    "origin",
    "interaction_id",
    "mode",
    "audit",
    "propensity",
    "weight",
    "group",
    "fold",
    "failure",
    "context",
)


def build_dataset(
    pool: Sequence[Example],
    *,
    spin: int,
    parent: str | None = None,
    settings: CurateSettings,
    seed: int,
    at: datetime,
    cap: int | None = None,
    synthetic_share: float = 0.25,
    clip: float | None = None,
    regression: bool | None = None,
) -> Dataset:
    """Make the dataset of a spin out of every example there is: seed labels, reviewed ones, truth, synthetic ones.

    - A second label for one interaction replaces the first; for the same input with different labels the latest
      reviewer is believed. Both are counted, and the conflicts named, in the notes. What is only nearly the same may
      have another label ("set an alarm", "set no alarm"): all are learnt, and the doubtful may come to a second look.
      With `regression` (by default: every label is a number and some have a fraction) numbers may differ.
    - With more than `cap` examples, those of this spin stay and the others are drawn from a replay buffer, as evenly
      over labels (tenths of the range for numbers) as they allow (Rolnick et al. 2019, "Experience replay").
    - A synthetic example stays where every example it was made of does; the cap does not count it.
    - Failures make up at most `settings.failure_share` of the weight and synthetic examples at most `synthetic_share`.
    - With `clip`, or `settings.propensity_clip`, reviewed examples that have a propensity weigh 1/propensity, relative
      to their median and within 1/clip to clip.

    The hash is over the examples only, whatever their order and the time. Raises `NothingToLearn` for an empty pool.
    """
    if not pool:
        raise NothingToLearn(
            "there is no labelled example yet. Seed some with `fw.seed(inputs, labels)`, or label some"
        )
    if (cap is not None and cap < 1) or not 0 <= synthetic_share < 1 or (clip is not None and clip < 1):
        raise InvalidConfig(
            f"cap={cap}, synthetic_share={synthetic_share}, clip={clip}: "
            "cap and clip must be 1 or more, the share 0 to below 1"
        )
    clip = clip if clip is not None else settings.propensity_clip or None
    if regression is None:
        numbers = [type(example.label) for example in pool]
        regression = float in numbers and set(numbers) <= {int, float}
    current, superseded = _latest(pool)
    conflicts: list[dict[str, Any]] = []
    agreed = current if regression else _settled(current, conflicts)
    kept = _with_children(_replay([e for e in agreed if e.origin != "synthetic"], spin, cap, seed, regression), agreed)
    weighted = _weigh(kept, clip)
    weighted, _ = _limit(weighted, lambda example: not example.evidence, synthetic_share)
    weighted, factor = _limit(weighted, lambda example: example.failure, settings.failure_share)
    examples = tuple(sorted(weighted, key=lambda example: example.id))
    notes = {
        **_counts(examples, regression),
        "failure_weight": round(factor, 6),
        "superseded": superseded,
        "conflicts": len(conflicts),
        "conflict_list": conflicts[:_NOTED],
        "left_out": len(agreed) - len(kept),
        "left_out_by_label": {} if regression else _left_out(agreed, kept),
    }
    return Dataset(hash=content_hash(examples), examples=examples, spin=spin, parent=parent, created_at=at, notes=notes)


def content_hash(examples: Sequence[Example]) -> str:
    """SHA-256 over what is learnt, not over when, by whom, or in which order it was labelled."""
    lines = sorted(canonical({name: getattr(example, name) for name in _CONTENT}) for example in examples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _trust(example: Example) -> tuple[bool, bool, datetime, int, str]:
    """People and later facts before the labels a team started with, those before synthetic ones; then the latest."""
    at = example.at or datetime.min.replace(tzinfo=UTC)
    asked = example.evidence and example.origin != "seed"
    return asked, example.evidence, at, example.spin, example.id


def _latest(pool: Sequence[Example]) -> tuple[list[Example], int]:
    """One example an interaction. A second opinion on an example without interaction replaces it by its input."""
    same: defaultdict[str, list[Example]] = defaultdict(list)
    for example in {example.id: example for example in pool}.values():
        if example.origin == "synthetic":  # it has its parent's interaction, and does not speak about it
            same["s" + example.id].append(example)
        elif example.interaction_id is not None:
            same["i" + example.interaction_id].append(example)
        else:
            same["v" + canonical(example.input)].append(example)
    current: list[Example] = []
    superseded = 0
    for together in same.values():
        best = max(together, key=_trust)
        if best.origin == "seed":
            current.extend(together)  # the same seed input twice is the team's own wish
            continue
        superseded += len(together) - 1
        current.append(replace(best, failure=any(example.failure for example in together)))
    return current, superseded


def _settled(examples: Sequence[Example], conflicts: list[dict[str, Any]]) -> list[Example]:
    """Leave out what contradicts the most trusted label of the same input.

    Only where the same input means the same: of two people with the same few fields one may well pay and the other not,
    and to leave one of them out would teach the model a certainty that is not there. And only of the same input, but
    for case and spaces: one word sets two near-duplicates apart, and often it is the word that matters.
    """
    same: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        same[canonical(_bare(example.input))].append(example)
    kept: list[Example] = []
    for name in sorted(same):
        best = max(same[name], key=_trust)
        if _described(best.input):
            kept.extend(same[name])
            continue
        agreeing = [example for example in same[name] if canonical(example.label) == canonical(best.label)]
        kept.extend(agreeing)
        if len(agreeing) < len(same[name]):
            losers = sorted(
                (example for example in same[name] if canonical(example.label) != canonical(best.label)),
                key=lambda example: example.id,
            )
            conflicts.append(
                {
                    "group": best.group or best.id,
                    "believed": best.label,
                    "by": best.by,
                    "left_out": [{"id": loser.id, "label": loser.label} for loser in losers],
                }
            )
    return kept


def _bare(value: Any) -> Any:
    """An input as it is compared: texts without regard to case and spaces, 1 and 1.0 as the same number."""
    if isinstance(value, str):
        return " ".join(value.casefold().split())
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    if isinstance(value, Mapping):
        return {key: _bare(one) for key, one in value.items()}
    return [_bare(one) for one in value] if isinstance(value, list | tuple) else value


def _described(value: Any) -> bool:
    """Is an input a description by fields or a few numbers, which many different things may share?"""
    if isinstance(value, Mapping):
        return not isinstance(value.get("messages"), list)
    return (
        isinstance(value, list | tuple) and len(value) < _WIDE and not any(isinstance(v, Mapping | list) for v in value)
    )


def _replay(examples: Sequence[Example], spin: int, cap: int | None, seed: int, regression: bool) -> list[Example]:
    if cap is None or len(examples) <= cap:
        return list(examples)
    fresh = [example for example in examples if example.spin == spin and example.origin != "seed"]
    if len(fresh) >= cap:
        return _evenly(fresh, cap, seed, regression)
    ids = {example.id for example in fresh}
    old = [example for example in examples if example.id not in ids]
    return fresh + _evenly(old, cap - len(fresh), seed, regression)


def _with_children(kept: list[Example], agreed: Sequence[Example]) -> list[Example]:
    ids = {example.id for example in kept}
    children = [e for e in agreed if e.origin == "synthetic" and ids.issuperset(e.made.get("of", ()))]
    return kept + children


def _evenly(examples: Sequence[Example], cap: int, seed: int, regression: bool) -> list[Example]:
    """Draw `cap` examples, the same number of each label while it lasts. An example's luck is the same every spin."""

    def luck(example: Example) -> str:
        return hashlib.sha256(f"{seed}|{example.id}".encode()).hexdigest()

    strata: defaultdict[str, list[Example]] = defaultdict(list)
    if regression:
        by_label = sorted(examples, key=lambda example: (float(example.label), example.id))
        for position, example in enumerate(by_label):
            strata[str(position * _BINS // len(by_label))].append(example)
    else:
        for example in examples:
            strata[canonical(example.label)].append(example)
    queues = [sorted(strata[name], key=luck) for name in sorted(strata)]
    rounds = max(len(queue) for queue in queues)
    in_turn = [queue[turn] for turn in range(rounds) for queue in queues if turn < len(queue)]
    return in_turn[:cap]


def _weigh(examples: Sequence[Example], clip: float | None) -> list[Example]:
    asked = sorted(1 / p for example in examples if (p := _asked_with(example)) is not None)
    if clip is None or not asked:
        return list(examples)
    middle = asked[len(asked) // 2]
    return [
        replace(example, weight=example.weight * min(clip, max(1 / clip, 1 / p / middle)))
        if (p := _asked_with(example)) is not None
        else example
        for example in examples
    ]


def _asked_with(example: Example) -> float | None:
    """The probability with which a reviewer was asked, None where nobody was or it is not known."""
    return example.propensity if example.origin == "review" else None


def _limit(examples: Sequence[Example], chosen: Callable[[Example], bool], share: float) -> tuple[list[Example], float]:
    """Lower the weight of the chosen ones until they are at most `share` of the whole; return the factor too."""
    inside = sum(sorted(example.weight for example in examples if chosen(example)))
    outside = sum(sorted(example.weight for example in examples if not chosen(example)))
    if inside == 0 or outside == 0 or share >= 1 or inside <= share * (inside + outside):
        return list(examples), 1.0
    factor = share / (1 - share) * outside / inside
    return [replace(e, weight=e.weight * factor) if chosen(e) else e for e in examples], factor


def _counts(examples: Sequence[Example], regression: bool) -> dict[str, Any]:
    origins = Counter(example.origin for example in examples)
    labels = Counter(canonical(example.label) for example in examples)
    total = sum(example.weight for example in examples)
    failing = sum(example.weight for example in examples if example.failure)
    return {
        "examples": len(examples),
        "groups": len({example.group or example.id for example in examples}),
        "audit": sum(example.audit for example in examples),
        "by_origin": dict(sorted(origins.items())),
        "by_label": {} if regression else dict(sorted(labels.items())),
        "failures": sum(example.failure for example in examples),
        "failure_share": round(failing / total, 6) if total else 0.0,
    }


def _left_out(before: Sequence[Example], after: Sequence[Example]) -> dict[str, float]:
    """The share of each label's examples that the replay buffer left out."""
    had = Counter(canonical(example.label) for example in before)
    has = Counter(canonical(example.label) for example in after)
    return {label: round(1 - has[label] / had[label], 6) for label in sorted(had) if has[label] < had[label]}
