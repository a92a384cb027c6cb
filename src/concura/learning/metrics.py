"""How well probabilities tell and fit outcomes: exact, on arrays.

AUC with ties (Hanley and McNeil 1982), Brier score (1950), calibration intercept and slope
(Cox 1958: logistic regression of the outcome on the logit), Wilson's interval (1927).

This module does NOT sum over hospitals: `scores` does, from histograms.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concura.learning.cohort import Array

__all__ = [
    "Metric",
    "auc",
    "auc_interval",
    "brier",
    "calibration",
    "calibration_bins",
    "logit",
    "roc",
    "wilson",
    "within_auc",
    "within_weight",
]

_Z95 = 1.959963984540054  # 97.5 % point of the normal distribution
_Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Metric:
    """A value with its 95 % interval where one is known; None and the reason where none is told."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def auc(y: _Bools, p: Array) -> float | None:
    """Area under the ROC curve; ties count half; None without both outcomes.

    Args:
        y: bool[n].
        p: float64[n], any increasing score.
    """
    events, others = int(y.sum()), int((~y).sum())
    if not events or not others:
        return None
    _, place, size = np.unique(p, return_inverse=True, return_counts=True)
    # Mean rank of each tied group, from 1.
    rank = (np.cumsum(size) - (size - 1) / 2)[place]
    return float((rank[y].sum() - events * (events + 1) / 2) / (events * others))


def within_auc(groups: list[tuple[_Bools, Array]], *, minimum: int = 1) -> float | None:
    """AUC over pairs of patients of the same hospital.

    The hospitals' AUCs are averaged with weights n1 n0 / (n1 + n0), the precision of each; a
    hospital with fewer than `minimum` events or non-events stays out.
    """
    above = below = 0.0
    for y, p in groups:
        area, weight = auc(y, p), within_weight(y)
        if area is not None and min(y.sum(), (~y).sum()) >= minimum:
            above, below = above + weight * area, below + weight
    return above / below if below else None


def within_weight(y: _Bools) -> float:
    """Return n1 n0 / (n1 + n0)."""
    return float(y.sum()) * float((~y).sum()) / max(len(y), 1)


def auc_interval(area: float, events: int, others: int) -> tuple[float, float]:
    """95 % interval of an AUC (Hanley and McNeil 1982, eq. 2), cut to [0, 1]."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (events - 1) * (q1 - area**2) + (others - 1) * (q2 - area**2)
    half = _Z95 * math.sqrt(max(spread, 0.0) / (events * others))
    return max(0.0, area - half), min(1.0, area + half)


def brier(y: _Bools, p: Array) -> float:
    """Mean squared difference between probability and outcome."""
    return float(np.mean((p - y) ** 2))


def logit(p: Array) -> Array:
    """log(p / (1 - p)), p kept within 1e-12 of 0 and 1."""
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    result: Array = np.log(inside) - np.log1p(-inside)
    return result


def calibration(
    y: _Bools, logits: Array, *, weights: Array | None = None
) -> tuple[float, float] | None:
    """Calibration slope and intercept: logit P(y) = intercept + slope * logit p.

    Args:
        y: bool[n].
        logits: float64[n], logits of the predicted probabilities.
        weights: float64[n], how often each row counts; once if not given.

    Returns:
        (slope, intercept) by Newton's method, or None where the fit does not exist.
    """
    w = np.ones(len(y)) if weights is None else weights
    centre, spread = _centre(logits, w)
    if not spread:
        return None
    u = (logits - centre) / spread
    a, b = 0.0, 1.0
    for _ in range(50):
        p = 0.5 + 0.5 * np.tanh(0.5 * (a + b * u))
        g0, g1 = float((w * (y - p)).sum()), float((w * (y - p) * u).sum())
        v = w * p * (1 - p)
        h00, h01, h11 = float(v.sum()), float((v * u).sum()), float((v * u * u).sum())
        determinant = h00 * h11 - h01 * h01
        if determinant <= 1e-12 * max(h00 * h11, 1e-300) or abs(b) > 50:
            return None  # separated, or all alike: the maximum lies at infinity
        step_a, step_b = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        a, b = a + step_a, b + step_b
        if abs(step_a) + abs(step_b) < 1e-10:
            slope = b / spread
            return slope, a - slope * centre
    return None


def _centre(logits: Array, w: Array) -> tuple[float, float]:
    total = float(w.sum())
    if not total:
        return 0.0, 0.0
    centre = float((w * logits).sum()) / total
    return centre, math.sqrt(float((w * (logits - centre) ** 2).sum()) / total)


def calibration_bins(y: _Bools, p: Array, *, bins: int = 5) -> list[tuple[float, float, int]]:
    """(mean probability, share of events, patients) in groups of equal size by probability."""
    order = np.argsort(p, kind="stable")
    groups = [g for g in np.array_split(order, bins) if len(g)]
    return [(float(p[g].mean()), float(y[g].mean()), len(g)) for g in groups]


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of k in n, n > 0."""
    share, z2 = k / n, _Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def roc(y: _Bools, p: Array) -> list[tuple[float, float]]:
    """Corners of the ROC curve: (false positive rate, true positive rate), (0, 0) to (1, 1)."""
    events, others = max(int(y.sum()), 1), max(int((~y).sum()), 1)
    values = np.unique(p)[::-1]
    ordered_events, ordered_others = np.sort(p[y]), np.sort(p[~y])
    true = len(ordered_events) - np.searchsorted(ordered_events, values, side="left")
    false = len(ordered_others) - np.searchsorted(ordered_others, values, side="left")
    return [(0.0, 0.0), *zip((false / others).tolist(), (true / events).tolist(), strict=True)]
