"""Flywheel: the data flywheel for AI products.

Point it at your product's logs; every spin it shows what fails and why, asks for the few labels that matter, retrains,
proves on replay that the new model fixes more than it breaks, ships it, and measures what that changed::

    import flywheel

    fw = flywheel.open("support-bot", task="classification")
    fw.seed(inputs, labels)
    fw.log(input="where is my card", output="card_arrival", confidence=0.42)
    spin = fw.spin(budget=100)

The public names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flywheel.version import __version__

if TYPE_CHECKING:
    from flywheel.auditing import audit as audit
    from flywheel.capture.client import Connection as Connection
    from flywheel.capture.client import connect as connect
    from flywheel.errors import FlywheelError as FlywheelError
    from flywheel.errors import Permanent as Permanent
    from flywheel.errors import Retryable as Retryable
    from flywheel.ports import Predictions as Predictions
    from flywheel.records import Dataset as Dataset
    from flywheel.records import Example as Example
    from flywheel.records import Feedback as Feedback
    from flywheel.records import Interaction as Interaction
    from flywheel.records import Prediction as Prediction
    from flywheel.records import Spin as Spin
    from flywheel.records import Verdict as Verdict
    from flywheel.wheel import Flywheel as Flywheel
    from flywheel.wheel import open as open


_HOMES = {
    "Flywheel": "wheel",
    "open": "wheel",
    "audit": "auditing",
    "Connection": "capture.client",
    "connect": "capture.client",
    "FlywheelError": "errors",
    "Permanent": "errors",
    "Retryable": "errors",
    "Predictions": "ports",
    "Dataset": "records",
    "Example": "records",
    "Feedback": "records",
    "Interaction": "records",
    "Prediction": "records",
    "Spin": "records",
    "Verdict": "records",
}

__all__ = ["__version__", *sorted(_HOMES)]  # noqa: PLE0604  (the names are literal strings one line above)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"flywheel.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'flywheel' has no attribute {name!r}. Public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
