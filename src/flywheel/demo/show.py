"""What a person sees of the demo: each spin as it happens, and at the end the three lanes, drawn and explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from flywheel.demo import LABELS_A_SPIN, Moment
from flywheel.demo.post_office import PostOffice

__all__ = ["Screen", "line_chart", "save_chart"]

LANES = ("frozen", "random", "flywheel")
NAMES = {"frozen": "frozen", "random": "random labels", "flywheel": "flywheel"}
COLOURS = {"frozen": "#999999", "random": "#E69F00", "flywheel": "#0072B2"}  # Okabe and Ito: safe for the colour-blind
MARKS = {"frozen": "·", "random": "○", "flywheel": "●"}


class Screen:
    """Prints the demo to a terminal."""

    def __init__(self, folder: Path, spins: int, console: Console | None = None) -> None:
        self.folder = folder
        self.spins = spins
        self.console = console or Console(highlight=False)
        self.lanes: dict[str, list[float]] = {lane: [] for lane in LANES}

    def show(self, event: PostOffice | Moment) -> None:
        """Show the beginning, or one spin."""
        if isinstance(event, PostOffice):
            self._opening(event)
        else:
            self._spin(event)

    def _opening(self, office: PostOffice) -> None:
        late = " and ".join(str(digit) for digit in office.late)
        self.console.print(
            Panel(
                Text(
                    f"A post office reads handwritten digits with a model trained on {len(office.seed_labels)} labels. "
                    f"It has never seen a {late}. Later a second scanner arrives: blurred, shifted, noisy.\n"
                    "Three lanes read the same letters with the same learner; two of them get the same "
                    f"{LABELS_A_SPIN} labels a day. "
                    f"Accuracy is on {len(office.sealed_labels)} sealed digits that none of them touches.",
                ),
                title="flywheel demo",
                border_style=COLOURS["flywheel"],
            )
        )

    def _spin(self, moment: Moment) -> None:
        spin, verdict = moment.spin, moment.spin.verdict
        for lane in LANES:
            self.lanes[lane].append(moment.accuracy[lane])
        head = Text()
        head.append(f"\nDay {len(self.lanes['frozen'])} of {moment.total}  ", style="bold")
        head.append(f"{moment.reads} letters read, {moment.complaints} complaints, {spin.labels} labels asked", "dim")
        self.console.print(head)
        for mode in [m for m in moment.modes if m.state != "fixed" and m.last_spin == spin.number][:3]:
            risk = f"risk {mode.risk.number:>3}" if mode.risk else ""
            self.console.print(Text(f"  fails  {mode.name}  ({mode.share:.1%} of letters, {mode.cause.kind}, {risk})"))
        fixed = [m for m in moment.modes if verdict and m.id in verdict.modes_fixed]
        if verdict:
            style = {"promote": "bold green", "reject": "bold red"}.get(verdict.decision, "bold yellow")
            line = Text("  gate   ")
            line.append(verdict.decision, style)
            line.append(f"  fixed {verdict.fixed} of {verdict.failures} known failures, ")
            line.append(f"broke {verdict.broke} of {verdict.kept}")
            self.console.print(line)
            for check in verdict.checks:
                mark, colour = {"pass": ("✓", "green"), "fail": ("✗", "red")}.get(check.outcome, ("?", "yellow"))
                self.console.print(Text(f"         {mark} ", colour).append(f"{check.name}: {check.line}", "dim"))
        for mode in fixed[:3]:
            self.console.print(Text(f"  fixed  {mode.name}", "green"))
        bars = Text("  sealed ")
        for lane in LANES:
            bars.append(f"{NAMES[lane]} ", "dim").append(f"{moment.accuracy[lane]:.1%}  ", f"bold {COLOURS[lane]}")
        self.console.print(bars)

    def end(self, result: dict[str, Any]) -> None:
        """Show the three lanes, the receipt, where the files are and what to type next."""
        chart = line_chart(self.lanes)
        table = Table.grid(padding=(0, 3))
        for lane in LANES:
            labels = {"frozen": 0, **result["labels"]}[lane]
            table.add_row(
                Text(f"{MARKS[lane]} {NAMES[lane]}", COLOURS[lane]),
                f"{result['accuracy'][lane]:.1%} of sealed digits right",
                Text(f"{labels} labels asked for", "dim"),
            )
        self.console.print()
        self.console.print(Panel(Group(chart, Text(), table), title="accuracy on sealed digits, day by day"))
        uplift, cost = result["uplift"], f"{result['labels']['flywheel']} labels and {result['seconds']:.0f} seconds"
        low, high = (f"{uplift[end] * 1000:+.0f}" for end in ("low", "high"))
        self.console.print(
            Text(
                f"Receipt: {uplift['estimate'] * 1000:+.0f} right reads per 1,000 letters against the first model on "
                f"the last three days' traffic (95 % interval {low} to {high}), from the labels alone, for {cost}."
            )
        )
        picture = save_chart(self.lanes, self.folder / "demo.png")
        if picture:
            self.console.print(Text(f"Picture: {picture}", "dim"))
        self.console.print(
            Text("Next: ")
            .append(f"flywheel status --folder {self.folder}", "bold")
            .append("   what fails and what waits")
        )


def line_chart(lanes: Mapping[str, Sequence[float]], height: int = 12, step: int = 9) -> Text:
    """Draw the lanes over the days as text, `height` lines high.

    >>> print(line_chart({"frozen": [0.5, 0.5], "random": [0.6, 0.7], "flywheel": [0.6, 0.9]}, height=3).plain)
     90% ┤         ●
     70% ┤         ○
     50% ┤●        ·
         └──────────
          1        2
    """
    values = [value for lane in lanes.values() for value in lane]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    days = max(len(lane) for lane in lanes.values())
    width = (days - 1) * step + 1
    grid: list[list[tuple[str, str]]] = [[(" ", "")] * width for _ in range(height)]
    for name in LANES:
        for day, value in enumerate(lanes.get(name, [])):
            row = round((high - value) / span * (height - 1))
            if grid[row][day * step][0] != "●":
                grid[row][day * step] = (MARKS[name], COLOURS[name])
            if name == "flywheel":
                grid[row][day * step] = (MARKS[name], COLOURS[name])
    text = Text()
    for row, line in enumerate(grid):
        text.append(f"{high - span * row / (height - 1):>4.0%} ┤", "dim")
        for mark, colour in line:
            text.append(mark, colour or "")
        text.rstrip()
        text.append("\n")
    text.append("     └" + "─" * width + "\n", "dim")
    text.append("      " + "".join(f"{day + 1:<{step}}" for day in range(days)).rstrip(), "dim")
    return text


def save_chart(lanes: Mapping[str, Sequence[float]], path: Path) -> Path | None:
    """Draw the same as a PNG; None when matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return None
    figure = Figure(figsize=(8, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name in LANES:
        days = range(1, len(lanes[name]) + 1)
        axes.plot(days, [100 * value for value in lanes[name]], color=COLOURS[name], marker="o", linewidth=2.2)
        axes.annotate(
            f"{NAMES[name]} {lanes[name][-1]:.1%}",
            (len(lanes[name]), 100 * lanes[name][-1]),
            xytext=(8, 0),
            textcoords="offset points",
            color=COLOURS[name],
            va="center",
            fontweight="bold",
        )
    axes.set_xlabel("day (one spin, 40 labels)")
    axes.set_ylabel("sealed digits right, %")
    axes.set_title("Same letters, same learner, same labels: what each lane made of them", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_xlim(1, len(lanes["frozen"]) + 1.6)
    axes.set_xticks(range(1, len(lanes["frozen"]) + 1))
    figure.savefig(path)
    return path
