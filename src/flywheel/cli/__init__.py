"""The command line: parses, calls the wheel, shows the answer. It holds no logic of its own."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the `flywheel` command."""
    from flywheel.cli.app import run

    run()
