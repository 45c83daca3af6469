"""What to fix about failures, slices and the values of fields."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from flywheel.govern.baseline.readiness import signs_of_failure
from flywheel.govern.baseline.result import Audit, FieldFound, Finding, Share
from flywheel.govern.baseline.words import BLOCKS, TIDY, WEAKENS, counted, said

__all__ = ["failures", "slices", "tidy"]

_NONE = Share(0, 0, None)


def failures(audit: Audit, present: Mapping[str, Share]) -> Iterator[Finding]:
    """How failures are recorded, and which are not."""
    how = audit.handling
    if how.status_field and how.silent.count:
        yield Finding(
            "failures only as a code",
            f"Failures are recorded as {how.status_field}, not as errors",
            WEAKENS,
            "A status code is one more number; an `error` is evidence of a failure, counted and grouped.",
            f"{said(how.status_failures)} have a code of 400 or more; {how.silent.count:,} of them say no error",
            ('fw.log(error=f"HTTP {status}" if status >= 400 else None, …)',),
            ("observe", "diagnose"),
        )
    elif not signs_of_failure(audit):
        some = [name for name in ("latency_ms", "confidence") if present.get(name, _NONE).count]
        yield Finding(
            "no sign of failure",
            "No failure is recorded at all",
            WEAKENS if some else BLOCKS,
            "A log in which nothing ever fails hides its failures: no errors, no complaints, no wrong answers.",
            f"errors: {said(how.errors)}; recorded instead: {', '.join(some) or 'nothing'}",
            ("fw.log(error=str(problem), latency_ms=…, confidence=…)", "model.predict = fw.watch(model.predict)"),
            ("observe", "diagnose"),
        )
    if (how.unanswered.share or 0.0) > 0.01 and (present.get("output", _NONE).share or 0.0) > 0:
        yield Finding(
            "no answer, no error",
            "Interactions end without an answer and without an error",
            WEAKENS,
            "A silent failure: somebody waited, and the log does not say what happened.",
            f"{said(how.unanswered)}",
            ('except Exception as problem: fw.log(input=…, error=f"{type(problem).__name__}: {problem}")',),
            ("diagnose",),
        )
    if not present.get("confidence", _NONE).count:
        yield Finding(
            "no confidence",
            "How sure the model was is not recorded",
            TIDY,
            "Low confidence points to failures nobody complained about, and to what is worth a label.",
            "confidence: none",
            ("fw.log(confidence=max(probabilities), …)",),
            ("diagnose", "label"),
        )
    elif how.outside:
        yield Finding(
            "confidence out of range",
            "Confidences lie outside 0 to 1",
            WEAKENS,
            "Records with them are refused.",
            f"{how.outside:,} of {how.outside + how.unsure.n:,}",
            ("fw.log(confidence=percent / 100, …)",),
            ("diagnose",),
        )
    if (how.retries.share or 0.0) > 0.01:
        yield Finding(
            "retries",
            "People ask the same thing again within a minute",
            WEAKENS,
            "Asking again is a complaint that nobody wrote down.",
            f"{said(how.retries)} interactions by a known user or session",
            ('fw.feedback(first_id, rating=-1, source="system")',),
            ("diagnose",),
        )
    if (how.timeouts.share or 0.0) > 0.005:
        yield Finding(
            "timeouts",
            "Calls run into a time limit",
            WEAKENS,
            "To its user a timeout is a failure, whatever the model would have said.",
            f"{said(how.timeouts)}"
            + (f"; the slowest 1 % take over {how.latency.p99 / 1000:,.1f} s" if how.latency else ""),
            ("flywheel modes  # timeouts become a failure mode of their own",),
            ("diagnose",),
        )


def slices(audit: Audit) -> Iterator[Finding]:
    """What is missing or too small to be measured."""
    slices = audit.slices
    if slices.expected_missing:
        yield Finding(
            "expected slices missing",
            f"{counted(len(slices.expected_missing), 'slice')} you expect never came",
            WEAKENS,
            "The model has never been seen working there; nothing that is measured speaks for it.",
            ", ".join(slices.expected_missing[:6]),
            ("flywheel audit NEWER_LOG --expect NAME=VALUE,VALUE  # on a log that should have it",),
            ("diagnose", "gate"),
        )
    if not slices.fields:
        unusable = "; ".join(f"{one['path']}: {one['why']}" for one in slices.unusable[:3])
        yield Finding(
            "nothing to slice by",
            "There is nothing to slice by",
            WEAKENS,
            "An average hides the group for whom it does not work.",
            unusable or "no context is recorded",
            ('fw.log(context={"device": …, "language": …, "release": …}, …)',),
            ("observe", "diagnose", "gate"),
        )
    if slices.vanished:
        gone = slices.vanished[0]
        yield Finding(
            "slices that vanished",
            f"{counted(len(slices.vanished), 'slice')} came steadily, and then no more",
            WEAKENS,
            "Either that part of the product is gone, or its logging is.",
            f"{gone['slice']}: last {gone['last']:%Y-%m-%d}, about {gone['expected']:,} expected since",
            (f"flywheel audit NEWER_LOG --expect {shlex.quote(gone['slice'].replace(' ', ''))}",),
            ("observe", "gate"),
        )
    if slices.small:
        worst = slices.small[-1]
        yield Finding(
            "small slices",
            f"{counted(len(slices.small), 'slice')} too small to measure",
            TIDY,
            f"A failure rate to ±5 points at 95 % takes {slices.needed} labelled cases; these have fewer interactions.",
            f"the smallest: {worst['slice']} with {worst['n']:,}",
            ("flywheel spin --budget 200  # label budgets are spread over slices",),
            ("gate",),
        )
    if slices.missing:
        first = slices.missing[0]
        yield Finding(
            "missing combinations",
            f"{counted(len(slices.missing), 'combination')} of frequent values never came",
            TIDY,
            "Each half is frequent; together they are what the model has not been tried on.",
            f"{first['slice']}: {first['expected']:,} expected by chance, none in {slices.combined_n:,}",
            ("flywheel audit NEWER_LOG --expect NAME=VALUE,VALUE",),
            ("gate",),
        )


def tidy(audit: Audit) -> Iterator[Finding]:
    """What is odd about the values of fields."""
    cut = [field for field in audit.fields if field.cut_at]
    if cut:
        yield Finding(
            "cut off",
            f"{_names(cut)} cut off at {cut[0].cut_at:,} characters",
            WEAKENS,
            "A replay asks the new model what it was not asked: half a question.",
            f"many texts of many lengths end at exactly {cut[0].cut_at:,} characters",
            ("fw.log(input=whole_text, …)  # records may have 1 MiB",),
            ("replay", "train") if any(field.path.startswith("input") for field in cut) else ("diagnose",),
        )
    mixed = [field for field in audit.fields if "conflicting types" in field.notes]
    if mixed:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in mixed[0].types.items())
        yield Finding(
            "conflicting types",
            f"{_names(mixed)} of more than one type",
            TIDY,
            "A column has one type in the tables; values of the other go to a column of their own or become text.",
            f"{mixed[0].path}: {kinds}",
            ("fw.log(context={'amount': float(amount)}, …)",),
            ("observe",),
        )
    empty = [field for field in audit.fields if field.empty > 0.05 * max(1, audit.profiled)]
    if empty:
        worst = max(empty, key=lambda field: field.empty)
        yield Finding(
            "words for nothing",
            f"{_names(empty)} filled with words for nothing",
            TIDY,
            "`unknown`, `n/a`, empty text: counted as values they make a slice of everything that is missing.",
            f"{worst.path}: {worst.empty:,} of {audit.profiled:,}",
            ("fw.log(context={name: value for name, value in context.items() if value}, …)",),
        )
    constant = [field for field in audit.fields if "constant" in field.notes]
    if len(constant) > 1:
        yield Finding(
            "constant fields",
            f"{_names(constant)} always the same",
            TIDY,
            "They tell nothing apart, and cost storage.",
            f"{len(constant)} fields: {', '.join(field.path for field in constant[:5])}",
            ('[privacy] drop = ["' + constant[0].path + '"]',),
        )
    describing = audit.personal.describing
    if describing:
        yield Finding(
            "fields about people",
            f"{counted(len(describing), 'field')} that by name describe people",
            TIDY,
            "Whatever the values look like: these may need a lawful basis, and are the slices fairness is judged by.",
            ", ".join(describing[:8]),
            (f'[privacy] drop = ["{describing[0]}"]',),
        )


def _names(fields: list[FieldFound]) -> str:
    rest = f" and {len(fields) - 1} more are" if len(fields) > 1 else " is"
    return f"{fields[0].path}{rest}"
