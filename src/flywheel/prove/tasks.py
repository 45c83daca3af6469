"""What is right: how an output is held against the truth, for each kind of task."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.errors import InvalidConfig

__all__ = ["Classification", "Generation", "Ranking", "Regression"]


class Classification:
    """One right class. Classes are any JSON: 1 and 1.0 are the same class, "1" and true are others.

    >>> Classification().correct("lost_card", "lost_card"), Classification().correct(True, 1)
    (True, False)
    """

    name = "classification"

    def correct(self, output: Any, truth: Any) -> bool:
        """Is it the same class?"""
        return _key(output) == _key(truth)

    def score(self, output: Any, truth: Any) -> float:
        """1 for the right class, else 0."""
        return float(self.correct(output, truth))

    def severity(self, output: Any, truth: Any) -> float:
        """1 for a wrong class, else 0: without costs, every mistake is as bad."""
        return 1.0 - self.score(output, truth)


class Regression:
    """A number, right when within `tolerance` of the truth (in the truth's unit).

    >>> Regression(tolerance=0.5).correct(10.4, 10), Regression(tolerance=0.5).score(10.5, 10)
    (True, 0.5)
    """

    name = "regression"

    def __init__(self, tolerance: float = 0.0) -> None:
        if not (math.isfinite(tolerance) and tolerance >= 0):
            raise InvalidConfig(f"tolerance is {tolerance}; it must be 0 or a positive number in the labels' unit")
        self.tolerance = tolerance

    @classmethod
    def for_labels(cls, labels: Sequence[Any], tolerance: float = 0.0) -> Regression:
        """Use `tolerance`, or with 0 a quarter of the labels' standard deviation."""
        if tolerance > 0:
            return cls(tolerance)
        numbers = [n for n in map(_number, labels) if n is not None]
        if len(numbers) < 2:
            return cls(0.0)
        mean = math.fsum(numbers) / len(numbers)
        return cls(0.25 * math.sqrt(math.fsum((n - mean) ** 2 for n in numbers) / len(numbers)))

    def correct(self, output: Any, truth: Any) -> bool:
        """Is it near enough? An output that is no finite number is wrong."""
        distance = self._distance(output, truth)
        return distance is not None and distance <= self.tolerance

    def score(self, output: Any, truth: Any) -> float:
        """1 at the truth, 0.5 at the tolerance, halving with each further tolerance; exact match when it is 0."""
        distance = self._distance(output, truth)
        if distance is None:
            return 0.0
        if self.tolerance == 0:
            return float(distance == 0)
        return float(0.5 ** min(distance / self.tolerance, 1000.0))

    def severity(self, output: Any, truth: Any) -> float:
        """0 within the tolerance, growing to 1 at five tolerances."""
        distance = self._distance(output, truth)
        if distance is None:
            return 1.0
        if distance <= self.tolerance:
            return 0.0
        return 1.0 if self.tolerance == 0 else min(1.0, distance / (5 * self.tolerance))

    @staticmethod
    def _distance(output: Any, truth: Any) -> float | None:
        a, b = _number(output), _number(truth)
        return None if a is None or b is None else abs(a - b)


class Ranking:
    """An ordered list, best first, held against what is relevant, by NDCG@k (Järvelin & Kekäläinen 2002).

    The truth is a dict of item → gain, a list of relevant items, or one relevant item. Right when NDCG reaches
    `threshold`.

    >>> Ranking().score(["a", "b"], "a"), Ranking(threshold=0.6).correct(["b", "a"], ["a"])
    (1.0, True)
    """

    name = "ranking"

    def __init__(self, k: int = 10, threshold: float = 0.5) -> None:
        if k < 1 or not 0 < threshold <= 1:
            raise InvalidConfig(f"ranking takes k >= 1 and a threshold in (0, 1], not k={k}, threshold={threshold}")
        self.k = k
        self.threshold = threshold

    def correct(self, output: Any, truth: Any) -> bool:
        """Does NDCG@k reach the threshold?"""
        return self.score(output, truth) >= self.threshold

    def score(self, output: Any, truth: Any) -> float:
        """NDCG@k. A repeated item counts once; with nothing relevant, only an empty list is right."""
        gains = self._gains(truth)
        ranked = list(dict.fromkeys(map(_key, output if isinstance(output, list | tuple) else [output])))
        ideal = _discounted(sorted(gains.values(), reverse=True)[: self.k])
        if ideal == 0:
            return float(not output)
        return _discounted([gains.get(item, 0.0) for item in ranked[: self.k]]) / ideal

    def severity(self, output: Any, truth: Any) -> float:
        """What is missing to a perfect list; 0 when it is right."""
        score = self.score(output, truth)
        return 0.0 if score >= self.threshold else 1.0 - score

    @staticmethod
    def _gains(truth: Any) -> dict[str, float]:
        if isinstance(truth, Mapping):
            return {_key(item): max(_number(gain) or 0.0, 0.0) for item, gain in truth.items()}
        items = truth if isinstance(truth, list | tuple) else [] if truth is None else [truth]
        return {_key(item): 1.0 for item in items}


class Generation:
    """Free text held against one accepted text or a list of them, by token F1 (Rajpurkar et al. 2016).

    Case, punctuation and spacing do not count. Right when F1 reaches `threshold`; 1.0 asks for the same words.

    >>> Generation().score("The card is lost.", "the card is lost"), round(Generation().score("card", "lost card"), 2)
    (1.0, 0.67)
    """

    name = "generation"

    def __init__(self, threshold: float = 0.7) -> None:
        if not 0 < threshold <= 1:
            raise InvalidConfig(f"generation takes a threshold in (0, 1], not {threshold}")
        self.threshold = threshold

    def correct(self, output: Any, truth: Any) -> bool:
        """Does the best F1 over the accepted texts reach the threshold?"""
        return self.score(output, truth) >= self.threshold

    def score(self, output: Any, truth: Any) -> float:
        """Token F1 with the nearest accepted text; 1 for an exact match."""
        accepted = truth if isinstance(truth, list | tuple) else [truth]
        return max((_token_f1(_tokens(output), _tokens(text)) for text in accepted), default=0.0)

    def severity(self, output: Any, truth: Any) -> float:
        """What is missing to F1 = 1; 0 when it is right."""
        score = self.score(output, truth)
        return 0.0 if score >= self.threshold else 1.0 - score


def _key(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


def _tokens(text: Any) -> list[str]:
    if text is None:
        return []
    plain = text if isinstance(text, str) else json.dumps(text, sort_keys=True, ensure_ascii=False, default=str)
    return re.findall(r"\w+", plain.casefold())


def _token_f1(answer: Sequence[str], accepted: Sequence[str]) -> float:
    if not answer or not accepted:
        return float(not answer and not accepted)
    shared = (Counter(answer) & Counter(accepted)).total()
    return 2 * shared / (len(answer) + len(accepted))
