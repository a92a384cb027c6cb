"""What one hospital brings to a study, and the two sides that it is split into.

This module does NOT standardise or impute: that takes sums over all hospitals (`moments`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concura.errors import StudyRefused
from concura.learning.study import Study, sides

__all__ = ["Array", "Cohort", "Split", "split"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cohort:
    """The consenting patients of one hospital.

    Args:
        x: float64[n, d], one row of phi(x) per patient; NaN where a value is missing.
        y: bool[n], whether the outcome happened.
        records: the hospital's own record numbers, n of them, all different.

    Raises:
        StudyRefused: shapes do not fit, a value is infinite, or a record number comes twice.
    """

    x: Array
    y: NDArray[np.bool_]
    records: tuple[str, ...]

    def __post_init__(self) -> None:
        fits = self.x.ndim == 2 and self.x.shape[0] == len(self.records)
        if not fits or self.y.shape != (len(self.records),) or self.y.dtype != np.bool_:
            raise StudyRefused("cohort")
        if np.isinf(self.x).any() or len(set(self.records)) != len(self.records):
            raise StudyRefused("cohort")


@dataclass(frozen=True, slots=True)
class Split:
    """A cohort in its two sides: train_x float64[n, d], train_y bool[n], fold int64[n], held_*."""

    train_x: Array
    train_y: NDArray[np.bool_]
    fold: NDArray[np.int64]
    held_x: Array
    held_y: NDArray[np.bool_]


def split(study: Study, cohort: Cohort) -> Split:
    """Split a cohort into training and held-out patients (PROTOCOLS §8).

    Raises:
        StudyRefused: the cohort has another number of features than the study.
    """
    if cohort.x.shape[1] != len(study.features):
        raise StudyRefused("features", found=cohort.x.shape[1], expected=len(study.features))
    held, fold = sides(study, cohort.records)
    held, fold = held.reshape(-1), fold.reshape(-1)
    return Split(
        train_x=cohort.x[~held],
        train_y=cohort.y[~held],
        fold=fold[~held],
        held_x=cohort.x[held],
        held_y=cohort.y[held],
    )
