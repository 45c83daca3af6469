"""What fails and why: signs of failure, P(failure), failure modes with names, a first cause, their risk and their life.

The order of a spin: `signs` → `detect` → `failures` → `group` → `causes` → `lifecycle`; after the labels have come,
`calibrate` learns from them how much each sign is worth.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.diagnose.calibration import Calibration as Calibration
    from flywheel.diagnose.calibration import Judged as Judged
    from flywheel.diagnose.calibration import calibrate as calibrate
    from flywheel.diagnose.calibration import detect as detect
    from flywheel.diagnose.cause.remedy import follow as follow
    from flywheel.diagnose.evidence import signs as signs
    from flywheel.diagnose.failed import failures as failures
    from flywheel.diagnose.grouping import group as group
    from flywheel.diagnose.lives import lifecycle as lifecycle
    from flywheel.diagnose.why import causes as causes

_HOMES = {
    "Calibration": "calibration",
    "Judged": "calibration",
    "calibrate": "calibration",
    "causes": "why",
    "detect": "calibration",
    "failures": "failed",
    "follow": "cause.remedy",
    "group": "grouping",
    "lifecycle": "lives",
    "signs": "evidence",
}

__all__ = [*sorted(_HOMES)]  # noqa: PLE0604  (the names are literal strings one line above)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"flywheel.diagnose.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'flywheel.diagnose' has no attribute {name!r}. Names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
