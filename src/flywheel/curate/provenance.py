"""What a dataset is made of: who labelled it and how well, and whom it shows more or less of than the traffic does."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.curate.examples import canonical
from flywheel.records import Dataset, Example, Feedback, Interval

__all__ = ["Balance", "LabelSource", "Part", "balance", "fields_of", "label_sources", "written"]

_ORIGINS = {"reviewer": "review", "system": "truth", "user": "user", "judge": "judge"}
_TRUSTED = ("reviewer", "system")
_VALUES = 12
"""At most so many values of a field are told apart; the others are added up."""
_SLICES = 50
"""A field with more values than so many is no slice, unless it is protected."""
_FIELDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSource:
    """Where some of a dataset's labels come from: `origin` as on the examples, and who, where that is known."""

    origin: str
    by: str | None
    examples: int
    share: float
    """Of the dataset's examples, 0 to 1."""
    failures: int
    """Of them, those that the champion of their time got wrong."""
    agrees: Interval | None = None
    """How often somebody else who is trusted said the same about the same interaction; None where nobody did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One value of a field: how much of the dataset, and of the traffic, has it."""

    value: str
    examples: int
    share: float
    failures: int
    traffic: int
    traffic_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A dataset beside the traffic, by the values of one context field, or by its labels.

    `kind` is `group` for a field that the settings protect, `slice` for any other, `label` for the labels beside the
    answers that the product gives. `examples` and `traffic` have a value there; `others` is how many further values
    are added up in the part `others`.
    """

    field: str
    kind: str
    examples: int
    traffic: int
    parts: tuple[Part, ...]
    others: int = 0


def label_sources(
    dataset: Dataset,
    told: Sequence[Feedback],
    *,
    correct: Callable[[Any, Any], bool],
    unasked: Collection[str] = (),
) -> list[LabelSource]:
    """Who gave a dataset's labels, the most first, and how often others who are trusted agree with each.

    `told` is the feedback about the dataset's interactions, `unasked` the ids of facts that do not count: labels that
    were taken back, and second looks, which are asked for only where a label is doubted.

    >>> from datetime import UTC, datetime
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> made = Dataset(hash="h", examples=(Example(id="e", input=1, label="a", interaction_id="i", by="ana"),))
    >>> said = Feedback(id="f", interaction_id="i", at=at, kind="label", value="a", source="reviewer", by="ben")
    >>> [(one.by, one.examples, one.agrees.n) for one in label_sources(made, [said], correct=lambda a, b: a == b)]
    [('ana', 1, 1)]
    """
    about: defaultdict[str, list[Feedback]] = defaultdict(list)
    for fact in sorted(told, key=lambda fact: (fact.at, fact.id)):
        if fact.kind == "label" and fact.id not in unasked:
            about[fact.interaction_id].append(fact)
    counts: Counter[tuple[str, str | None]] = Counter()
    failures: Counter[tuple[str, str | None]] = Counter()
    checks: defaultdict[tuple[str, str | None], list[bool]] = defaultdict(list)
    for example in dataset.examples:
        own = _source(example)
        counts[own] += 1
        failures[own] += example.failure
        if not example.evidence or example.interaction_id is None:
            continue
        last = {(_ORIGINS.get(fact.source, fact.source), _who(fact)): fact for fact in about[example.interaction_id]}
        other = [fact for key, fact in last.items() if key != own and fact.source in _TRUSTED]
        if other:
            checks[own].append(correct(example.label, other[-1].value))
        for key, fact in last.items():
            if key != own and key[0] in ("user", "judge"):
                checks[key].append(correct(fact.value, example.label))
    n = len(dataset.examples)
    return [
        LabelSource(
            origin=origin, by=by, examples=count, share=count / n, failures=failures[origin, by],
            agrees=_interval(checks[origin, by]),
        )
        for (origin, by), count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0][0], pair[0][1] or ""))
    ]  # fmt: skip


def _source(example: Example) -> tuple[str, str | None]:
    made = example.origin in ("user", "group", "synthetic")  # what they were made of stands in `by`, not who
    return example.origin, None if made else example.by


def _who(fact: Feedback) -> str | None:
    return None if fact.source == "user" else fact.by


def _interval(right: Sequence[bool]) -> Interval | None:
    """The share and its exact interval (Clopper and Pearson)."""
    if not right:
        return None
    from scipy.stats import binomtest

    found = binomtest(sum(right), len(right)).proportion_ci(0.95, "exact")
    return Interval(sum(right) / len(right), float(found.low), float(found.high), len(right))


def fields_of(dataset: Dataset, protected: Sequence[str], most: int = _FIELDS) -> list[str]:
    """The context fields by which a dataset is held beside the traffic: those protected, then its slices."""
    values: defaultdict[str, set[str]] = defaultdict(set)
    for example in dataset.examples:
        for name, value in example.context.items():
            if len(values[name]) <= _SLICES:
                values[name].add(written(value))
    slices = sorted(name for name, found in values.items() if name not in protected and len(found) <= _SLICES)
    return [*protected, *slices][: max(most, len(protected))]


def balance(
    dataset: Dataset, field: str | None, traffic: Mapping[str, int], *, protected: Sequence[str] = ()
) -> Balance:
    """A dataset's examples by the values of one context field (None: by label), beside the traffic's counts of them.

    `traffic` maps `written` values (labels: as JSON) to interactions. Values stand in the order of traffic, the rest
    is added up.

    >>> made = Dataset(hash="h", examples=(Example(id="e", input=1, label="a", context={"device": "ios"}),))
    >>> found = balance(made, "device", {"ios": 10, "web": 30})
    >>> [(one.value, one.share, one.traffic_share) for one in found.parts]
    [('web', 0.0, 0.75), ('ios', 1.0, 0.25)]
    """
    counts: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for example in dataset.examples:
        if field is not None and field not in example.context:
            continue
        value = canonical(example.label) if field is None else written(example.context[field])
        counts[value] += 1
        failures[value] += example.failure
    n, met = counts.total(), sum(traffic.values())
    order = sorted({*counts, *traffic}, key=lambda value: (-traffic.get(value, 0), -counts[value], value))
    named, rest = (order, []) if len(order) <= _VALUES + 1 else (order[:_VALUES], order[_VALUES:])
    groups = [(value, [value]) for value in named] + ([("others", rest)] if rest else [])
    parts = []
    for name, values in groups:
        here, there = sum(counts[one] for one in values), sum(traffic.get(one, 0) for one in values)
        parts.append(
            Part(
                value=name, examples=here, share=here / n if n else 0.0, failures=sum(failures[one] for one in values),
                traffic=there, traffic_share=there / met if met else 0.0,
            )
        )  # fmt: skip
    kind = "label" if field is None else "group" if field in protected else "slice"
    return Balance(field=field or "label", kind=kind, examples=n, traffic=met, parts=tuple(parts), others=len(rest))


def written(value: Any) -> str:
    """A context value as text, the same for what the log and the tables hold.

    >>> written(True), written(3.0), written(3), written("ios")
    ('true', '3', '3', 'ios')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == value and abs(value) < 1e15 and value == int(value):
        return str(int(value))
    return value if isinstance(value, str) else canonical(value)
