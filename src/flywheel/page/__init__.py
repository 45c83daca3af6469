"""Pages that stand alone: one HTML file, no scripts, no outside assets, whatever was logged shown as text."""

from __future__ import annotations

from flywheel.page.document import document, place_for, save
from flywheel.page.figures import figure
from flywheel.page.markup import Html, h, join, prose

__all__ = ["Html", "document", "figure", "h", "join", "place_for", "prose", "save"]
