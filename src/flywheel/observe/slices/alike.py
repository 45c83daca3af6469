"""Slices of texts and vectors as findings: found by a mixture on one half, confirmed on the other, named by words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log
from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from flywheel.errors import InvalidConfig
from flywheel.observe.contrast import holm
from flywheel.observe.reproduce import query_of
from flywheel.observe.series import Seen
from flywheel.observe.slices.cases import Cases, Failing, cases
from flywheel.observe.slices.coding import sampled
from flywheel.observe.slices.confirm import Confirmed, confirm
from flywheel.observe.slices.mixture import Mixture, error_mixture
from flywheel.observe.slices.told import HURTS
from flywheel.records import Observation, Slice

__all__ = ["vector_slices"]

SAMPLE = 20_000
NEAR = 1.0
"""Bhattacharyya distance below which two components are one place: their densities overlap by more than a third."""
TERMS = 3
EXEMPLARS = 5
_WORD = re.compile(r"[^\W\d_][\w'’-]*", re.UNICODE)
_MOST_LETTERS = 2000

Array = np.ndarray[Any, Any]


def vector_slices(
    window: Seen,
    failing: Failing,
    vectors: Mapping[str, Any] | tuple[Sequence[str], Any],
    texts: Mapping[str, str] | None = None,
    *,
    k: int = 25,
    top: int = 10,
    seed: int = 0,
    min_users: int = 5,
    alpha: float = 0.05,
    least: float = HURTS,
) -> list[Observation]:
    """Among texts or vectors, which alike ones does the product fail at? At most `top` groups, the worst first.

    `vectors` maps ids of interactions to embeddings (or is the ids beside an n × d matrix), all of one model;
    interactions without one are left out, and more than 20,000 are sampled by `rand`. An error-aware mixture of `k`
    components is fitted to half of the users. The other half's interactions are placed in it by their vectors and
    answers alone, and a component is told when it fails there more than the rest by at least `least`, by a test at
    `alpha` over all that were asked about (Holm). `texts` (by default `input_text`) give the words that set it apart;
    without any it is named by its most typical interaction. Shared by fewer than `min_users` users, it is not told.
    """
    ids, matrix = (list(vectors), list(vectors.values())) if isinstance(vectors, Mapping) else vectors
    points = np.asarray(matrix, dtype=np.float64)
    if points.ndim != 2 or len(points) != len(ids):
        raise InvalidConfig(f"vectors have shape {points.shape} for {len(ids)} ids: give one vector, as long, an id")
    known = cases(window, failing, seed=seed, columns=("output",))
    lines, at = _rows(known, list(ids), points)
    if len(lines["id"]) < 4 * k:
        return []
    first = ~np.array(lines["second"], dtype=bool)
    loss, outputs = np.clip(np.array(lines["loss"], dtype=np.float64), 0, 1), _answers(lines["output"])
    if not first.any() or first.all() or not loss[first].sum():
        return []
    told = [outputs[i] for i in np.flatnonzero(first)] if outputs is not None else None
    mixture = error_mixture(points[at][first], loss[first], told, k=k, seed=seed)
    where = mixture.place(points[at], outputs)
    group = _joined(mixture)[where.argmax(axis=1)]
    worth = min(least, float(loss[first].mean()))
    candidates = _candidates(group[first], loss[first], k, worth)[:top]
    if not candidates:
        return []
    marked = ibis.memtable(pa.table({"marked": lines["id"], "group": group.astype(np.int64)}))
    placed = Cases(
        known.table.inner_join(marked, [("id", "marked")]).drop("marked"),
        known.columns, known.units, len(at), known.since, known.until,
    )  # fmt: skip
    measured = confirm(placed, [_within(one) for one in candidates])
    sure = (holm([one.p for one in measured]) <= alpha).tolist()
    words = texts if texts is not None else _texts(window, lines["id"])
    out = []
    for one, m, holds in zip(candidates, measured, sure, strict=True):
        if holds and m.effect.estimate >= worth and (known.units != "user" or m.users >= min_users):
            typical = np.flatnonzero(group == one)
            typical = typical[np.argsort(-where[typical][:, _joined(mixture) == one].sum(axis=1), kind="stable")]
            names = [lines["id"][int(i)] for i in typical[:EXEMPLARS]]
            terms = _terms([words.get(i, "") for i in lines["id"]], group == one)
            rate = float(loss[first & (group == one)].mean())
            out.append(_told(window, m, (len(candidates), rate), terms, names, mixture, one))
    return sorted(out, key=lambda o: (-(o.effect or 0.0), o.name))


def _rows(known: Cases, ids: list[str], points: Array) -> tuple[dict[str, list[Any]], Array]:
    """The cases that have a vector, in order of id, and where each one's vector is."""
    have = ibis.memtable(pa.table({"have": pa.array(ids, pa.string()), "place": np.arange(len(ids))}))
    table = known.table.inner_join(have, [("id", "have")])
    table = sampled(table, SAMPLE).select("id", "loss", "output", "second", "place").order_by("id")
    lines = table.to_pyarrow().to_pydict()
    at = np.array(lines["place"], dtype=np.int64)
    good = np.isfinite(points[at]).all(axis=1) if len(at) else np.zeros(0, dtype=bool)
    kept = np.flatnonzero(good)
    return {name: [values[i] for i in kept] for name, values in lines.items()}, at[kept]


def _answers(outputs: list[Any]) -> list[str] | None:
    """The answers, where they repeat; free text says nothing here."""
    return [str(one) for one in outputs] if len(set(outputs)) <= max(2, len(outputs) // 20) else None


def _candidates(group: Array, loss: Array, k: int, worth: float) -> list[int]:
    """Components that fail more than the rest on the half that they were fitted to, the clearest first."""
    n, e = np.bincount(group, minlength=k).astype(float), np.bincount(group, loss, k)
    found = []
    for one in range(k):
        rest = len(loss) - n[one]
        if n[one] < 10 or rest <= 0:
            continue
        p, q = e[one] / n[one], (loss.sum() - e[one]) / rest
        error = (max(q * (1 - q), 1e-9) * (1 / n[one] + 1 / rest)) ** 0.5
        if p - q >= worth and (p - q) / error >= 2.0:
            found.append((-(p - q) / error, one))
    return [one for _, one in sorted(found)]


def _joined(mixture: Mixture) -> Array:
    """Each component's group: what lies in one place is one, though its failures and successes make two components.

    By the Bhattacharyya distance between their Gaussians; the number of the worst stands for the group.
    """
    k = len(mixture.share)
    names = np.arange(k)
    for a in range(k):
        both = (mixture.spread[a] + mixture.spread) / 2
        gap = (mixture.centre[a] - mixture.centre) ** 2 / both / 8
        shape = 0.5 * np.log(both / np.sqrt(mixture.spread[a] * mixture.spread))
        for b in np.flatnonzero((gap + shape).sum(axis=1) < NEAR):
            names[names == max(names[a], names[b])] = min(names[a], names[b])
    return names


def _within(group: int) -> Any:
    def inside(table: Any) -> Any:
        return table["group"] == group

    return inside


def _texts(window: Seen, ids: list[str]) -> dict[str, str]:
    seen = window.interactions
    if "input_text" not in seen.columns:
        return {}
    wanted = ibis.memtable(pa.table({"wanted": pa.array(ids, pa.string())}))
    got = seen.inner_join(wanted, [("id", "wanted")]).select("id", "input_text").to_pyarrow().to_pydict()
    return {i: text for i, text in zip(got["id"], got["input_text"], strict=True) if text}


def _terms(texts: list[str], inside: Array) -> list[str]:
    """Words and pairs of words that the texts inside have and the others have not, the most telling first."""
    here: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for text, mine in zip(texts, inside, strict=True):
        words = _WORD.findall(text[:_MOST_LETTERS].lower())
        terms = {w for w in words if len(w) > 1} | {f"{a} {b}" for a, b in pairwise(words)}
        (here if mine else there).update(terms)
    n, m = max(int(inside.sum()), 1), max(int((~inside).sum()), 1)
    scored = []
    for term, count in here.items():
        p, q = count / n, (there[term] + 0.5) / (m + 1.0)
        if count >= 3 and p >= 0.05 and p > 2 * q:
            scored.append((-round(p * log(p / q), 9), len(term.split()), term))
    kept: list[str] = []
    for _, _, term in sorted(scored):
        if not any(set(term.split()) & set(other.split()) for other in kept):
            kept.append(term)
        if len(kept) == TERMS:
            break
    return kept


def _told(
    window: Seen,
    one: Confirmed,
    facts: tuple[int, float],
    terms: list[str],
    typical: list[str],
    mixture: Mixture,
    component: int,
) -> Observation:
    asked, rate = facts
    where = Slice((("about", ", ".join(terms)),)) if terms else Slice((("like", typical[0]),))
    effect = one.effect
    answer = ""
    if mixture.names:
        at = int(mixture.answers[component].argmax())
        if at < len(mixture.names):
            answer = f"; answered {mixture.names[at]} in {mixture.answers[component][at]:.0%}"
    evidence = (
        f"Found by a mixture on one half, where it fails {rate:.1%}{answer}; these figures are the other half's",
        f"{effect.estimate * 100:+.1f} points, {effect.low * 100:.1f} to {effect.high * 100:.1f} with "
        f"{effect.level:.0%} confidence; p = {one.p:.2g}, the {asked} groups asked about allowed for",
        f"{one.share:.1%} of the interactions with a vector; typical: {', '.join(typical)}",
    )

    def build(seen: Any, told: Any) -> Any:
        return seen.filter(seen.id.isin(typical)).select("id", "at", "output").order_by("id")

    line = f"fails {one.inside * 100:.0f} % of {one.n:,} against {one.elsewhere * 100:.0f} % elsewhere: {where}"
    return Observation(
        kind="slice",
        name=str(where),
        line=line,
        value=one.inside,
        reference=one.elsewhere,
        effect=effect.estimate,
        interval=effect,
        n=one.n,
        where=where,
        evidence=evidence,
        query=query_of(build, window),
        chart={"kind": "bars", "x": [str(where), "elsewhere"], "y": [round(one.inside, 6), round(one.elsewhere, 6)]},
    )
