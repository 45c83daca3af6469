"""Accuracy without labels by NannyML's CBPE, for `bench/alarms.py`: runs in the peers' environment.

Reads parquet files of columns y_pred, y_pred_proba, y_true (reference) and y_pred, y_pred_proba (analysis) named on the
command line, and prints JSON: a list of estimates by chunk. `python alarms_nannyml.py reference.pq analysis.pq 5000`
"""

from __future__ import annotations

import json
import sys
import warnings

import nannyml
import pandas as pd


def main() -> None:
    warnings.simplefilter("ignore")
    before, now, size = pd.read_parquet(sys.argv[1]), pd.read_parquet(sys.argv[2]), int(sys.argv[3])
    estimator = nannyml.CBPE(
        metrics=["accuracy"],
        y_pred_proba="y_pred_proba",
        y_pred="y_pred",
        y_true="y_true",
        problem_type="classification_binary",
        chunk_size=size,
    )
    found = estimator.fit(before).estimate(now).to_df()
    found = found[found[("chunk", "period")] == "analysis"]
    sys.stdout.write(
        json.dumps(
            {
                "version": nannyml.__version__,
                "start": [int(v) for v in found[("chunk", "start_index")]],
                "end": [int(v) for v in found[("chunk", "end_index")]],
                "accuracy": [float(v) for v in found[("accuracy", "value")]],
                "alarm": [bool(v) for v in found[("accuracy", "alert")]],
            }
        )
    )


if __name__ == "__main__":
    main()
