"""Failures → failure modes: micro-clusters, merged into a few groups that people can read, with ids that last."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from flywheel.diagnose.clusters import cluster
from flywheel.diagnose.lineage import trace
from flywheel.diagnose.naming import Described, crowd, describe
from flywheel.records import Failure, Mode

if TYPE_CHECKING:
    from flywheel.config import DiagnoseSettings
    from flywheel.ports import Embedder, Task

__all__ = ["group"]

EXEMPLARS = 8
_CONTEXT, _OUTPUT, _LABEL = 1.0, 0.25, 0.6
"""Weights of context, answer and label beside the input, whose mean squared length is 1."""


def group(
    found: Sequence[Failure],
    previous: Sequence[Mode],
    *,
    spin: int,
    total: float,
    window_size: int,
    embedder: Embedder,
    previous_inputs: Mapping[str, Any],
    settings: DiagnoseSettings,
    task: Task | None = None,
    seed: int = 0,
    beside: Sequence[Any] = (),
    shares: Mapping[str, float] | None = None,
) -> tuple[list[Mode], dict[str, str]]:
    """Group failures into modes: those of the likeliest first, and the mode of each failure that belongs to one.

    What makes failures alike is the input (through `embedder`), the context values that failures have oftener than
    the traffic (`shares`, from `context_shares`) or than one another, what the model answered and what the
    label says. `cluster` says how they are parted, into at most `settings.max_modes` groups. Those of fewer than
    `settings.min_mode` failures are no modes; nor, where users are logged, those that fewer than `settings.min_users`
    users share. Texts that are no failures may be given `beside`: a text embedder learns from them, too, which words
    are alike.

    A group that is like a mode of `previous` (its exemplars' inputs in `previous_inputs`: interaction id → input;
    and its signature) takes over its id, state and history: one-to-one by the Hungarian method. A group left over
    that is as like one taken by another has split from it; an earlier mode left over that is as like a group taken
    by another has merged into that one. `total` expected failures among `window_size` interactions are divided over
    the modes by probability.
    """
    found = sorted(found, key=lambda failure: failure.interaction_id)
    if len(found) < max(settings.min_mode, 1):
        return [], {}
    known = [key for mode in previous for key in mode.exemplars if key in previous_inputs]
    inputs = [f.input for f in found] + [previous_inputs[key] for key in known]
    learnt = list(beside) if embedder.name == "text" else []
    vectors = _scaled(embedder.embed(inputs + learnt)[: len(inputs)], len(found))
    sides = np.hstack([vectors[: len(found)], _contexts(found, shares or {}), _answers(found, task)])
    limit = settings.min_users if any(f.user is not None for f in found) else 1
    members = _shared(cluster(sides, seed, settings.max_modes), found, settings.min_mode, limit)
    if not members:
        return [], {}
    described = describe(found, members, shares or {}, limit)
    exemplars = [_typical(sides, rows, found) for rows in members]
    lineage = trace(previous, known, vectors, members, [d.signature for d in described])
    mass = sum(f.probability for f in found) or 1.0
    modes, assigned = [], {}
    for place, rows in enumerate(members):
        count = total * sum(found[row].probability for row in rows) / mass
        mode = Mode(
            id=_new_id(spin, exemplars[place], described[place]),
            name=described[place].name,
            count=round(count, 4),
            share=round(count / window_size, 8) if window_size else 0.0,
            exemplars=tuple(exemplars[place]),
            signature=described[place].signature,
            first_spin=spin,
            last_spin=spin,
            split_from=lineage.split.get(place),
            merged=lineage.merged.get(place, ()),
        )
        mode = _carried_on(mode, lineage.same.get(place))
        modes.append(mode)
        assigned.update({found[row].interaction_id: mode.id for row in rows})
    return sorted(modes, key=lambda mode: (-mode.count, mode.id)), assigned


def _shared(
    labels: np.ndarray[Any, Any], found: Sequence[Failure], least: int, users: int
) -> list[np.ndarray[Any, Any]]:
    """The rows of each group that has enough failures, of enough users."""
    groups = [np.flatnonzero(labels == g) for g in range(labels.max() + 1)]
    return [
        rows for rows in groups if len(rows) >= least and (users < 2 or crowd(found[int(row)] for row in rows) >= users)
    ]


def _carried_on(mode: Mode, old: Mode | None) -> Mode:
    """A mode under the id and with the history of the earlier one that it carries on."""
    if old is None:
        return mode
    return replace(
        mode,
        id=old.id,
        state=old.state,
        first_spin=old.first_spin,
        fixed_in=old.fixed_in,
        cause=old.cause,
        risk=old.risk,
        split_from=old.split_from,
        merged=tuple(dict.fromkeys([*old.merged, *mode.merged])),
    )


def _scaled(vectors: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    """Mean squared length 1 around the failures' mean, so that the sides can be weighed against it."""
    centred = vectors - vectors[:n].mean(axis=0)
    size = float(np.sqrt(np.mean(np.sum(centred[:n] ** 2, axis=1))))
    scaled: np.ndarray[Any, Any] = centred / size if size > 0 else centred
    return scaled


def _contexts(found: Sequence[Failure], shares: Mapping[str, float]) -> np.ndarray[Any, Any]:
    """One column per context value worth a look, weighted by how much oftener failures have it than the traffic."""
    n = len(found)
    counts = Counter(f"{key}={value}" for f in found for key, value in _words(f.context))
    columns = []
    for value in sorted(counts):
        share = counts[value] / n
        if counts[value] < 2 or share > 0.98:
            continue
        if shares:
            base = shares.get(value, 1.0 / (n + 1))
            surprise = share - base - 2.0 * float(np.sqrt(max(base * (1 - base), 1e-9) / n))
            weight = _CONTEXT * min(1.0, float(np.log2(share / base))) if surprise > 0 and share > base else 0.0
        else:
            weight = _CONTEXT * 0.7 if share > 0.05 else 0.0
        if weight > 0:
            has = np.array([any(f"{k}={v}" == value for k, v in _words(f.context)) for f in found], dtype=np.float64)
            columns.append(weight * (has - share))
    return np.column_stack(columns) if columns else np.zeros((n, 0))


def _answers(found: Sequence[Failure], task: Task | None) -> np.ndarray[Any, Any]:
    """One column per common answer and per common label; numbers and long texts have too many to tell apart."""
    n = len(found)
    columns = []
    for weight, values in (
        (_OUTPUT, [_plain(f.output) for f in found]),
        (_LABEL, [None if f.label is None else _plain(f.label) for f in found]),
    ):
        counts = Counter(v for v in values if v is not None)
        if task is not None and task.name == "regression":
            continue
        for value in sorted(v for v, c in counts.items() if c >= 2)[:200]:
            has = np.array([v == value for v in values], dtype=np.float64)
            columns.append(weight * (has - has.mean()))
    return np.column_stack(columns) if columns else np.zeros((n, 0))


def _typical(points: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], found: Sequence[Failure]) -> list[str]:
    """Interaction ids nearest to the group's centre, weighted towards the surest failures; each of another user as
    long as there are other users."""
    weight = np.array([found[row].probability for row in rows]) + 1e-9
    centre = np.average(points[rows], axis=0, weights=weight)
    far = np.round(np.linalg.norm(points[rows] - centre, axis=1), 9)
    ids = [found[row].interaction_id for row in rows]
    order = sorted(range(len(rows)), key=lambda i: (far[i], ids[i]))
    met: Counter[str | None] = Counter()
    turns = {}
    for i in order:
        user = found[rows[i]].user
        turns[i] = met[user] if user is not None else 0
        met[user] += 1
    return [ids[i] for i in sorted(order, key=lambda i: turns[i])[:EXEMPLARS]]


def _new_id(spin: int, exemplars: Sequence[str], described: Described) -> str:
    content = json.dumps([spin, list(exemplars), described.name], ensure_ascii=False)
    return f"m-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _words(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Context values that name something (text, true/false), written as the tables write them."""
    return [
        (key, str(value).lower() if isinstance(value, bool) else value)
        for key, value in sorted(context.items())
        if isinstance(value, str | bool)
    ]


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text[:200]
