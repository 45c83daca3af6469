"""Labels asked where candidate and champion answer differently: the fairest comparison that a label can buy.

Where two models agree no label can tell them apart. So the last labels of a spin are drawn at random from the
interactions of its window on which the trained model and the champion disagree and that nobody has labelled. Neither
side is favoured by that choice, unlike labels aimed at the champion's failures, and how often the two differ is counted
(in a window of more than 20,000 on a sample of it). What the labels add is which of the two is right there (Sawade,
Landwehr and Scheffer 2012, "Active comparison of prediction models", for the idea of spending labels where two models
differ). The model that has voted is the candidate before it learnt these last labels, and without synthetic examples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flywheel.prove import exact
from flywheel.prove.history import no_gain, unpaid
from flywheel.records import Check

__all__ = ["Apart", "apart_check"]

_TOLERATED = 0.01
"""A loss of so much accuracy on the traffic must be unlikely …"""
_UNLIKELY = 0.2
"""… which is to say, at most so probable."""
_EVEN = 0.5
_REMEMBERED = 6
"""So many spins say whether retraining pays, the newest among them …"""
_PAYS = 0.2
"""… which it does where "no gain on average" is at most so probable: of candidates that never gain one in ten a spin is
spoken for (simulated in the tests)."""
_HARM_ALPHA = 0.05
_SURE = 0.025
_SURE_SPREADS = 1.96


@dataclass(frozen=True, slots=True)
class Apart:
    """What the labels of the disagreements said."""

    differ: int
    """Interactions on which the two answer differently, among those that were looked at and had no label …"""
    seen: int
    """… of which there are so many."""
    votes: tuple[int, ...] = ()
    """One for each group of near-duplicates among the labels: in how many of its labels only the new model is right,
    less in how many only the champion is."""
    sizes: tuple[int, ...] = ()
    """How many labels each group has; one each where it is left out."""

    @property
    def share(self) -> float:
        """How often the two differ, 0 to 1."""
        return self.differ / self.seen if self.seen else 0.0

    @property
    def labels(self) -> int:
        """How many were labelled."""
        return sum(self.sizes) if self.sizes else len(self.votes)

    @property
    def wins(self) -> int:
        """Groups that speak for the new model."""
        return sum(vote > 0 for vote in self.votes)

    @property
    def losses(self) -> int:
        """Groups that speak for the champion."""
        return sum(vote < 0 for vote in self.votes)

    def gain(self) -> tuple[float, float]:
        """The change of accuracy on the traffic, and its standard error; (0, 0) without labels.

        Every label counts, as each was drawn by itself; the error takes a group of near-duplicates as one draw. One win
        and one loss more than were seen go into it: six votes that agree are not certain.

        >>> gain, error = Apart(differ=40, seen=400, votes=(1, 1, 1, -1, 0, 1)).gain()
        >>> round(gain, 3), round(error, 3)
        (0.05, 0.035)
        """
        n = self.labels
        if not n:
            return 0.0, 0.0
        wary = sum(self.votes) / (n + 2)
        spread = (sum(vote * vote for vote in self.votes) + 2) / (n + 2) - wary**2
        return self.share * sum(self.votes) / n, self.share * math.sqrt(spread / n)

    def interval(self) -> tuple[float, float]:
        """What the gain is at least and at most, 2.5 % in each tail.

        Tango's score interval over groups, no narrower than 1.96 errors either side. With three labels it misses up to
        6 %; but nought is outside only where the exact sign test says so. O(groups).
        """
        gain, error = self.gain()
        low, high = exact.loss_interval(self.wins, self.losses, len(self.votes), _SURE)
        around = _SURE_SPREADS * error
        low = low if exact.sign_test(self.wins, self.losses) <= _SURE else min(low, 0.0)
        high = high if exact.sign_test(self.losses, self.wins) <= _SURE else max(high, 0.0)
        return max(min(self.share * low, gain - around), -self.share), min(
            max(self.share * high, gain + around), self.share
        )


def apart_check(apart: Apart, earlier: Sequence[tuple[float, float]] = ()) -> Check:
    """Do the disagreements speak for the candidate?

    `earlier` holds gain and error of the same check in earlier spins (`gain` and `error` of its values). `values`
    tells, as `leans`, whether the candidate may be released on their account: retraining pays in this product (over the
    newest six spins "no gain on average" has a probability of at most a fifth), this spin's labels do not lean against
    the candidate, a gain is at least as likely as not, and a loss of more than a point on the traffic has a
    probability of at most a fifth. That takes an earlier spin's labels, and labels of this one. `p` is how likely so
    many votes for it are by accident (exact sign test, a group of near-duplicates one vote); the check itself fails
    where more votes for the champion are no accident.
    """
    gain, error = apart.gain()
    low, high = apart.interval()
    none, loss = _EVEN, _EVEN
    if error > 0:
        none = no_gain(gain, error, earlier)
        loss = no_gain(gain + _TOLERATED, error, [(one + _TOLERATED, of) for one, of in earlier])
    idle = unpaid([*earlier[-_REMEMBERED + 1 :], *([(gain, error)] if error > 0 else [])])
    p = exact.sign_test(apart.wins, apart.losses)
    leans = bool(earlier) and error > 0 and gain >= 0 and idle <= _PAYS and none <= _EVEN and loss <= _UNLIKELY
    against = exact.sign_test(apart.losses, apart.wins)
    line = (
        f"answers {apart.differ} of {apart.seen} unlabelled interactions differently; of {apart.labels} labels there, "
        f"{apart.wins} speak for it and {apart.losses} for the champion (p = {p:.2g})"
    )
    if apart.votes:
        line += (
            f": {100 * gain:+.1f} points on the traffic ({100 * low:+.1f} to {100 * high:+.1f}); with {len(earlier)} "
            f"earlier spins, no gain has a probability of {none:.2g}, a loss of more than a point {loss:.2g}, no gain "
            f"on average {idle:.2g}"
        )
    values = {
        "differ": apart.differ, "seen": apart.seen, "wins": apart.wins, "losses": apart.losses,
        "labels": apart.labels, "p": p, "gain": gain, "error": error, "low": low, "high": high, "no_gain": none,
        "loss": loss, "unpaid": idle, "leans": leans,
    }  # fmt: skip
    return Check("disagreements", "fail" if against <= _HARM_ALPHA else "pass", line, values)
