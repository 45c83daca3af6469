"""A streaming detector of anomalies in one metric: six ways to be odd, each judged by how rare that much of it was.

Every point is looked at in six ways: against its hour of the day, a run of such differences, against the level of late,
how much values vary, how much they jump, and a drift of the level. Each gives a size; the share of earlier points with
at least that size is its tail probability, without any assumption about distributions (conformal anomaly detection,
Laxhammar & Falkman 2014; tail probabilities of a streaming model's error, Ahmad, Lavin, Purdy & Agha 2017). Surprises
are joined by their 4-norm: a large one counts, and several fair ones. A point weaker than another of late is no news.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from math import log, log10, sqrt
from typing import Any

from flywheel.errors import Undecodable
from flywheel.observe.anomaly.rarity import Rarity
from flywheel.observe.anomaly.season import Season

__all__ = ["AnomalyDetector"]

VIEWS = ("hour", "run", "lately", "variation", "jumps", "drift")
"""The ways to be odd, in the order in which they are kept."""
RUN, LATELY, VARY, JUMP, NEAR, FAR = 0.1, 0.02, 0.05, 0.02, 1 / 30, 1 / 100
"""Weights of a new value in moving averages: runs, the level of late, variation, jumps, and the two of a drift."""
LEVEL = 1500
"""Points in the long memory that says what level and variation are usual …"""
SIZES = 5000
"""… and in that of how large each kind of oddity was."""
START = 30
"""Nothing is odd before so many points."""
NOTHING = (0.0,) * len(VIEWS)
QUIET, QUIET_SHARE, QUIET_MOST = 60, 0.03, 600
"""An alarm must beat all points of the last 60 plus 3 % of the points seen, at most 600."""
LARGEST = 1e150
STEEP = 3.0
"""Likelihood is 1 - 10^(-STEEP × strength); a strength of 1 is about a record in one view."""


class AnomalyDetector:
    """How likely it is that each point of one metric is an anomaly, point by point, with nothing looked up ahead.

    Feed points in the order of time. The state is bounded (about 30 kB), goes to JSON and back, and gives the same
    results from there. Hours of the day and of the week are learned
    where points carry times. After `update`, `expected` and `spread`
    (a mean absolute difference) tell what was expected, `surprises` how surprised each view was, and `because` which
    was the most: `hour`, `run`, `lately`, `variation`, `jumps`, `drift`, or `stuck` for one value that keeps coming.
    `severity` is the joint surprise in digits, which goes on growing past the largest size seen, where the likelihood
    has nothing left to tell apart: chance alone reaches 4.7 in about one quiet stream of sixty.

    >>> detector = AnomalyDetector()
    >>> quiet = [detector.update(None, 10.0 + step % 7) for step in range(500)]
    >>> detector.update(None, 90.0) > max(quiet[100:])
    True
    >>> detector.severity > 4.7, round(detector.expected)
    (True, 13)
    """

    __slots__ = (
        "_far",
        "_jump",
        "_jump_level",
        "_last",
        "_lately",
        "_level",
        "_longest",
        "_n",
        "_near",
        "_rarities",
        "_recent",
        "_repeats",
        "_run",
        "_same",
        "_scale",
        "_season",
        "_spot",
        "_vary",
        "_vary_level",
        "because",
        "expected",
        "severity",
        "spread",
        "strength",
        "surprises",
    )

    def __init__(self) -> None:
        self._n = 0
        self._last = self._level = self._scale = 0.0
        self._near = self._far = 0.0
        self._spot = self._vary = self._vary_level = 0.0
        self._jump = self._jump_level = 0.0
        self._run = self._lately = 0.0
        self._same = self._longest = self._repeats = 0
        self._season = Season()
        self._rarities = [Rarity(SIZES) for _ in VIEWS]
        self._recent: deque[tuple[int, float]] = deque()
        self.expected = self.spread = self.strength = self.severity = 0.0
        self.because = ""
        self.surprises: tuple[float, ...] = NOTHING

    @property
    def n(self) -> int:
        """Points with a value that were seen so far."""
        return self._n

    def update(self, at: datetime | None, value: float | None) -> float:
        """Take the next point; give the likelihood, 0 to 1, that it is an anomaly. O(1) amortised.

        A missing value (None, NaN, or beyond ±1e150) is passed over with 0. A point weaker than another within the
        quiet time is held down, so that one event is one alarm.
        """
        if value is None or not -LARGEST < value < LARGEST:
            self.strength = self.severity = 0.0
            self.because = ""
            return 0.0
        strength = self._strength(at, float(value))
        recent, n = self._recent, self._n
        quiet = min(QUIET + QUIET_SHARE * n, QUIET_MOST)
        while recent and recent[0][0] < n - quiet:
            recent.popleft()
        news = not recent or strength > recent[0][1]
        while recent and recent[-1][1] <= strength:
            recent.pop()
        recent.append((n, strength))
        self.strength = strength if news else 0.5 * strength
        return float(1.0 - 10.0 ** (-STEEP * self.strength))

    def _strength(self, at: datetime | None, x: float) -> float:
        """Learn a point, and give its joint surprise as a share of the largest that so many points could show."""
        n = self._n
        self._n = n + 1
        if not n:
            self._last = self._level = self._near = self._far = self._spot = x
        weight = 1.0 / (n + 1)
        slow = weight if weight > 1 / LEVEL else 1 / LEVEL
        off = abs(x - self._level)
        self._level += slow * (x - self._level)
        self._scale += slow * (off - self._scale)
        scale = self._scale
        self._near += (weight if weight > NEAR else NEAR) * (x - self._near)
        self._far += (weight if weight > FAR else FAR) * (x - self._far)
        drift = abs(self._near - self._far)
        # How much values vary, and how much they jump, beside how much they usually do.
        gap = x - self._spot
        self._spot += VARY * gap
        self._vary += VARY * (gap * gap * (1 - VARY) - self._vary)
        stuck = self._stuck(x, n)
        self._jump += JUMP * (abs(x - self._last) - self._jump)
        self._last = x
        floor = scale * 1e-4
        vary = log(sqrt(self._vary) + floor) if floor > 0 else 0.0
        jump = log(self._jump + floor) if floor > 0 else 0.0
        if n < 20:
            self._vary_level, self._jump_level = vary, jump
        variation, jumps = vary - self._vary_level, jump - self._jump_level
        self._vary_level += slow * variation
        self._jump_level += slow * jumps
        # The hour of the day, or of the week.
        season = self._season
        gap = season.take(at, x)
        self._run += RUN * (gap - self._run)
        self._lately += LATELY * (gap - self._lately)
        count, spread = season.count, season.dev + 0.05 * scale
        self.expected, self.spread = (season.mean if count else self._level), spread
        one, two, three, four, five, six = self._rarities
        surprises: tuple[float, ...] = (
            one.surprise(abs(gap) / spread) if count > 3 and spread > 0 else one.unasked(),
            two.surprise(abs(self._run)),
            three.surprise(abs(gap - self._lately)),
            four.surprise(abs(variation)),
            five.surprise(abs(jumps)),
            six.surprise(drift),
        )
        if n < START:
            surprises = NOTHING
        self.surprises = surprises
        self.because = VIEWS[surprises.index(max(surprises))] if n >= START else ""
        joint = 0.0
        for surprise in surprises:
            square = surprise * surprise
            joint += square * square
        self.severity = float(sqrt(sqrt(joint)))
        strength = self.severity / log10((n if n < LEVEL else LEVEL) + 20)
        if n >= START and (one.beyond or two.beyond or three.beyond or four.beyond or five.beyond or six.beyond):
            further = [surprise + rarity.beyond for surprise, rarity in zip(surprises, self._rarities, strict=True)]
            self.because = VIEWS[further.index(max(further))]
            self.severity = float(sum(surprise**4 for surprise in further) ** 0.25)
        if stuck > self.severity:
            self.severity, self.because = stuck, "stuck"
        return strength

    def _stuck(self, x: float, n: int) -> float:
        """How improbable it is, in digits, that the same value comes so often in a row.

        Values repeat independently with the share of repeats so far, and there were `n` chances; runs that are not well
        over the longest earlier one, such as nights without traffic, are never odd.
        """
        if not n or x != self._last:
            if self._same > self._longest:
                self._longest = self._same
            self._repeats += self._same
            self._same = 0
            return 0.0
        self._same += 1
        if self._same <= 2 * self._longest + 3:
            return 0.0
        return max(0.0, -self._same * log10((self._repeats + 1) / (n + 2 - self._same)) - log10(n))

    def state(self) -> dict[str, Any]:
        """All that the detector knows, as JSON values."""
        return {
            "version": 1,
            "numbers": {name: getattr(self, name) for name in _NUMBERS},
            "season": self._season.state(),
            "recent": [list(pair) for pair in self._recent],
            "rarities": [rarity.state() for rarity in self._rarities],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> AnomalyDetector:
        """Bring back a detector from what `state` gave; raises Undecodable for a state of another version."""
        if state.get("version") != 1:
            raise Undecodable(
                f"This state of an anomaly detector has version {state.get('version')!r}, and only version 1 can be "
                "read. Begin with a new AnomalyDetector and feed it the last few weeks of the metric."
            )
        back = cls()
        for name in _NUMBERS:
            setattr(back, name, state["numbers"][name])
        back._season = Season.from_state(state["season"])
        back._recent = deque((int(place), float(strength)) for place, strength in state["recent"])
        back._rarities = [Rarity.from_state(one) for one in state["rarities"]]
        return back


_NUMBERS = (
    "_n", "_last", "_level", "_scale", "_near", "_far", "_spot", "_vary", "_vary_level", "_jump", "_jump_level", "_run",
    "_lately", "_same", "_longest", "_repeats",
)  # fmt: skip
