"""What a spin changed in production: accuracy and uplift with honest intervals, and the receipt."""

from __future__ import annotations

from flywheel.measure.accuracy import accuracy
from flywheel.measure.mending import time_to_fix
from flywheel.measure.receipt import Judgement, receipt
from flywheel.measure.uplift import uplift

__all__ = ["Judgement", "accuracy", "receipt", "time_to_fix", "uplift"]
