"""Signs of failure: one row per interaction, one number per sign, as a single Ibis expression over the window."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, Protocol

import ibis

from flywheel.errors import InvalidConfig

if TYPE_CHECKING:
    from flywheel.config import DetectSettings
    from flywheel.ports import Detector, Task
    from flywheel.records import Interaction

__all__ = ["BUILT_IN", "KEYS", "TRUSTED", "Window", "context_shares", "signs"]

KEYS = ("id", "seq", "rand", "at")
"""Columns of the signs table that are not signs."""

BUILT_IN = (
    "label_wrong",
    "label_right",
    "negative_rating",
    "positive_rating",
    "report",
    "negative_comment",
    "error",
    "slow",
    "doubt",
)
"""Signs that need no plugin. `label_right` and `positive_rating` speak for the answer."""

TRUSTED = ("reviewer", "system", "judge")
_AT_ONCE = 40
"""So many columns go into one query: each nests it deeper."""
"""Sources whose labels count as known; a user's own correction is strong evidence, but people err."""

USER_LABEL = 0.8
"""Strength of a label that a user, not a reviewer, has given."""


class Window(Protocol):
    """What diagnosis needs of a snapshot's window: its two tables, its size, and whole records by id."""

    @property
    def interactions(self) -> Any:
        """One row per interaction."""
        ...

    @property
    def feedback(self) -> Any:
        """One row per feedback, about any interaction."""
        ...

    def count(self) -> int:
        """Number of interactions."""
        ...

    def fetch(self, ids: Sequence[str]) -> list[Interaction]:
        """Whole records, in the order asked; unknown ids are left out."""
        ...


# Complaints in everyday words. A word list is crude, so it is kept to words that rarely praise, the commonest negated
# praises are added, and negated complaints ("not bad", "no problem") are taken out first. Ratings weigh more.
_DEFUSED = (
    r"\b(?:not|isn't|wasn't|nothing|never|no|without|kein|keine|nicht)\s+(?:a\s+|at all\s+|so\s+|too\s+|that\s+)?"
    r"(?:bad|wrong|terrible|awful|problem|problems|issue|issues|error|errors|mistake|mistakes|complaint|complaints|"
    r"useless|schlecht|falsch|problem|fehler)\b"
)
_COMPLAINT = (
    r"\b(?:wrong|wrongly|incorrect|inaccurate|false|mistake|mistaken|error|broken|bad|worse|worst|terrible|awful|horrible|"
    r"useless|unhelpful|nonsense|garbage|rubbish|stupid|ridiculous|annoying|annoyed|frustrating|frustrated|frustration|"
    r"disappointed|disappointing|angry|unacceptable|misread|misunderstood|misunderstands|irrelevant|complaint|"
    r"falsch|fehler|schlecht|unbrauchbar|nutzlos|ärgerlich|enttäuscht|enttäuschend)\b"
    r"|\b(?:not|isn't|wasn't|never|hardly|nicht)\s+(?:very\s+|at all\s+|really\s+|what i\s+|the\s+)?"
    r"(?:helpful|right|correct|true|useful|good|working|work|works|what|asked|answer|happy|satisfied|richtig|hilfreich|gut)\b"
    r"|\b(?:doesn't|does not|didn't|did not|don't|won't|cannot|can't|can not)\s+(?:even\s+|really\s+)?"
    r"(?:work|help|understand|answer|make sense|solve|recogni[sz]e)\b"
    r"|\bmakes no sense\b|\bwaste of time\b|\bno sense\b|\bfunktioniert nicht\b"
)


def signs(
    window: Window, settings: DetectSettings, detectors: Sequence[Detector] = (), task: Task | None = None
) -> Any:
    """Gather the signs of failure of every interaction in the window, once, linear in its size.

    Returns an Ibis table, already materialised, with `id`, `seq`, `rand`, `at` and one float64 column per sign in
    0..1: those of `BUILT_IN`, then one per detector plugin. `label_wrong` is 1 when a reviewer, the delayed truth
    or a judge gave another output, 0.8 when a user did; `label_right` is 1 when they gave the same. `doubt` is 1 −
    confidence, null where the model stated none. `task` decides when outputs that differ in writing are right
    nevertheless (a regression's tolerance).

    Feedback is reduced to one row per interaction before it is joined, so late and repeated feedback costs no more
    than its own rows.
    """
    seen = window.interactions
    told = _told(window, task)
    slow = (seen.latency_ms > settings.latency_ms).ifelse(1.0, 0.0).fill_null(0.0) if settings.latency_ms > 0 else 0.0
    table = seen.select(
        *KEYS,
        error=(seen.error.notnull() & (seen.error != "")).ifelse(1.0, 0.0),
        slow=ibis.literal(slow, type="float64") if isinstance(slow, float) else slow,
        doubt=(1.0 - seen.confidence).cast("float64"),
    ).left_join(told, [("id", "interaction_id")])
    table = table.drop("interaction_id")
    names = list(BUILT_IN)
    for detector in detectors:
        table = _add(table, detector, window, names)
        if detector.name not in names:
            names.append(detector.name)
    filled = {name: table[name].fill_null(0.0).cast("float64") for name in names if name != "doubt"}
    return table.select(*KEYS, **{name: filled.get(name, table[name]) for name in names}).cache()


def _told(window: Window, task: Task | None) -> Any:
    """Feedback on the window's interactions, one row each."""
    outputs = window.interactions.select(told_id="id", output="output")
    f = window.feedback.inner_join(outputs, [("interaction_id", "told_id")])
    rating = f.kind == "rating"
    label = f.kind == "label"
    trusted = label & f.source.isin(TRUSTED)
    f = f.mutate(differs=_differs(f, label, task), complains=_complains(f))
    one = f.group_by("interaction_id").aggregate(
        last_rating=f.number.argmax(f.seq, where=rating),
        report=(f.kind == "report").max().ifelse(1.0, 0.0),
        negative_comment=f.complains.max(),
        known_wrong=f.differs.argmax(f.seq, where=trusted),
        said_wrong=f.differs.argmax(f.seq, where=label & ~f.source.isin(TRUSTED)),
    )
    said = (one.said_wrong > 0).ifelse(USER_LABEL, 0.0).fill_null(0.0)
    agreed = (one.said_wrong == 0).ifelse(USER_LABEL, 0.0).fill_null(0.0)
    return one.select(
        "interaction_id",
        "report",
        "negative_comment",
        label_wrong=ibis.coalesce(one.known_wrong, said),
        label_right=ibis.coalesce(1.0 - one.known_wrong, agreed),
        negative_rating=(one.last_rating < 0).ifelse(1.0, 0.0),
        positive_rating=(one.last_rating > 0).ifelse(1.0, 0.0),
    )


def _differs(f: Any, label: Any, task: Task | None) -> Any:
    """1.0 where a label names another output than the one given, 0.0 where it agrees, null where it is no label."""
    truth, output = f["value"].try_cast("float64"), f["output"].try_cast("float64")
    numeric = truth.notnull() & output.notnull()
    near = _tolerance(task)
    apart = numeric.ifelse((truth - output).abs() > near, f["value"] != f["output"].fill_null("null"))
    differs = apart.ifelse(1.0, 0.0)
    if task is not None and task.name not in ("classification", "regression"):
        excused = _excused(f.filter(label & apart), task)
        if excused:
            pair = f["output"].fill_null("null").concat("\n", f["value"])
            differs = pair.isin(excused).ifelse(0.0, differs)
    return label.ifelse(differs, ibis.null("float64"))


def _tolerance(task: Task | None) -> float:
    """How far a number may lie from the truth: the task's own tolerance, else a rounding error."""
    tolerance = getattr(task, "tolerance", None)
    return float(tolerance) if isinstance(tolerance, int | float) and tolerance > 0 else 1e-9


def _excused(unlike: Any, task: Task, most: int = 50_000) -> list[str]:
    """Pairs of output and label that differ in writing, but that the task calls right; judged once per distinct
    pair."""
    import json

    pairs = unlike.select("output", "value").distinct().order_by("output", "value").limit(most).to_pyarrow().to_pylist()
    return [
        f"{pair['output'] or 'null'}\n{pair['value']}"
        for pair in pairs
        if task.correct(json.loads(pair["output"] or "null"), json.loads(pair["value"]))
    ]


def _complains(f: Any) -> Any:
    """1.0 where a comment reads like a complaint."""
    words = f["text"].lower().replace("’", "'").re_replace(_DEFUSED, " ")
    return ((f.kind == "comment") & words.re_search(_COMPLAINT)).ifelse(1.0, 0.0).fill_null(0.0)


def _add(table: Any, detector: Detector, window: Window, names: Sequence[str]) -> Any:
    """Join what a detector plugin saw; a plugin named like a built-in sign adds to it."""
    name = detector.name
    if name in KEYS or name in ("label_wrong", "label_right", "doubt"):
        raise InvalidConfig(
            f"a detector may not be called {name!r}: that column has a meaning of its own. Rename the plugin"
        )
    seen = detector.evidence(window.interactions, window.feedback)
    found = seen.group_by("id").aggregate(found_strength=seen.strength.cast("float64").max())
    joined = table.left_join(found.rename(found_id="id"), [("id", "found_id")])
    strength = joined.found_strength.fill_null(0.0).clip(0.0, 1.0)
    if name in names:
        strength = ibis.greatest(strength, joined[name].fill_null(0.0))
    return joined.mutate(**{name: strength}).drop("found_id", "found_strength")


def context_shares(window: Window, most: int = 40) -> dict[str, float]:
    """Share of the window's interactions with each context value, as `scanner=B` → 0.2: what a mode is held against.

    Text and true/false columns only, the `most` commonest values each, in one query a column.
    """
    seen = window.interactions
    schema = seen.schema()
    columns = [
        c for c in seen.columns if c.startswith("context.") and (schema[c].is_string() or schema[c].is_boolean())
    ]
    if not columns:
        return {}
    parts = [
        seen.group_by(value=seen[c].cast("string"))
        .aggregate(n=seen.count())
        .mutate(column=ibis.literal(c))
        .order_by(ibis.desc("n"), "value")
        .limit(most)
        for c in columns
    ]
    rows: list[dict[str, Any]] = []
    for first in range(0, len(parts), _AT_ONCE):  # a client may send hundreds of names: one query nests too deep
        rows += reduce(lambda a, b: a.union(b), parts[first : first + _AT_ONCE]).to_pyarrow().to_pylist()
    total = window.count()
    shares = {
        f"{row['column'].removeprefix('context.')}={row['value']}": row["n"] / total
        for row in rows
        if row["value"] is not None and total
    }
    return dict(sorted(shares.items()))
