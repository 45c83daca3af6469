"""Harm in a part that an average hides: a class, a protected slice, a mode that had been fixed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from flywheel.prove import exact
from flywheel.prove.pairing import Pair
from flywheel.records import Check

__all__ = ["classes_check", "reopened_check", "slices_check"]

_FEW = 5
"""A part with fewer examples is too small to judge by a test."""


def classes_check(suite: Sequence[Pair], margin: float, alpha: float) -> Check:
    """Every true class of the suite. Labels that hardly repeat (numbers, texts, rankings) are no classes."""
    parts = _split(suite, lambda p: p.example.label)
    if len(parts) > max(2, len(suite) / 3):
        return Check(
            "classes", "pass", f"{len(parts)} different labels among {len(suite)}: no classes to judge", {"parts": 0}
        )
    return _parts_check("classes", "class", parts, margin, alpha)


def slices_check(suite: Sequence[Pair], protected: Sequence[str], margin: float, alpha: float) -> list[Check]:
    """Every value of every protected context field (or, where the context lacks it, of a dict input)."""
    checks = []
    for field in protected:
        parts = _split([p for p in suite if _value(p, field) is not None], partial(_value, field=field))
        checks.append(_parts_check(f"slice {field}", field, parts, margin, alpha))
    return checks


def reopened_check(pairs: Sequence[Pair], fixed_modes: Mapping[str, Sequence[str]]) -> tuple[Check, bool]:
    """A fixed mode reopens when the candidate breaks most, and at least two, of its examples that the champion gets
    right. The second value says whether these right ones are, over all modes that reopen, too few to rule out
    chance."""
    by_id = {p.example.id: p for p in pairs}
    reopened: dict[str, str] = {}
    judged, lost = 0, 0
    for mode in sorted(fixed_modes):
        right = [by_id[i] for i in fixed_modes[mode] if i in by_id and by_id[i].champion_right]
        broke = sum(not p.candidate_right for p in right)
        judged += bool(right)
        if broke >= 2 and broke > len(right) / 2:
            reopened[mode] = f"{mode} ({broke} of {len(right)} broken)"
            lost += len(right)
    if reopened:
        values = {"reopened": len(reopened), "judged": judged, "modes": list(reopened)}
        return Check("fixed modes", "fail", f"reopens {', '.join(reopened.values())}", values), lost < _FEW
    line = f"none of {judged} fixed modes reopened" if judged else "no fixed mode to guard yet"
    return Check("fixed modes", "pass", line, {"reopened": 0, "judged": judged}), False


def _parts_check(name: str, noun: str, parts: Mapping[str, Sequence[Pair]], margin: float, alpha: float) -> Check:
    """Fail when a part loses more than the margin and its losses are no accident (sign test, corrected for the number
    of parts), or when every one of three or more right answers is gone."""
    small, worst, failed = 0, (0.0, "", 0, 0, 0, 1.0), []
    large = {part: own for part, own in parts.items() if len(own) >= _FEW}
    for part, own in sorted(parts.items()):
        right = sum(p.champion_right for p in own)
        now = sum(p.candidate_right for p in own)
        losses = sum(p.champion_right and not p.candidate_right for p in own)
        wins = sum(p.candidate_right and not p.champion_right for p in own)
        p = exact.sign_test(losses, wins)
        loss = (losses - wins) / len(own)
        small += part not in large
        harmed = part in large and loss > margin and p <= alpha / len(large)
        if harmed or (right >= 3 and now == 0):
            failed.append(part)
        if loss > worst[0]:
            worst = (loss, part, losses, wins, len(own), p)
    values: dict[str, Any] = {"parts": len(parts), "too_small": small, "failed": failed, "margin": margin}
    if worst[1]:
        values |= {"worst": worst[1], "loss": worst[0], "p": worst[5]}
        detail = f"worst is {noun} {worst[1]}: broke {worst[2]}, fixed {worst[3]} of {worst[4]} (p = {worst[5]:.2g})"
    else:
        detail = f"no {noun} lost"
    if failed:
        detail = f"{noun} {', '.join(failed)} got worse; {detail}"
    rest = f"; {small} of {len(parts)} have fewer than {_FEW} examples: too few to judge" if small else ""
    least = max((len(own) for own in large.values()), default=0)
    seen = (
        f"; in the largest, {exact.smallest_loss_seen(0, least, alpha):.0%} is the smallest loss it could have seen"
        if least
        else ""
    )
    return Check(name, "fail" if failed else "pass", f"{detail} (margin {margin:.0%}){rest}{seen}", values)


def _split(pairs: Sequence[Pair], key: Callable[[Pair], Any]) -> dict[str, list[Pair]]:
    parts: dict[str, list[Pair]] = {}
    for pair in pairs:
        value = key(pair)
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
        parts.setdefault(text, []).append(pair)
    return parts


def _value(pair: Pair, field: str) -> Any:
    if field in pair.example.context:
        return pair.example.context[field]
    return pair.example.input.get(field) if isinstance(pair.example.input, dict) else None
