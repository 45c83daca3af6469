"""Two streams of tables that are controls: on one little can be gained, on the other retraining can harm.

*acs*: is a person employed, by sixteen answers to the American Community Survey (Massachusetts). The seed is a random
thousand of 2015; then come 2016, 2017 and 2018, each shuffled within the year by the seed, four spins of 1,000 a year.
The truth of a spin is known when the next one ends (30 days late). The sealed test is 5,000 people of those three
years who are never in traffic; the population of a spin is its year. Users who were born abroad are the quiet group.

*bank*: does a client take the offer of a bank's campaign, May 2008 to November 2010, without the length of the call
(which is known only afterwards). The file lies in order of time, and the share of takers by fifths of it is .03, .05,
.06, .11, .31. The seed is a random thousand of the first `BANK_START` rows; the rest is cut into twelve periods of
equal length, each a spin: every sixth row of a period is sealed, and 1,000 of the others, drawn by the seed, are its
traffic in order of time. The population of a spin is the sealed rows of its period. Clients under thirty are the quiet
group.

With `null`, nothing changes: *acs* takes all of its rows from 2015, and *bank* shuffles the whole file first.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from flywheelbench.streams.luck import draw_luck
from flywheelbench.streams.reading import data_bytes
from flywheelbench.world import Request, Sealed, World

__all__ = ["BANK_EVERY", "BANK_START", "FEATURES", "make_acs", "make_bank"]

Array = np.ndarray[Any, Any]
Row = dict[str, Any]

SPINS, REQUESTS, START, ACS_SEALED = 12, 1000, 1000, 5000
FEATURES = (
    "AGEP", "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE", "DREM",
    "SEX", "RAC1P",
)  # fmt: skip
"""What the survey asked; the file's own prediction is left out."""
BANK_START = 3000
"""The seed of *bank* is drawn from so many first rows."""
BANK_EVERY = 6
"""Every so many rows of *bank* one is sealed."""
_DAY = timedelta(days=1)
_SPIN_DAYS = 30


def make_acs(seed: int, null: bool = False) -> World:
    """Draw the stream of the survey, with late truth. With `null` all rows are of 2015."""
    rng = np.random.default_rng([seed, 6, int(null)])
    reference, analysis = _acs()
    mixed = {name: rows[rng.permutation(len(rows))] for name, rows in {"2015": reference, **analysis}.items()}
    name = "acs-null" if null else "acs"
    start, rest = mixed["2015"][:START], mixed["2015"][START:]
    if null:
        sealed, left = rest[:ACS_SEALED], rest[ACS_SEALED:]
        weights = [np.full(ACS_SEALED, 1 / ACS_SEALED)] * SPINS
        parts = [left[s * REQUESTS : (s + 1) * REQUESTS] for s in range(SPINS)]
    else:
        years = sorted(analysis)
        counts = [len(part) for part in np.array_split(np.arange(ACS_SEALED), len(years))]
        sealed = np.concatenate([mixed[year][:count] for year, count in zip(years, counts, strict=True)])
        owner = np.repeat(np.arange(len(years)), counts)
        each = SPINS // len(years)
        weights = [np.where(owner == s // each, 1 / counts[s // each], 0.0) for s in range(SPINS)]
        parts = []
        for year, count in zip(years, counts, strict=True):
            left = mixed[year][count:]
            parts.extend(left[k * REQUESTS : (k + 1) * REQUESTS] for k in range(each))
    spins = []
    for spin, part in enumerate(parts):
        begin = datetime(2016, 1, 4, tzinfo=UTC) + spin * _SPIN_DAYS * _DAY
        spins.append(
            _requests(rng, f"{name}-{seed}-{spin}", begin, [_acs_row(r) for r in part], _acs_context, _acs_group)
        )
    cases = [_acs_row(r) for r in sealed]
    return World(
        name=name,
        seed=seed,
        kind="tabular",
        seed_inputs=[_acs_row(r)[0] for r in start],
        seed_labels=[_acs_row(r)[1] for r in start],
        spins=spins,
        sealed=[Sealed(row, truth, _acs_slices(row)) for row, truth in cases],
        weights=weights,
        labels=["no", "yes"],
        protected=("sex",),
        late=True,
        gains=False,
    )


def make_bank(seed: int, null: bool = False) -> World:
    """Draw the stream of the campaign, in order of time. With `null` the whole file is shuffled first."""
    rng = np.random.default_rng([seed, 7, int(null)])
    names, table = _bank()
    rows = [(dict(zip(names, values[:-1], strict=True)), str(values[-1])) for values in table]
    if null:
        rows = [rows[i] for i in rng.permutation(len(rows))]
    name = "bank-null" if null else "bank"
    start = np.sort(rng.choice(BANK_START, START, replace=False))
    spins: list[list[Request]] = []
    sealed: list[int] = []
    owner: list[int] = []
    for spin, part in enumerate(np.array_split(np.arange(BANK_START, len(rows)), SPINS)):
        kept = part % BANK_EVERY == 0
        sealed.extend(int(i) for i in part[kept])
        owner.extend([spin] * int(kept.sum()))
        chosen = np.sort(rng.choice(part[~kept], REQUESTS, replace=False))
        begin = datetime(2008, 6, 2, tzinfo=UTC) + spin * _SPIN_DAYS * _DAY
        cases = [rows[i] for i in chosen]
        spins.append(_requests(rng, f"{name}-{seed}-{spin}", begin, cases, _bank_context, _bank_group))
    owners = np.array(owner)
    if null:
        weights = [np.full(len(sealed), 1 / len(sealed))] * SPINS
    else:
        weights = [(owners == s) / (owners == s).sum() for s in range(SPINS)]
    return World(
        name=name,
        seed=seed,
        kind="tabular",
        seed_inputs=[rows[i][0] for i in start],
        seed_labels=[rows[i][1] for i in start],
        spins=spins,
        sealed=[Sealed(*rows[i], _bank_slices(rows[i][0])) for i in sealed],
        weights=weights,
        labels=["no", "yes"],
        gains=False,
    )


def _requests(
    rng: np.random.Generator, prefix: str, begin: datetime, cases: Sequence[tuple[Row, str]], context: Any, group: Any
) -> list[Request]:
    n = len(cases)
    seconds = np.sort(rng.integers(0, _SPIN_DAYS * 86_400, n))
    luck = draw_luck(rng, n)
    channel = rng.choice(["web", "phone", "branch"], n, p=[0.5, 0.3, 0.2])
    out = []
    for i, (row, truth) in enumerate(cases):
        at = begin + timedelta(seconds=int(seconds[i]))
        own = {**context(row), "channel": str(channel[i]), "hour": at.hour}
        out.append(Request(f"{prefix}-{i}", row, truth, f"{prefix}-u{i}", group(row), own, at, luck[i]))
    return out


@lru_cache(maxsize=1)
def _acs() -> tuple[Array, dict[str, Array]]:
    """Rows of 2015, and of each later year: features, then whether the person is employed."""

    def rows(frame: pd.DataFrame) -> Array:
        return frame[[*FEATURES, "employed"]].astype(object).to_numpy()

    folder = "acs_employment_predictions"
    reference = pd.read_parquet(io.BytesIO(data_bytes(folder, "employment_MA_reference.pq")))
    analysis = pd.read_parquet(io.BytesIO(data_bytes(folder, "employment_MA_analysis.pq")))
    target = pd.read_parquet(io.BytesIO(data_bytes(folder, "employment_MA_analysis_target.pq")))
    joined = analysis.merge(target, on="id", validate="one_to_one")
    return rows(reference), {str(year): rows(part) for year, part in joined.groupby("year")}


def _acs_row(values: Array) -> tuple[Row, str]:
    row: Row = {
        name: float(value) if name == "AGEP" else str(value)
        for name, value in zip(FEATURES, values[:-1], strict=True)
        if not pd.isna(value)
    }
    return row, "yes" if values[-1] else "no"


def _acs_context(row: Row) -> dict[str, Any]:
    return {"sex": {"1": "male", "2": "female"}.get(row["SEX"], "unknown"), "age_band": _band(row["AGEP"])}


def _acs_group(row: Row) -> str:
    return "quiet" if row.get("NATIVITY") == "2" else "usual"


def _acs_slices(row: Row) -> tuple[str, ...]:
    return f"SEX={row['SEX']}", f"group={_acs_group(row)}", f"AGEP={_band(row['AGEP'])}"


def _band(age: float) -> str:
    """The band of an age.

    >>> [_band(age) for age in (3, 18, 40, 80)]
    ['0-17', '18-29', '30-49', '65+']
    """
    for edge, band in ((18, "0-17"), (30, "18-29"), (50, "30-49"), (65, "50-64")):
        if age < edge:
            return band
    return "65+"


@lru_cache(maxsize=1)
def _bank() -> tuple[tuple[str, ...], list[list[Any]]]:
    """Names of the features, and rows in the file's order: the features, then the truth."""
    file = io.BytesIO(data_bytes("bank_marketing", "bank-additional-full.csv"))
    frame = pd.read_csv(file, sep=";").drop(columns="duration")
    columns = [frame[name].tolist() for name in frame.columns]  # lists of plain Python values
    return tuple(frame.columns[:-1]), [list(values) for values in zip(*columns, strict=True)]


def _bank_context(row: Row) -> dict[str, Any]:
    return {"age_band": _band(row["age"]), "job": row["job"], "contact": row["contact"]}


def _bank_group(row: Row) -> str:
    return "quiet" if row["age"] < 30 else "usual"


def _bank_slices(row: Row) -> tuple[str, ...]:
    return f"contact={row['contact']}", f"group={_bank_group(row)}", f"age={_band(row['age'])}"
