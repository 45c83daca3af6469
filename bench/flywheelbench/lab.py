"""A quick laboratory for ways to choose labels: one closed-form learner, a stream, and what each way gains.

Every way sees the same stream under the same seed (`World`), the same learner and the same budget; no gate. What is
reported is the prequential accuracy: a spin is answered by what was learnt in the spins before. A way is a function
from what may be seen of a spin (`Sight`) and a number of labels to places in the spin's traffic. NOTES.md has what was
tried and what it gave.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from flywheelbench.world import World
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

__all__ = ["Lab", "Outcome", "Sight", "run"]

Array = NDArray[Any]
_PENALTY = 0.3


class Lab:
    """A world's inputs with a kernel between any two sets of them. Row numbers: the seed first, then the traffic."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.requests = [request for spin in world.spins for request in spin]
        inputs = [*world.seed_inputs, *(request.input for request in self.requests)]
        self.first = len(world.seed_inputs)
        self.ends = self.first + np.cumsum([0, *(len(spin) for spin in world.spins)])
        self.inputs = inputs
        self.text = world.kind == "text"
        if self.text:
            self.x: Any = _texts([str(one) for one in inputs])
        else:
            self.x = _numbers(inputs)
            sample = self.x[:: max(1, len(self.x) // 500)]
            apart = _squared(sample, sample)
            self.width = float(np.median(apart[apart > 0])) * 0.35
        self.labels = list(world.labels)
        self.column = {json.dumps(label): k for k, label in enumerate(self.labels)}
        known = [*world.seed_labels, *(request.truth for request in self.requests)]
        self.truth = np.array([self.column[json.dumps(label)] for label in known])
        self.told = self._told()

    def kernel(self, a: Array, b: Array) -> Array:
        """Likeness of two sets of rows, float32, 1 for the same input."""
        if self.text:
            return np.asarray((self.x[a] @ self.x[b].T).toarray(), dtype=np.float32)
        return np.exp(-_squared(self.x[a], self.x[b]) / self.width).astype(np.float32)

    def _told(self) -> Array:
        """What a person answers when asked about each row: 5 % wrong, 15 % where labels are confusable."""
        told = self.truth.copy()
        for k, request in enumerate(self.requests):
            rivals = self.world.confusable.get(request.truth)
            rate = 0.15 if rivals else 0.05
            if request.luck.label < rate:
                others = list(rivals) if rivals else [x for x in self.labels if x != request.truth]
                wrong = others[int(request.luck.which_label * len(others))]
                told[self.first + k] = self.column[json.dumps(wrong)]
        return told

    def signs(self, spin: int, wrong: Array) -> tuple[Array, Array]:
        """Who has reported by the end of this spin, and who tried again."""
        requests = self.world.spins[spin]
        end = requests[-1].at + timedelta(hours=1)
        report = np.array(
            [
                r.luck.report < (0.08 if w else 0.01) * (0.5 if r.group == "quiet" else 1.0)
                and r.at + timedelta(days=r.luck.delay_days) <= end
                for r, w in zip(requests, wrong, strict=True)
            ]
        )
        retry = np.array([r.luck.retry < (0.4 if w else 0.05) for r, w in zip(requests, wrong, strict=True)])
        return report, retry


def _texts(texts: Sequence[str]) -> sparse.csr_matrix:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, dtype=np.float32)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, dtype=np.float32)
    both = sparse.hstack([words.fit_transform(texts), letters.fit_transform(texts)], format="csr")
    return sparse.csr_matrix(both * np.float32(np.sqrt(0.5)))


def _numbers(inputs: Sequence[Any]) -> Array:
    x = np.asarray([np.ravel(one) for one in inputs], dtype=np.float32)
    return x / (x.std() or 1.0)


def _squared(a: Array, b: Array) -> Array:
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T, 0)


class Ridge:
    """Kernel ridge regression on one-hot targets; new rows are added to the inverse in closed form."""

    def __init__(self, lab: Lab, rows: Array, targets: Array, penalty: float = _PENALTY) -> None:
        self.lab, self.penalty = lab, penalty
        self.rows = np.asarray(rows)
        self.targets = np.asarray(targets)
        self.inverse = _inverse(lab.kernel(self.rows, self.rows) + penalty * np.eye(len(rows), dtype=np.float32))

    def add(self, rows: Array, targets: Array) -> None:
        """Learn more rows: block inversion, O(n²·new)."""
        if not len(rows):
            return
        cross = self.lab.kernel(self.rows, rows)
        own = self.lab.kernel(rows, rows) + self.penalty * np.eye(len(rows), dtype=np.float32)
        back = self.inverse @ cross
        small = _inverse(own - cross.T @ back)
        side = -back @ small
        self.inverse = np.block([[self.inverse - side @ back.T, side], [side.T, small]])
        self.rows = np.concatenate([self.rows, rows])
        self.targets = np.concatenate([self.targets, targets])

    @property
    def onehot(self) -> Array:
        hot = np.zeros((len(self.rows), len(self.lab.labels)), dtype=np.float32)
        hot[np.arange(len(self.rows)), self.targets] = 1
        return hot

    def scores(self, rows: Array) -> tuple[Array, Array]:
        """Raw scores of rows, and the temperature under which left-out scores of what is known fit best."""
        hot = self.onehot
        weights = self.inverse @ hot
        raw = self.lab.kernel(rows, self.rows) @ weights
        left = hot - weights / np.diag(self.inverse)[:, None]
        some = np.arange(0, len(left), max(1, len(left) // 800))
        seen = hot.sum(0) > 0

        def cost(scale: float) -> float:
            z = left[some] * scale
            z[:, ~seen] = -1e9
            z -= z.max(1, keepdims=True)
            chosen = z[np.arange(len(some)), self.targets[some]]
            return float(-(chosen - np.log(np.exp(z).sum(1))).mean())

        scale = min((2.0, 4.0, 6.0, 9.0, 13.0, 20.0, 30.0), key=cost)
        raw[:, ~seen] = -1.0
        return raw, np.float64(scale)


def _inverse(matrix: Array) -> Array:
    factor, _ = lapack.spotrf(matrix.astype(np.float32), lower=True)
    half, _ = lapack.spotri(factor, lower=True)
    lower = np.tril(half)
    return lower + np.tril(lower, -1).T


@dataclass
class Sight:
    """What a way of choosing may look at: one spin's traffic, answered by the model of the spin before."""

    lab: Lab
    model: Ridge
    rows: Array
    raw: Array
    scale: float
    report: Array
    retry: Array
    quiet: Array
    rng: np.random.Generator
    memory: dict[str, Any]
    spin: int

    @cached_property
    def shares(self) -> Array:
        """Class probabilities."""
        z = self.raw * self.scale
        z = np.exp(z - z.max(1, keepdims=True))
        return z / z.sum(1, keepdims=True)

    @cached_property
    def margin(self) -> Array:
        """Between the two best answers, 0 to 1."""
        two = -np.partition(-self.shares, 1, axis=1)[:, :2]
        return two[:, 0] - two[:, 1]

    @cached_property
    def doubt(self) -> Array:
        """1 − the largest probability."""
        return 1 - self.shares.max(1)

    @cached_property
    def entropy(self) -> Array:
        """Of the probabilities, in nats."""
        p = np.maximum(self.shares, 1e-12)
        return -(p * np.log(p)).sum(1)

    @cached_property
    def p_failure(self) -> Array:
        """From doubt, reports and retries, as learnt from labels."""
        signs = np.column_stack([_logit(self.doubt) - _logit(0.1), self.report, self.retry])
        centre, _ = self.memory.get("signs", (np.array([_logit(0.1), 1.0, 3.0, 1.0]), None))
        return 1 / (1 + np.exp(-(centre[0] + signs @ centre[1:])))

    @cached_property
    def like(self) -> Array:
        """Likeness of this spin's traffic to itself."""
        return self.lab.kernel(self.rows, self.rows)

    @cached_property
    def cross(self) -> Array:
        """Likeness of this spin's traffic to what is learnt."""
        return self.lab.kernel(self.rows, self.model.rows)

    @cached_property
    def unsure(self) -> Array:
        """Posterior covariance of the scores of this spin's traffic."""
        return self.like - self.cross @ (self.model.inverse @ self.cross.T)


def _logit(p: Any) -> Any:
    p = np.clip(p, 1e-3, 1 - 1e-3)
    return np.log(p / (1 - p))


Way = Callable[[Sight, int], Sequence[int]]


@dataclass
class Outcome:
    """What a way gained: accuracy of each spin before its labels came, in the traffic, and of each user group."""

    accuracy: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    loud: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)
    oos: list[float] = field(default_factory=list)
    mended: list[float] = field(default_factory=list)
    """Share of labels that were wrong and, held out, are right after it, less the share broken."""

    @property
    def mean(self) -> float:
        """Area under the prequential accuracy, from the second spin on (the first is the same for all)."""
        return float(np.mean(self.accuracy[1:]))


def run(
    lab: Lab, way: Way | None, budget: int = 100, audit: float = 0.0, seed: int = 0, penalty: float = _PENALTY
) -> Outcome:
    """One stream with one way of choosing; `audit` is the share of the budget drawn at random, before the rest."""
    from flywheel.diagnose.calibration import DOUBT_SPREAD, INTERCEPT_SPREAD, SIGN_SPREAD, UNKNOWN_SIGN, _fit

    model = Ridge(lab, np.arange(lab.first), lab.truth[: lab.first], penalty)
    out, memory = Outcome(), {}
    prior = np.array([_logit(0.1), 1.0, 3.0, UNKNOWN_SIGN])
    tight = 1 / np.array([INTERCEPT_SPREAD, DOUBT_SPREAD, SIGN_SPREAD, SIGN_SPREAD]) ** 2
    seen_x: list[Array] = []
    seen_y: list[Array] = []
    seen_w: list[Array] = []
    for spin, requests in enumerate(lab.world.spins):
        rows = np.arange(lab.ends[spin], lab.ends[spin + 1])
        raw, scale = model.scores(rows)
        wrong = raw.argmax(1) != lab.truth[rows]
        quiet = np.array([r.group == "quiet" for r in requests])
        out.accuracy.append(float(1 - wrong.mean()))
        out.quiet.append(float(1 - wrong[quiet].mean()))
        out.loud.append(float(1 - wrong[~quiet].mean()))
        if way is None or spin == len(lab.world.spins) - 1:
            continue
        report, retry = lab.signs(spin, wrong)
        rng = np.random.default_rng([seed, lab.world.seed, spin])
        if seen_x:
            theta, _ = _fit(
                np.column_stack([np.ones(sum(map(len, seen_x))), np.vstack(seen_x)]),
                np.concatenate(seen_y),
                np.concatenate(seen_w),
                prior,
                tight,
            )
            memory["signs"] = (theta, None)
        sight = Sight(lab, model, rows, raw, float(scale), report, retry, quiet, rng, memory, spin)
        audits = rng.permutation(len(rows))[: round(audit * budget)]
        memory["audits"] = audits
        wanted = [int(k) for k in way(sight, budget - len(audits))]
        taken = set(audits.tolist())
        spare = [int(k) for k in rng.permutation(len(rows)) if k not in taken and k not in set(wanted)]
        picked = [*audits.tolist(), *dict.fromkeys(k for k in wanted if k not in taken)]
        picked = np.array([*picked, *spare][:budget])
        known = lab.told[rows[picked]]
        judged = (known != raw.argmax(1)[picked]).astype(float)
        x = np.column_stack([_logit(sight.doubt) - _logit(0.1), report, retry])[picked]
        random_part = np.isin(picked, audits)
        seen_x.append(x)
        seen_y.append(judged)
        seen_w.append(np.where(random_part, 1.0, 0.2))
        out.noise.append(float(np.mean([requests[k].noise for k in picked])))
        out.wrong.append(float(wrong[picked].mean()))
        oos = lab.world.out_of_scope
        out.oos.append(float(np.mean([requests[k].truth == oos for k in picked])))
        model.add(rows[picked], known)
        weights = model.inverse[-len(picked) :] @ model.onehot
        left = model.onehot[-len(picked) :] - weights / np.diag(model.inverse)[-len(picked) :, None]
        before, after = raw.argmax(1)[picked] == known, left.argmax(1) == known
        gain = after.astype(float) - before
        memory["labels"] = (picked, gain)
        out.mended.append(float(gain[~random_part].mean()) if (~random_part).any() else 0.0)
    return out


def bounds(lab: Lab, folder: Path, penalty: float = _PENALTY) -> tuple[float, float]:
    """Mean prequential accuracy of the frozen model and of the one that learns every (true) label; kept in a file."""
    path = folder / f"{lab.world.name}-{lab.world.seed}-{penalty}.json"
    if path.exists():
        low, high = json.loads(path.read_text())
        return low, high
    low = run(lab, None, penalty=penalty).mean
    at, gained = [1, 3, 6, 9, 11], []
    for spin in at:
        rows = np.arange(lab.ends[spin])
        model = Ridge(lab, rows, lab.told[rows], penalty)
        test = np.arange(lab.ends[spin], lab.ends[spin + 1])
        weights = model.inverse @ model.onehot
        gained.append(float(((lab.kernel(test, rows) @ weights).argmax(1) == lab.truth[test]).mean()))
    high = float(np.interp(np.arange(1, len(lab.world.spins)), at, gained).mean())
    path.write_text(json.dumps([low, high]))
    return low, high
