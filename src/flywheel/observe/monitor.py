"""Do more answers fail than before? A monitor that may be read every minute.

The question is whether the failure rate now exceeds the reference's by more than a tolerance. Both rates are unknown:
for each rate p that the reference may have, evidence that its rate is under p is multiplied by evidence that the rate
now is over p + tolerance; the monitor believes the smallest product (Turner & Grünwald 2023 for two samples). The
evidence is the wealth of bets (Waudby-Smith & Ramdas 2024), so it is right at whatever moment it is read; the idea of
watching a deployed model so is Podkopaev & Ramdas 2022, "Tracking the risk of a deployed model".

Wealth that was lost over a long quiet time would delay an alarm. So a new bettor starts with each batch, and their
wealth is added up: the e-detector of Shin, Ramdas & Rinaldo 2022. In quiet times it alarms at most once in 1 / α
batches on average (`rule="restarting"`); the wealth of the first bettor alone ever does so with probability α
(`rule="once"`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from scipy.special import ndtri

from flywheel.errors import InvalidRecord
from flywheel.observe.bets import BETS, Floats, Tally, known_beyond, log_wealth, purse, rate_interval
from flywheel.records import Interval

__all__ = ["RiskMonitor"]

_NODES = 48
_MOST_MARKS = 96
_RULES = ("restarting", "once")


class RiskMonitor:
    """Watches whether the failure rate exceeds the reference rate by more than `tolerance`.

    Args:
        reference: the failure rate before, known exactly (a number), or a `Tally` of the reference's judged answers.
        tolerance: how much more may fail before it matters, as a share: 0.005 is half a point.
        alpha: false alarms per batch (`restarting`: at most one in 1 / alpha batches on average), or ever (`once`).
        heaviest: the largest weight that any label will have: 1 / the smallest propensity.
        rule: `restarting` finds a change after any quiet time; `once` controls the whole future.

    A batch is whatever one `update` brings: a minute, an hour, a label. A weight above `heaviest` is refused, because
    bets against unbounded weights are not safe. Correct on average over what is watched: a rate that only oscillates
    around the reference's by season does not count as a rise, but an hour of it may look like one; watch whole days
    where the season is strong.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> monitor = RiskMonitor(Tally.of((rng.random(5000) < 0.10) * 1.0, np.ones(5000)))
    >>> for hour in range(24):
    ...     monitor.update(rng.random(500) < (0.10 if hour < 12 else 0.15), at=hour)
    >>> monitor.alarm, monitor.since
    (True, 12)
    """

    def __init__(
        self,
        reference: float | Tally,
        *,
        tolerance: float = 0.005,
        alpha: float = 0.001,
        heaviest: float = 1.0,
        rule: str = "restarting",
    ) -> None:
        if rule not in _RULES:
            raise InvalidRecord("rule", f"{rule!r} is unknown", f"Use one of {', '.join(_RULES)}")
        if not 0.0 < alpha < 1.0:
            raise InvalidRecord("alpha", f"{alpha} is not a probability", "Pass 0 < alpha < 1, for example 0.001")
        if not 0.0 <= tolerance < 1.0:
            raise InvalidRecord("tolerance", f"{tolerance} is not a share", "Pass 0 to 1: 0.005 is half a point")
        if heaviest < 1.0:
            raise InvalidRecord("heaviest", f"{heaviest} is under 1", "Pass 1 / the smallest propensity")
        if isinstance(reference, Tally) and not reference.n:
            raise InvalidRecord("reference", "no judged answers", "Label some earlier interactions, or pass a rate")
        self.reference, self.tolerance, self.alpha = reference, tolerance, alpha
        self.heaviest, self.rule = heaviest, rule
        self.seen = Tally()
        self.batches = 0
        self._rates, self._known = _nodes(reference, tolerance, alpha)
        self._wealth = np.full((self._rates.size, BETS.size), -np.inf)
        self._marks: list[list[Any]] = []

    @property
    def reference_rate(self) -> float:
        """The failure rate of the reference, as far as it is known."""
        return self.reference.rate if isinstance(self.reference, Tally) else self.reference

    def update(self, wrong: Any, weight: Any = None, *, at: Any = None) -> None:
        """Take in one batch of judged answers.

        `wrong` is an array of booleans or of losses from 0 to 1; `weight` their weights, 1 / propensity (default 1).
        `at` names the batch in `since`: a time (UTC) or a number. An empty batch changes nothing. O(n).
        """
        losses = np.asarray(wrong, dtype=np.float64).ravel()
        heavy = np.full(losses.size, 1.0) if weight is None else np.asarray(weight, dtype=np.float64).ravel()
        self.take(self.tally(losses, heavy), at=at)

    def tally(self, losses: Floats, weight: Floats, times: Floats | None = None) -> Tally:
        """Count judged answers for `take`, each seen `times` times; refuse what bets are not safe with."""
        if losses.size != weight.size:
            raise InvalidRecord("weight", f"there are {weight.size} for {losses.size} answers", "Pass one for each")
        if losses.size and not (losses.min() >= 0 and losses.max() <= 1):
            raise InvalidRecord(
                "wrong", "a loss is missing, or outside 0 to 1", "Scale losses to 0 (right) to 1 (wrong)"
            )
        if losses.size and not (weight.min() > 0 and weight.max() <= self.heaviest * (1 + 1e-9)):
            bad = weight.max() if weight.max() > self.heaviest else weight.min()
            raise InvalidRecord(
                "weight",
                f"{bad:g} is not above 0 and at most {self.heaviest:g}, the heaviest weight announced",
                "Pass heaviest = 1 / the smallest propensity when making the monitor",
            )
        return Tally.of(losses, weight / self.heaviest, times)

    def take(self, batch: Tally, *, at: Any = None) -> None:
        """Take in one batch that `tally` counted. O(cells of the tally)."""
        if not batch.n:
            return
        gain = log_wealth(batch, self._rates)
        if self.rule == "restarting":
            self._wealth = np.logaddexp(self._wealth, 0.0) + gain
        else:
            self._wealth = gain if self.batches == 0 else self._wealth + gain
        self._marks.append([self.batches if at is None else at, self.seen.mass, self.seen.lost, self.seen.n])
        self._thin()
        self.batches += 1
        self.seen = self.seen + batch

    @property
    def log_e(self) -> float:
        """The logarithm of the evidence for a rise beyond the tolerance."""
        if not self.batches:
            return 0.0
        now = purse(self._wealth, keep=self.rule == "once")
        return float((now + self._known).min())

    @property
    def e_value(self) -> float:
        """The evidence for a rise beyond the tolerance: an alarm at 1 / alpha. 1 is none; capped at 1e300."""
        return float(np.exp(min(self.log_e, 690.0)))

    @property
    def alarm(self) -> bool:
        """Whether the failure rate exceeds the reference's by more than the tolerance, as sure as `alpha` says."""
        return bool(self.log_e >= -np.log(self.alpha))

    @property
    def since(self) -> Any:
        """The batch from which on more failed, by maximum likelihood; None where nothing rose."""
        mark = self._start()
        return None if mark is None else mark[0]

    def rate(self, level: float = 0.95) -> Interval:
        """The failure rate of all that was watched, with a confidence sequence: right whenever it is read."""
        low, high = rate_interval(self.seen, level)
        return Interval(self.seen.rate, low, high, round(self.seen.n), level)

    def recent(self, level: float = 0.95) -> Interval:
        """The failure rate since `since`, and Wilson's interval of it.

        The start was chosen by looking, so this describes an alarm; it does not prove one.
        """
        mark = self._start()
        if mark is None:
            return self.rate(level)
        mass, lost, n = self.seen.mass - mark[1], self.seen.lost - mark[2], self.seen.n - mark[3]
        worth = max(n * self.seen.effective / self.seen.n, 1e-9)
        z2 = 3.841459 if level == 0.95 else float(ndtri(0.5 + level / 2)) ** 2
        p = lost / mass
        middle, half = p + z2 / (2 * worth), np.sqrt(z2 * (p * (1 - p) / worth + z2 / (4 * worth**2)))
        scale = 1 + z2 / worth
        return Interval(p, float((middle - half) / scale), float((middle + half) / scale), round(n), level)

    def state(self) -> dict[str, Any]:
        """All that the monitor knows, as JSON values: store it, and go on with `from_state`."""
        reference = self.reference.state() if isinstance(self.reference, Tally) else self.reference
        return {
            "reference": reference,
            "tolerance": self.tolerance,
            "alpha": self.alpha,
            "heaviest": self.heaviest,
            "rule": self.rule,
            "batches": self.batches,
            "seen": self.seen.state(),
            "wealth": [[round(float(v), 6) for v in row] for row in self._wealth] if self.batches else [],
            "marks": [[_plain(mark[0]), *mark[1:]] for mark in self._marks],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> RiskMonitor:
        """Bring back a monitor where `state` left it."""
        given = state["reference"]
        reference = given if isinstance(given, int | float) else Tally.from_state(given)
        names = ("tolerance", "alpha", "heaviest", "rule")
        monitor = cls(reference, **{name: state[name] for name in names})
        monitor.batches, monitor.seen = state["batches"], Tally.from_state(state["seen"])
        if monitor.batches:
            monitor._wealth = np.asarray(state["wealth"], dtype=np.float64)
        monitor._marks = [[_moment(mark[0]), *mark[1:]] for mark in state["marks"]]
        return monitor

    def _start(self) -> list[Any] | None:
        """The mark after which the rate speaks loudest for more failures than the reference had."""
        if not self._marks:
            return None
        base = min(max(self.reference_rate, 1e-9), 1 - 1e-9)
        past = np.array([[mass, lost] for _, mass, lost, _ in self._marks])
        mass, lost = self.seen.mass - past[:, 0], self.seen.lost - past[:, 1]
        p = np.clip(lost / np.maximum(mass, 1e-12), 1e-12, 1 - 1e-12)
        gain = np.where(p > base, mass * (p * np.log(p / base) + (1 - p) * np.log((1 - p) / (1 - base))), 0.0)
        return self._marks[int(gain.argmax())] if gain.max() > 0 else None

    def _thin(self) -> None:
        """Keep few marks: all recent ones, and older ones as far apart as they are old."""
        if len(self._marks) <= _MOST_MARKS:
            return
        mass = np.array([mark[1] for mark in self._marks])
        age = mass[-1] - mass[1:-1] + 1e-9
        crowded = (mass[2:] - mass[:-2]) / age
        crowded[-_MOST_MARKS // 3 :] = np.inf
        del self._marks[1 + int(crowded.argmin())]


def _nodes(reference: float | Tally, tolerance: float, alpha: float) -> tuple[Floats, Floats]:
    """Rates that now is held against, and the log evidence that the reference's rate lies under each.

    Steps are even in arcsin(sqrt(p)), a fifth of a standard error; they end where the reference alone refutes more.
    """
    if not isinstance(reference, Tally):
        if not 0.0 <= reference < 1.0:
            raise InvalidRecord("reference", f"{reference} is not a rate", "Pass a share from 0 to 1, of failures")
        return np.array([min(max(reference + tolerance, 1e-9), 1 - 1e-9)]), np.zeros(1)
    spread = 0.5 / np.sqrt(reference.effective)
    middle = np.arcsin(np.sqrt(reference.rate))
    reach = 2.0 + np.sqrt(2 * np.log(50.0 / alpha))
    angle = np.clip(middle + spread * np.linspace(-2.5, 1.4 * reach, _NODES), 1e-4, np.pi / 2 - 1e-4)
    before = np.unique(np.clip(np.sin(angle) ** 2, 1e-9, 1 - 1e-9))
    known = known_beyond(reference, before, more=False)
    return np.clip(before + tolerance, 1e-9, 1 - 1e-9), known


def _plain(at: Any) -> Any:
    return {"at": at.astimezone(UTC).isoformat()} if isinstance(at, datetime) else at


def _moment(at: Any) -> Any:
    return datetime.fromisoformat(at["at"]) if isinstance(at, dict) else at
