"""What is in production: versions, who is champion, the way back, and answering with it."""

from __future__ import annotations

from flywheel.release.predictor import Predictor
from flywheel.release.registry import FolderRegistry, MlflowRegistry
from flywheel.release.releases import Releases

__all__ = ["FolderRegistry", "MlflowRegistry", "Predictor", "Releases"]
