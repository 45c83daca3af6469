"""One drift report by a peer, for `bench/drift.py`: run by the peers' own Python, prints one line of JSON.

`drift_peers.py evidently|whylogs|nannyml reference.parquet window.parquet`. Time counts from reading the files
to knowing which columns are flagged; imports come before. Each is used as its guide shows it, with
its own choice of tests.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings

warnings.filterwarnings("ignore")
NOT_WATCHED = ["seq", "id", "rand"]


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def evidently(reference, window):
    from evidently import Report
    from evidently.presets import DataDriftPreset

    yield
    import pandas as pd

    old, new = (pd.read_parquet(path).drop(columns=[*NOT_WATCHED, "at"]) for path in (reference, window))
    result = Report([DataDriftPreset()]).run(new, old).dict()
    flags = []
    for metric in result["metrics"]:
        config = metric.get("config", {})
        if "ValueDrift" not in str(config.get("type", metric.get("metric_id", metric.get("metric_name", "")))):
            continue
        method, value, threshold = str(config["method"]), float(metric["value"]), float(config["threshold"])
        moved = value < threshold if "p_value" in method else value >= threshold
        if moved:
            flags.append(config["column"])
    yield flags


def whylogs(reference, window):
    import whylogs as why
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

    yield
    import pandas as pd

    views = []
    for path in (window, reference):
        frame = pd.read_parquet(path).drop(columns=[*NOT_WATCHED, "at"])
        views.append(why.log(frame).profile().view())
    scores = calculate_drift_scores(target_view=views[0], reference_view=views[1], with_thresholds=True)
    yield [name for name, score in scores.items() if score and score["drift_category"] == "DRIFT"]


def nannyml(reference, window):
    import nannyml as nml

    yield
    import pandas as pd

    old, new = (pd.read_parquet(path).drop(columns=NOT_WATCHED) for path in (reference, window))
    watched = [name for name in old.columns if name != "at"]
    calculator = nml.UnivariateDriftCalculator(
        column_names=watched,
        treat_as_categorical=[name for name in watched if old[name].dtype == object],
        timestamp_column_name="at",
        chunk_number=10,
    )
    found = calculator.fit(old).calculate(new).filter(period="analysis").to_df()
    flags = []
    for name in watched:
        alerts = [column for column in found.columns if column[0] == name and column[-1] == "alert"]
        if alerts and max(found[column].mean() for column in alerts) > 0.5:
            flags.append(name)
    yield flags


def main():
    name, reference, window = sys.argv[1:4]
    steps = {"evidently": evidently, "whylogs": whylogs, "nannyml": nannyml}[name](reference, window)
    next(steps)
    began, busy, before = time.perf_counter(), time.process_time(), peak()
    flags = next(steps)
    seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    print(
        json.dumps(
            {"seconds": seconds, "cpu_seconds": cpu, "imports_mb": before, "peak_mb": peak(), "flags": sorted(flags)}
        )
    )


if __name__ == "__main__":
    main()
