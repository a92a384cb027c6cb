"""Federated, pooled and local models over twenty splits of the two data sets, in process.

    python benchmarks/learning_seeds.py [HEART_FOLDER]

Prints a table: AUC on held-out patients, mean over seeds 0-19 with the settings of the preset
`default`, which were fixed on training patients of other seeds. HEART_FOLDER holds the four
`processed.*.data` files of the UCI heart-disease set; without it only the shipped table is run.
"""

import csv
import sys
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from concura.learning import Cohort, Comparison, Model, Study, compare, make_study, run

WHAS = "age gender hr sysbp diasbp bmi cvd afb sho chf av3 miord mitype".split()
HEART = "age sex cp=1 cp=2 cp=4 trestbps chol fbs restecg=1 restecg=2 thalach exang oldpeak".split()
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")


@dataclass(frozen=True, slots=True)
class Row:
    """One seed: the study, the model, what it is compared with, and the seconds of the study."""

    study: Study
    model: Model
    comparison: Comparison
    seconds: float


def whas_cohorts() -> dict[str, Cohort]:
    """Read the shipped table: dead within one year of the heart attack."""
    text = (resources.files("concura.data.tables") / "whas500.csv").read_text("utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    cohorts = {}
    for hospital in sorted({row["hospital"] for row in rows}):
        own = [row for row in rows if row["hospital"] == hospital]
        x = np.array([[_number(row[name]) for name in WHAS] for row in own])
        y = np.array([float(r["lenfol"]) <= 365 and r["fstat"] == "1" for r in own])
        cohorts[hospital] = Cohort(x, y, tuple(row["record"] for row in own))
    return cohorts


def heart_cohorts(folder: Path) -> dict[str, Cohort]:
    """Read the UCI files: heart disease at angiography; 0 is no pressure and no cholesterol."""
    cohorts = {}
    for hospital in HOSPITALS:
        lines = (folder / f"processed.{hospital}.data").read_text("ascii").split()
        raw = np.array([[_number(value) for value in line.split(",")] for line in lines])
        for column in (3, 4):
            raw[raw[:, column] == 0, column] = np.nan
        chest = [_is(raw[:, 2], level) for level in (1, 2, 4)]
        ecg = [_is(raw[:, 6], level) for level in (1, 2)]
        plain = [raw[:, j] for j in (0, 1, 3, 4, 5, 7, 8, 9)]
        x = np.stack([*plain[:2], *chest, *plain[2:5], *ecg, *plain[5:]], axis=1)
        records = tuple(str(i + 1) for i in range(len(raw)))
        cohorts[hospital] = Cohort(x, raw[:, 13] > 0, records)
    return cohorts


def study_of(features: list[str], seed: int, preset: str = "default", **settings: object) -> Study:
    """Make the study of one seed."""
    return make_study(
        preset,
        study_id="00" * 16,
        seed=seed,
        features=tuple(features),
        features_digest="00" * 32,
        outcome="outcome",
        horizon_days=365,
        **settings,
    )


def over_seeds(features: list[str], cohorts: dict[str, Cohort], count: int = 20) -> list[Row]:
    """Run the study for seeds 0, 1, ... and compare."""
    rows = []
    for seed in range(count):
        study, start = study_of(features, seed), time.perf_counter()
        model = run(study, cohorts)
        seconds = time.perf_counter() - start
        rows.append(Row(study, model, compare(study, cohorts, model), seconds))
    return rows


def local_mean(comparison: Comparison) -> float:
    """Mean AUC of the hospitals' own models on the held-out patients of all hospitals."""
    areas = [judged.auc for judged in comparison.local.values() if judged is not None]
    return float(np.mean(areas))


def _number(text: str) -> float:
    return np.nan if text.strip() in {"", "?"} else float(text)


def _is(column: np.ndarray, level: float) -> np.ndarray:
    return np.where(np.isnan(column), np.nan, (column == level) * 1.0)


def _line(name: str, rows: list[Row]) -> str:
    federated = np.array([row.comparison.federated.auc for row in rows])
    pooled = np.array([row.comparison.pooled.auc for row in rows])
    local = np.mean([local_mean(row.comparison) for row in rows])
    gap, seconds = pooled - federated, np.median([row.seconds for row in rows])
    return (
        f"{name:<8} {federated.mean():.4f}     {pooled.mean():.4f}  {local:.4f}  "
        f"{gap.mean():+.4f}     {gap.max():+.4f}    {seconds:.3f}"
    )


def main() -> None:
    """Print the table."""
    print("data     federated  pooled  local   mean gap  worst gap  s/study")
    print(_line("whas500", over_seeds(WHAS, whas_cohorts())))
    if len(sys.argv) > 1:
        print(_line("heart", over_seeds(HEART, heart_cohorts(Path(sys.argv[1])))))


if __name__ == "__main__":
    main()
