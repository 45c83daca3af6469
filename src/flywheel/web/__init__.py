"""The dashboard: pages in the browser on the server that takes the facts. A door: it shows what `Flywheel` returns."""

from flywheel.web.mounting import mount

__all__ = ["mount"]
