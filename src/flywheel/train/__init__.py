"""Trainers: who learns from a dataset, and how the result is kept without pickle.

`text`, `tabular` and `vector` are the built-in trainers, found by name through `flywheel.plugins`; `choose_trainer`
names the one that fits the inputs. `save_adopted` and `load_adopted` keep a scikit-learn model that a team brings
along.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.train.adopted import AdoptedModel as AdoptedModel
    from flywheel.train.adopted import load_adopted as load_adopted
    from flywheel.train.adopted import save_adopted as save_adopted
    from flywheel.train.choose import choose_trainer as choose_trainer

__all__ = ["AdoptedModel", "choose_trainer", "load_adopted", "save_adopted"]

_HOMES = {
    "AdoptedModel": "adopted",
    "choose_trainer": "choose",
    "load_adopted": "adopted",
    "save_adopted": "adopted",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"flywheel.train.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'flywheel.train' has no attribute {name!r}. Public names: {', '.join(__all__)}")
