"""Made-up products, and labels drawn from them the way a spin draws them: an audit and a targeted part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Product:
    p_failure: np.ndarray
    before: np.ndarray
    after: np.ndarray
    differs: np.ndarray

    @property
    def uplift(self) -> float:
        return float(self.after.mean() - self.before.mean())


def make_product(rng, n, accuracy, fixed, broken, separation):
    """`separation`: how well P(failure) tells failures apart, in standard deviations."""
    wrong = rng.random(n) < 1 - accuracy
    score = rng.normal(0, 1, n) + separation * wrong
    p_failure = 1 / (1 + np.exp(-(score - separation / 2 - 1.5)))
    after = np.where(wrong, rng.random(n) < fixed, rng.random(n) > broken)
    differs = (after != ~wrong) | (wrong & (rng.random(n) < 0.3))
    return Product(p_failure, ~wrong, after, differs)


def draw(rng, p_failure, budget, audit_share=0.2):
    """An audit by simple random sampling, the rest by sequential Poisson sampling on P(failure)."""
    n = len(p_failure)
    audits = int(np.ceil(audit_share * budget))
    targeted = budget - audits
    inclusion = np.minimum(1.0, targeted * p_failure / p_failure.sum())
    for _ in range(20):
        sure = inclusion >= 1
        if not sure.any() or sure.all():
            break
        rest = (targeted - sure.sum()) * p_failure / p_failure[~sure].sum()
        inclusion = np.where(sure, 1.0, np.minimum(1.0, rest))
    audit = np.zeros(n, bool)
    audit[rng.permutation(n)[:audits]] = True
    chosen = audit.copy()
    chosen[np.argsort(rng.random(n) / inclusion)[:targeted]] = True
    cases = np.flatnonzero(chosen)
    return cases, (1 - (1 - audits / n) * (1 - inclusion))[cases], audit[cases]
