"""A product with a recorder in it: `python storm_writer.py JSON` logs as told and prints the recorder's `stats()`."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

import flywheel

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def main(told: dict) -> None:
    """Log each of `records` numbers `times` times, `pause` seconds apart, then wait up to `patience` s for delivery."""
    connection = flywheel.connect(told["url"], **told["options"])
    for number in range(told["records"]):
        key = f"{told['name']}-{number}"
        for _ in range(told["times"]):
            connection.log(id=key, at=AT, input=f"question {key}" + " word" * told["words"], output="answer")
            connection.feedback(key, id=f"f-{key}", at=AT, rating=-1)
        time.sleep(told["pause"])
    print("logged", flush=True)
    connection.flush(told["patience"])
    connection.close()
    print(json.dumps(connection.stats()), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
