"""From what failed to operations, from operations to synthetic examples with their lineage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flywheel.mine.augment import images, smote, text
from flywheel.mine.augment.operation import Operation, text_of, with_text
from flywheel.records import Example

__all__ = ["kind_of", "propose", "shown_by", "synthesise"]

_BESIDE = 3000
"""At most so many examples are compared with."""
_ENOUGH = 60
"""So many seed examples say what undamaged inputs look like."""


def kind_of(inputs: Sequence[Any]) -> str:
    """What can be done to inputs like these: `text`, `image`, `between` (vectors and records) or nothing."""
    some = list(inputs[:50])
    if not some:
        return ""
    if all(text_of(one) is not None for one in some):
        return "text"
    if images.pictures(some) is not None:
        return "image"
    if all(isinstance(one, Mapping) for one in some) or all(isinstance(one, list | tuple) for one in some):
        return "between"
    return ""


def propose(
    failed: Mapping[str, Any],
    examples: Sequence[Example],
    *,
    modes: Mapping[str, str] | None = None,
    noisy: Sequence[str] = (),
    seed: int = 0,
) -> list[Operation]:
    """Learn from failing inputs (by interaction id) how they differ from the examples, and what could be done to these.

    Inputs damaged on their way (texts, pictures) are looked at together and, for the modes in `noisy` (their cause is
    noise from outside), by themselves; `modes` says which interaction belongs to which. SMOTE is proposed for
    vectors and records where a mode has labelled failures. The most telling operation comes first.
    """
    real = [example for example in examples if example.origin != "synthetic"]
    kind = kind_of([example.input for example in real])
    modes = modes or {}
    found: list[Operation] = []
    if kind in ("text", "image"):
        known = _some([example.input for example in _sound(real)], seed)
        parts = [("", [failed[key] for key in sorted(failed)])]
        parts += [(mode, [failed[key] for key in sorted(failed) if modes.get(key) == mode]) for mode in noisy]
        for mode, inputs in parts:
            fresh = _damage(kind, inputs, known, mode, seed)
            # A mode of its own counts only where all failures together do not show the same.
            found += [one for one in fresh if all(one.name != other.name for other in found)]
    if kind in ("image", "between"):
        joined = [e for e in real if e.failure and e.mode]
        if joined:
            line = f"{len(joined)} labelled failures in {len({e.mode for e in joined})} failure modes"
            share = round(len(joined) / max(len(real), 1), 4)
            found.append(Operation(name="between", kind="between", share=share, n=len(joined), line=line))
    return found


def _sound(real: Sequence[Example]) -> list[Example]:
    """What inputs look like that are not damaged: those of the start, before anything failed.

    Without 60 seed examples, the older half of those that the product got right: later ones may be damaged too.
    """
    seeds = [example for example in real if example.origin == "seed"]
    if len(seeds) >= _ENOUGH:
        return seeds
    right = sorted((e for e in real if not e.failure), key=lambda e: (e.spin, e.id))
    return right[: max(_ENOUGH, len(right) // 2)] or list(real)


def _damage(kind: str, inputs: Sequence[Any], known: Sequence[Any], mode: str, seed: int) -> list[Operation]:
    if kind == "image":
        return images.learn(inputs, known, mode, seed)
    said = [t for t in (text_of(one) for one in inputs) if t]
    return text.learn(said, [t for t in (text_of(one) for one in known) if t], mode)


def _some(values: list[Any], seed: int) -> list[Any]:
    if len(values) <= _BESIDE:
        return values
    chosen = np.random.default_rng([seed, 7]).choice(len(values), _BESIDE, replace=False)
    return [values[int(i)] for i in np.sort(chosen)]


def shown_by(operation: Operation, cases: Sequence[Example], examples: Sequence[Example]) -> set[str]:
    """Ids of the cases that an operation is about, by their input alone: whether a model was right must not choose.

    Texts and pictures that show the damage; for SMOTE the cases of the labels that its modes have.
    """
    if operation.kind == "between":
        labels = {_key(e.label) for e in examples if e.failure and e.mode}
        return {case.id for case in cases if _key(case.label) in labels}
    known = [example.input for example in _sound(examples)]
    if operation.kind == "image":
        flags = images.found_in([case.input for case in cases], known)
    else:
        said = [text_of(case.input) or "" for case in cases]
        flags = text.found_in(operation.name, said, [text_of(one) or "" for one in known])
    return {case.id for case, flag in zip(cases, flags, strict=True) if flag}


def synthesise(
    operations: Sequence[Operation], examples: Sequence[Example], *, most: int, seed: int = 0
) -> list[Example]:
    """Make at most `most` synthetic examples, as many by each operation, with the labels as frequent as they are.

    Each keeps its parent's label, group and fold, so that no split ever separates them, and in `made` its lineage: the
    examples it was made `of`, the `operation` with its `parameters`, what was `done`, and the `mode`. The same example,
    operation and seed always make the same synthetic one. Examples that show the damage already are not damaged again.
    """
    real = [example for example in examples if example.origin != "synthetic"]
    made: list[Example] = []
    for turn, operation in enumerate(operations):
        wanted = most * (turn + 1) // len(operations) - most * turn // len(operations)
        if operation.kind == "between":
            made += _between(operation, real, wanted, seed)
        elif operation.kind == "image":
            made += _pictures(operation, _drawn(_whole(operation, real), wanted, seed, operation.name), seed)
        else:
            made += _texts(operation, _drawn(_whole(operation, real), wanted, seed, operation.name), seed)
    return made


def _whole(operation: Operation, real: Sequence[Example]) -> list[Example]:
    shown = shown_by(operation, real, real)
    return [example for example in real if example.id not in shown]


def _drawn(examples: Sequence[Example], wanted: int, seed: int, name: str) -> list[tuple[Example, int]]:
    """Parents and the number of the copy: every example once, in an order of its own, before any comes again.

    Labels are as frequent among them as among the examples: evening them out would shift what a model expects.
    """
    order = sorted(examples, key=lambda e: _digest(seed, name, e.id))
    return [(order[i % len(order)], i // len(order)) for i in range(wanted if order else 0)]


def _texts(operation: Operation, parents: Sequence[tuple[Example, int]], seed: int) -> list[Example]:
    made = []
    for parent, copy in parents:
        said = text_of(parent.input)
        if said is None:
            continue
        rng = np.random.default_rng(_digest(seed, operation.name, parent.id, copy))
        changed, done = text.disturb(said, operation.name, operation.parameters, rng)
        if done and changed.strip():
            made.append(_child(operation, parent, with_text(parent.input, changed), copy, {"done": done}))
    return made


def _pictures(operation: Operation, parents: Sequence[tuple[Example, int]], seed: int) -> list[Example]:
    x = images.pictures([parent.input for parent, _ in parents]) if parents else None
    if x is None:
        return []
    made = []
    for row, (parent, copy) in enumerate(parents):
        y = images.disturb(x[row : row + 1], operation.parameters, [_digest(seed, operation.name, parent.id, copy)])[0]
        whole = all(isinstance(value, int) for value in _flat(parent.input))
        values = np.rint(y).astype(int).ravel().tolist() if whole else [round(float(v), 6) for v in y.ravel()]
        made.append(_child(operation, parent, _shaped(values, parent.input), copy, {}))
    return made


def _between(operation: Operation, real: Sequence[Example], wanted: int, seed: int) -> list[Example]:
    parents = [e for e in real if e.failure and e.mode]
    near = {parent.id: smote.partners(parent, real) for parent in parents}
    parents = [parent for parent in parents if near[parent.id]]
    made = []
    for parent, copy in _drawn(parents, min(wanted, 5 * len(parents)), seed, operation.name):
        rng = np.random.default_rng(_digest(seed, operation.name, parent.id, copy))
        other = near[parent.id][int(rng.integers(len(near[parent.id])))]
        share = float(rng.random())
        value = smote.between(parent.input, other.input, [one.input for one in near[parent.id]], share)
        child = _child(operation, parent, value, copy, {"share": round(share, 4)})
        made.append(replace(child, made={**child.made, "of": [parent.id, other.id]}))
    return made


def _child(operation: Operation, parent: Example, value: Any, copy: int, done: dict[str, Any]) -> Example:
    lineage = {
        "of": [parent.id], "operation": operation.name, "parameters": operation.parameters,
        "mode": operation.mode or parent.mode, **done,
    }  # fmt: skip
    key = hashlib.sha256(f"{operation.name}|{parent.id}|{copy}|{_key(value)}".encode()).hexdigest()[:20]
    return replace(
        parent, id=f"s{key}", input=value, origin="synthetic", by=None, audit=False, propensity=1.0, weight=1.0,
        failure=False, mode=operation.mode or parent.mode, made=lineage,
    )  # fmt: skip


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [item for one in value for item in _flat(one)]
    return [value]


def _shaped(values: list[Any], like: Any) -> Any:
    """Numbers in the nesting of another input."""
    if isinstance(like, list | tuple) and like and isinstance(like[0], list | tuple):
        width = len(values) // len(like)
        return [_shaped(values[i * width : (i + 1) * width], one) for i, one in enumerate(like)]
    return values


def _digest(*parts: Any) -> int:
    return int(hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:15], 16)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
