"""The verdict on a first model, which has no champion to beat and nothing in production to break."""

from __future__ import annotations

from collections.abc import Sequence

from flywheel.prove import exact
from flywheel.prove.judging import AGREES
from flywheel.prove.pairing import Pair
from flywheel.records import Check, Verdict

__all__ = ["open_gate"]


def open_gate(pairs: Sequence[Pair], *, agreement: float | None = None) -> Verdict:
    """Judge a first model against always giving the most common label (the pairs' `champion`), cross-fitted.

    It is released when it gets more right than that, and when the final model is the one its fold models promised. The
    line gives the exact p-value, but a few labels need not be significant: there is nothing that answers now.
    """
    wins = sum(p.candidate_right and not p.champion_right for p in pairs)
    losses = sum(p.champion_right and not p.candidate_right for p in pairs)
    right = sum(p.candidate_right for p in pairs)
    line = (
        f"cross-fitted on {len(pairs)} labels: {right} right, {sum(p.champion_right for p in pairs)} by always giving "
        f"the most common label (p = {exact.sign_test(wins, losses):.2g})"
    )
    values = {"wins": wins, "losses": losses, "labels": len(pairs), "right": right}
    checks = [Check("better than no model", "pass" if wins > losses else "fail", line, values)]
    if agreement is not None:
        line = f"the final model is right on {agreement:.1%} of what its fold models got right unseen"
        checks.append(Check("artefact", "pass" if agreement >= AGREES else "fail", line, {"agreement": agreement}))
    fixed = tuple(p.example.id for p in pairs if p.candidate_right and not p.champion_right)
    broke = tuple(p.example.id for p in pairs if p.champion_right and not p.candidate_right)
    return Verdict(
        decision="promote" if all(check.outcome == "pass" for check in checks) else "reject",
        checks=tuple(checks),
        fixed=wins,
        failures=len(pairs) - sum(p.champion_right for p in pairs),
        broke=losses,
        kept=sum(p.champion_right for p in pairs),
        fixed_ids=fixed,
        broke_ids=broke,
    )
