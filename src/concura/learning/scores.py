"""Histograms of scores by outcome, and what is read off their sums: AUC, threshold, calibration.

A hospital's histogram travels masked; only the sum over hospitals is seen. The bins lie on the
logit, scaled by the model itself (|u| <= sum |theta_j| for standardised inputs within one standard
deviation), so that a model that has hardly moved is resolved as finely as one that has.

This module does NOT see single patients of others, and does NOT state a metric on small cells.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concura.learning.cohort import Array
from concura.learning.metrics import Metric, auc_interval, calibration, wilson
from concura.learning.study import SMALL_CELL

__all__ = [
    "BINS",
    "Scale",
    "auc_from_histogram",
    "count_scores",
    "operating_point",
    "pick_threshold",
    "summary",
]

BINS = 3_000  # ties within a bin then move an AUC by less than 0.002
_REACH = 3.0  # in units of sum |theta_j|; scores beyond stand in the end bins


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the bins of the logit lie: from `start`, each `width` wide."""

    start: float
    width: float

    @classmethod
    def of(cls, theta: Array) -> "Scale":
        """Fit the bins to one model, theta float64[d + 1]."""
        reach = _REACH * max(float(np.abs(theta[1:]).sum()), 1e-9)
        return cls(start=float(theta[0]) - reach, width=2 * reach / BINS)

    def edge(self, number: int) -> float:
        """Lower edge of a bin."""
        return self.start + number * self.width

    def middles(self) -> Array:
        """Middle of every bin, float64[BINS]."""
        result: Array = self.start + (np.arange(BINS, dtype=np.float64) + 0.5) * self.width
        return result


def count_scores(logits: Array, y: NDArray[np.bool_], scale: Scale) -> Array:
    """Count scores: float64[2, BINS]; row 0 non-events, row 1 events."""
    place = np.floor((logits - scale.start) / scale.width).clip(0, BINS - 1).astype(np.int64)
    counts = np.zeros((2, BINS))
    for row, side in enumerate((~y, y)):
        counts[row] = np.bincount(place[side], minlength=BINS)
    return counts


def auc_from_histogram(counts: Array) -> float | None:
    """AUC of float64[2, bins] counts by outcome; scores in one bin count as ties."""
    others, events = counts
    pairs = float(others.sum()) * float(events.sum())
    below = np.cumsum(others) - others
    return float((events * (below + others / 2)).sum()) / pairs if pairs else None


def pick_threshold(counts: Array, sensitivity: float) -> int:
    """Return the highest bin whose lower edge still catches the wanted share of events."""
    events = counts[1]
    caught = events.sum() - np.cumsum(events) + events
    good = np.flatnonzero(caught >= sensitivity * events.sum() - 1e-9)
    return int(good[-1]) if len(good) else 0


def operating_point(counts: Array, number: int) -> dict[str, Metric]:
    """Sensitivity, specificity and PPV, with intervals, when bins from `number` on are high."""
    low, high = counts[:, :number].sum(axis=1), counts[:, number:].sum(axis=1)
    cells = {
        "sensitivity": (high[1], high[1] + low[1]),
        "specificity": (low[0], high[0] + low[0]),
        "ppv": (high[1], high[1] + high[0]),
    }
    return {name: _share(int(k), int(n)) for name, (k, n) in cells.items()}


def summary(
    counts: Array, scale: Scale, *, number: int, brier_sum: float, loss_sum: float
) -> dict[str, Metric]:
    """State all held-out metrics, or none of them where cells are small (PROTOCOLS §8).

    Args:
        counts: float64[2, BINS], sums over all hospitals.
        scale: where the bins lie.
        number: the first bin that is called high.
        brier_sum: sum of squared differences.
        loss_sum: sum of log losses.

    Returns:
        Metrics by name.
    """
    others, events = int(counts[0].sum()), int(counts[1].sum())
    names = (
        "auc",
        "brier",
        "log_loss",
        "calibration_slope",
        "calibration_intercept",
        "sensitivity",
        "specificity",
        "ppv",
    )
    if min(others, events) < SMALL_CELL:
        return dict.fromkeys(names, Metric(None, reason="small"))
    area = auc_from_histogram(counts)
    assert area is not None
    fit = calibration(
        np.repeat([False, True], BINS), np.tile(scale.middles(), 2), weights=counts.reshape(-1)
    )
    slope, intercept = fit or (None, None)
    return {
        "auc": Metric(area, *auc_interval(area, events, others)),
        "brier": Metric(brier_sum / (events + others)),
        "log_loss": Metric(loss_sum / (events + others)),
        "calibration_slope": Metric(slope, reason="" if fit else "fit"),
        "calibration_intercept": Metric(intercept, reason="" if fit else "fit"),
        **operating_point(counts, number),
    }


def _share(k: int, n: int) -> Metric:
    return Metric(k / n, *wilson(k, n)) if n >= SMALL_CELL else Metric(None, reason="small")
