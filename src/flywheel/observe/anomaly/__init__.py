"""Anomalies in the stream of one metric: a streaming detector, and what it finds in plain words."""

from __future__ import annotations

from flywheel.observe.anomaly.detector import AnomalyDetector
from flywheel.observe.anomaly.findings import anomalies

__all__ = ["AnomalyDetector", "anomalies"]
