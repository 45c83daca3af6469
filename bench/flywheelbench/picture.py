"""FlywheelBench as a picture: how far each arm gets, and how the share of right answers goes spin by spin.

`python bench/flywheelbench/picture.py` draws `bench/results/flywheelbench.svg` from the rows beside it. Left, the share
of the gap closed: the mean over streams with its bootstrap interval, and each stream as a small mark. Right, live
accuracy, the mean over the seeds that all arms there have. On the left are only arms with at least `--least` seeds on
all four streams.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).parents[1]))

from flywheelbench.report import GAINS, Rows, endpoint, rows_of
from flywheelbench.run import ROWS

__all__ = ["draw", "main"]

COURSES = {
    "oracle": ("#9a9a9a", ":"),
    "flywheel": ("#0b6e4f", "-"),
    "margin": ("#c8553d", "--"),
    "random": ("#4c6fb1", "--"),
    "frozen": ("#9a9a9a", "-"),
}
"""Arm → colour and stroke of its course on the right."""
STREAM_MARKS = dict(zip(GAINS, "osD^", strict=True))


def draw(rows: Rows, seeds: Sequence[int], least: int = 10) -> Any:
    """The figure. Raises `ValueError` where no arm has `least` seeds on all streams."""
    arms = sorted({arm for _, _, arm, _ in rows if " without " not in arm} - {"frozen", "oracle"})
    ends = endpoint(rows, seeds, arms)
    drawn = [arm for arm in arms if len(ends[arm]["by_seed"]) >= least]
    if not drawn:
        raise ValueError(
            f"no arm was played with {least} seeds on all of {', '.join(GAINS)}; play more, or ask for fewer"
        )
    drawn.sort(key=lambda arm: float(ends[arm]["mean"][0]))
    figure = plt.figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    _gaps(left.subplots(), ends, drawn)
    panels = right.subplots(2, 2, sharex=True)
    for panel, stream in zip(panels.flat, GAINS, strict=True):
        _course(panel, rows, stream, seeds)
    right.supxlabel("spin", fontsize=9)
    handles, names = panels.flat[0].get_legend_handles_labels()
    right.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=9)
    return figure


def _gaps(axes: Any, ends: dict[str, Any], drawn: Sequence[str]) -> None:
    for place, arm in enumerate(drawn):
        middle, low, high = (100 * value for value in ends[arm]["mean"])
        colour = COURSES.get(arm, ("#555555", ""))[0]
        axes.plot([low, high], [place, place], color=colour, linewidth=3, solid_capstyle="butt", zorder=2)
        axes.plot(middle, place, "|", color=colour, markersize=14, markeredgewidth=2.5, zorder=3)
        axes.annotate(f"{middle:.1f}", (middle, place), (0, 8), textcoords="offset points", ha="center", fontsize=8)
        for stream, (gained, _, _) in ends[arm]["streams"].items():
            axes.plot(100 * gained, place, STREAM_MARKS[stream], color="#b8b8b8", markersize=4, zorder=1)
    for stream, mark in STREAM_MARKS.items():
        axes.plot([], [], mark, color="#b8b8b8", markersize=4, label=stream)
    axes.set_yticks(range(len(drawn)), [f"{arm} ({len(ends[arm]['by_seed'])})" for arm in drawn], fontsize=9)
    axes.set_xlim(0, 100)
    axes.set_ylim(-0.7, len(drawn) - 0.2)
    axes.set_xlabel("share of the gap closed, frozen 0, oracle 100 (seeds in brackets)", fontsize=9)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    _plain(axes)


def _course(axes: Any, rows: Rows, stream: str, seeds: Sequence[int]) -> None:
    played = [arm for arm in COURSES if any((stream, seed, arm, 100) in rows for seed in seeds)]
    common = [seed for seed in seeds if all((stream, seed, arm, 100) in rows for arm in played)]
    for arm in played:
        colour, stroke = COURSES[arm]
        line = 100 * np.mean([rows[stream, seed, arm, 100]["live"] for seed in common], axis=0)
        width = 2.0 if arm == "flywheel" else 1.3
        axes.plot(range(1, len(line) + 1), line, stroke, color=colour, linewidth=width, label=arm)
    axes.set_title(f"{stream}: right answers, %", fontsize=9, loc="left")
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x" if axes.get_xlabel() else "y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


def main() -> None:
    """Draw the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--seeds", default="5-24")
    parser.add_argument("--least", type=int, default=10)
    parser.add_argument("--out", type=Path, help="where to, `.svg` or `.png`; beside the rows if left out")
    options = parser.parse_args()
    seeds, rows = rows_of(options.rows, options.seeds)
    mpl.rcParams["svg.hashsalt"] = "flywheelbench"  # the same rows give the same file
    out = options.out or options.rows.with_suffix(".svg")
    draw(rows, seeds, options.least).savefig(out, dpi=130, metadata={"Date": None} if out.suffix == ".svg" else None)
    print(f"drew {out}")


if __name__ == "__main__":
    main()
