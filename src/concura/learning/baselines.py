"""What the federated model is compared with: pooled data, and each hospital alone.

The same recipe with the same choice of rates on training patients, run on one cohort: on all
patients together (which the hospitals never do: for comparison only) and on each hospital's own.
All models are judged by exact metrics on the same held-out patients of all hospitals.

This module does NOT belong to the protocol; it needs all cohorts in one memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from concura.errors import StudyAborted
from concura.learning.cohort import Cohort, Split, split
from concura.learning.engine import drive
from concura.learning.metrics import (
    auc,
    brier,
    calibration,
    calibration_bins,
    logit,
    roc,
    within_auc,
)
from concura.learning.model import Model, predict
from concura.learning.participant import recipe
from concura.learning.study import SMALL_CELL, Study
from concura.types import MemberId

__all__ = ["Comparison", "Judged", "alone", "compare", "judge", "pooled"]


@dataclass(frozen=True, slots=True)
class Judged:
    """Exact metrics of one model on the held-out patients of all hospitals.

    Args:
        auc: over all held-out patients.
        within: over pairs of patients of the same hospital.
        brier: Brier score.
        slope: calibration slope.
        roc: corners of the ROC curve, (false positive rate, true positive rate).
        calibration: (mean probability, share of events, patients) in groups of equal size.
    """

    auc: float | None
    within: float | None
    brier: float | None
    slope: float | None
    roc: tuple[tuple[float, float], ...]
    calibration: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The federated model beside the pooled one and each hospital's own; None where none came."""

    federated: Judged
    pooled: Judged | None
    local: Mapping[MemberId, Judged | None]


def pooled(study: Study, cohorts: Mapping[MemberId, Cohort]) -> Model | None:
    """Train on all patients together; None where they are too few.

    Every patient stays on the side and in the fold that the federated study gives it.
    """
    return _train(study, _together([split(study, cohort) for cohort in cohorts.values()]))


def alone(study: Study, cohort: Cohort) -> Model | None:
    """Train on one hospital's patients alone; None where they are too few."""
    return _train(study, split(study, cohort))


def judge(model: Model, cohorts: Mapping[MemberId, Cohort]) -> Judged:
    """Judge a model on the held-out patients of all hospitals, by the model's own study's split."""
    held = [split(model.study, cohort) for cohort in cohorts.values()]
    groups = [(s.held_y, predict(model, s.held_x)) for s in held]
    y, p = np.concatenate([y for y, _ in groups]), np.concatenate([p for _, p in groups])
    if min(y.sum(), (~y).sum()) < SMALL_CELL:
        return Judged(None, None, None, None, (), ())
    fit = calibration(y, logit(p))
    return Judged(
        auc=auc(y, p),
        within=within_auc(groups),
        brier=brier(y, p),
        slope=fit[0] if fit else None,
        roc=tuple(roc(y, p)),
        calibration=tuple(calibration_bins(y, p)),
    )


def compare(study: Study, cohorts: Mapping[MemberId, Cohort], model: Model) -> Comparison:
    """Judge the federated model beside the pooled one and each hospital's own.

    Args:
        study: the study that the model came from.
        cohorts: all hospitals' patients.
        model: the federated model.
    """
    whole = pooled(study, cohorts)
    own = {member: alone(study, cohort) for member, cohort in cohorts.items()}
    return Comparison(
        federated=judge(model, cohorts),
        pooled=judge(whole, cohorts) if whole else None,
        local={member: judge(m, cohorts) if m else None for member, m in own.items()},
    )


def _train(study: Study, data: Split) -> Model | None:
    try:
        return drive(study, {MemberId("one"): recipe(study, data, least=1)})
    except StudyAborted:
        return None


def _together(splits: list[Split]) -> Split:
    return Split(
        train_x=np.concatenate([s.train_x for s in splits]),
        train_y=np.concatenate([s.train_y for s in splits]),
        fold=np.concatenate([s.fold for s in splits]),
        held_x=np.concatenate([s.held_x for s in splits]),
        held_y=np.concatenate([s.held_y for s in splits]),
    )
