"""Following one interaction, or one dataset, to all that it is connected with. Verbs of `Flywheel`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flywheel.errors import InvalidConfig
from flywheel.looking import Looking

if TYPE_CHECKING:
    from flywheel.curate.entered import Entry
    from flywheel.diagnose.belief import Belief
    from flywheel.loop.single import Neighbours, Replay

__all__ = ["Tracing"]


class Tracing(Looking):
    """The verbs that follow a single thing."""

    def belief(self, id: str) -> Belief:
        """How likely one interaction failed, what says so or speaks against it and how strongly, its mode and label.

        By everything that is known today, as a spin weighs it. Raises `NotFound` for an unknown id.

        >>> import tempfile, flywheel
        >>> with flywheel.open(tempfile.mkdtemp()) as fw:
        ...     i = fw.log(input="hello", output="hi", error="timeout")
        ...     [evidence.detail for evidence in fw.belief(i).evidence]
        ['the call ended in an error']
        """
        from flywheel.loop.single import belief_of

        return belief_of(self._workshop([], None), id)

    def neighbours(self, id: str, k: int = 8, *, among: int = 2000) -> Neighbours:
        """The `k` interactions most like one, of the newest `among` in the log: likeness, right or wrong, mode.

        The cost grows with `among`, never with the log. Raises `NotFound` for an unknown id.

        >>> import tempfile, flywheel
        >>> with flywheel.open(tempfile.mkdtemp()) as fw:
        ...     ids = [fw.log(input=text, output="a") for text in ("my card is lost", "lost my card", "exchange rate")]
        ...     near = fw.neighbours(ids[0], k=1)
        ...     near.found[0].input, near.among
        ('lost my card', 2)
        """
        from flywheel.loop.single import neighbours_of

        if not 1 <= k <= 100 or not 1 <= among <= 20_000:
            raise InvalidConfig(f"k = {k} and among = {among}: k goes from 1 to 100, among from 1 to 20,000")
        return neighbours_of(self._workshop([], None), id, k=k, among=among)

    def entered(self, id: str) -> tuple[list[Entry], int]:
        """The datasets that one interaction entered, as which example, and what it trains and proves there.

        The newest dozen are opened; the number says how many older ones there are. `lineage` has all their hashes.
        """
        from flywheel.curate.entered import entered

        self.interaction(id)
        return entered(self._store.state, id)

    def replays(self, id: str) -> list[Replay]:
        """What the versions answer to one interaction: the champion now, each candidate, and the champion of its time.

        With whether that is right, by the label of the dataset, and how the answer came about. Raises `NotFound` for
        an unknown id.
        """
        from flywheel.loop.single import replays_of

        return replays_of(self._workshop([], None), id)
