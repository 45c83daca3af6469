"""A small bank's chatbot that has spun: its first version never heard of `login`, its second learnt it from labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["SAYS", "knows", "play"]

SAYS = {"card": "my card is lost", "money": "send money abroad", "fees": "why this fee", "login": "cannot sign in"}


def play(
    fw: Any, n: int, id_of: Callable[[int], str], context_of: Callable[[int], Mapping[str, Any]] | None = None
) -> dict[str, str]:
    """Seed three of the four intents, log n requests of all four with a bad rating for each wrong answer.

    Returns the truth by id: `fw.spin(budget=40, labeler=knows(play(fw, 200, "a-{}".format)))`.
    """
    names = list(SAYS)
    fw.seed([f"{SAYS[names[k % 3]]} {k}" for k in range(60)], [names[k % 3] for k in range(60)])
    fw.spin(budget=0)
    truth = {}
    for k in range(n):
        name, id = names[k % 4], id_of(k)
        contexts = None if context_of is None else [dict(context_of(k))]
        [said] = fw.predict([f"{SAYS[name]} please {k}"], ids=[id], contexts=contexts)
        truth[id] = name
        if said.output != name:
            fw.feedback(id, rating=-1)
    return truth


def knows(truth: Mapping[str, str]) -> Callable[[Any], Any]:
    """The labeler who knows it; of anything else, a second look at a seed example, it repeats the answer."""
    return lambda item: truth.get(item.interaction_id, item.output)
