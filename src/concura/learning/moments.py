"""Standardise, impute and bound the features, from sums over all hospitals' training patients.

Four steps: magnitudes (so that the rest fits into fixed point), means, spreads, and histograms of
the standardised values, which give the range that the model was trained on. A missing value becomes
the training mean, which is zero after standardising. A feature that fewer than three hospitals
measured, or that hardly varies, is dropped with the reason.

This module does NOT look at outcomes or at held-out patients.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concura.learning.cohort import Array
from concura.learning.steps import Steps, ask, parts
from concura.learning.study import SMALL_CELL

__all__ = ["Standard", "learn_standard"]

_EDGE, _BINS = 8.0, 128  # histogram of z: 128 bins of 1/8 standard deviation; the ends are open
_POWER_MAX = 300.0  # 2^300: far beyond any measurement
_MARGIN = 2.0  # standard deviations beyond the tenth most extreme patient: where skewed tails end


@dataclass(frozen=True, slots=True)
class Standard:
    """How raw features become model inputs; all numbers are one for each of d features.

    Args:
        means: training means, also what a missing value is taken to be.
        sds: training standard deviations (divisor n); 1 for a dropped feature.
        lows: lower end of the training range.
        highs: upper end of the training range.
        missing: share of training patients without the value, 0 to 1.
        dropped: for each feature "" or why it is not used: `hospitals`, `few` or `constant`.
    """

    means: tuple[float, ...]
    sds: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    missing: tuple[float, ...]
    dropped: tuple[str, ...]

    def apply(self, x: Array) -> Array:
        """Standardise and impute: float64[n, d] with NaN -> float64[n, d] without."""
        z = (x - np.array(self.means)) / np.array(self.sds)
        used = np.array([not why for why in self.dropped])
        result: Array = np.where(np.isnan(z) | ~used, 0.0, z)
        return result


def learn_standard(x: Array, *, minimum: int) -> Steps[Standard]:
    """Learn the standard from this hospital's training patients and the others' totals.

    Args:
        x: float64[n, d], raw, NaN where missing.
        minimum: hospitals that must have measured a feature.

    Returns:
        The standard, the same at every hospital.
    """
    # (1): magnitudes. Powers of two, so that scaling by them loses no digit.
    scale, count, hospitals, patients = yield from _scale(x)
    scaled = x / scale
    known = np.maximum(count, 1.0)
    # (2): means, and (3): spreads around them, which two passes keep exact.
    means = (yield from ask("means", np.nansum(scaled, axis=0))) / known
    spread = (yield from ask("spreads", np.nansum((scaled - means) ** 2, axis=0))) / known
    dropped = tuple(
        "hospitals" if h < minimum else "few" if c < SMALL_CELL else "constant" if s < 1e-12 else ""
        for h, c, s in zip(hospitals, count, spread, strict=True)
    )
    sds = np.where([bool(why) for why in dropped], 1.0, np.sqrt(np.maximum(spread, 0.0)))
    # (4): ranges.
    lows, highs, is_flag = yield from _ranges((scaled - means) / sds, x)
    return Standard(
        means=_told(means * scale),
        sds=_told(sds * scale),
        lows=_told(np.where(is_flag, 0.0, (means + sds * lows) * scale)),
        highs=_told(np.where(is_flag, 1.0, (means + sds * highs) * scale)),
        missing=_told(1.0 - count / max(patients, 1.0)),
        dropped=dropped,
    )


def _scale(x: Array) -> Steps[tuple[Array, Array, Array, float]]:
    """Return for each feature its power of two, its values and its hospitals; and all patients."""
    d = x.shape[1]
    known = ~np.isnan(x)
    some = known & (x != 0)
    logs = np.log2(np.abs(np.where(some, x, 1.0))).sum(axis=0)
    total = yield from ask(
        "magnitudes",
        logs,
        some.sum(axis=0, dtype=np.float64),
        known.sum(axis=0, dtype=np.float64),
        known.any(axis=0).astype(np.float64),
        float(len(x)),
    )
    log_sum, nonzero, count, hospitals, patients = parts(total, (d,), (d,), (d,), (d,), (1,))
    # Clipped so that even a dishonest total leaves finite numbers behind.
    power = np.rint(log_sum / np.maximum(nonzero, 1.0)).clip(-_POWER_MAX, _POWER_MAX)
    scale: Array = np.exp2(power)
    return scale, np.rint(count), np.rint(hospitals), float(patients[0])


def _ranges(z: Array, x: Array) -> Steps[tuple[Array, Array, NDArray[np.bool_]]]:
    """Return the ends of the training range, in standard deviations, and what is yes or no.

    An end lies two standard deviations beyond the bin that holds the tenth most extreme patient:
    fewer than ten patients never decide, and never show in the model. A feature that is 0 or 1 in
    every training patient is yes or no: both lie within its range, however rare one of them is.
    """
    d = z.shape[1]
    place = (
        np.floor((np.nan_to_num(z) + _EDGE) * (_BINS / (2 * _EDGE)))
        .clip(0, _BINS - 1)
        .astype(np.int64)
    )
    counts = np.zeros((d, _BINS))
    for j in range(d):
        counts[j] = np.bincount(place[~np.isnan(z[:, j]), j], minlength=_BINS)
    between = (~np.isnan(x) & (x != 0) & (x != 1)).sum(axis=0, dtype=np.float64)
    answer = np.rint((yield from ask("ranges", counts, between))).clip(0.0)
    total, between_sum = parts(answer, (d, _BINS), (d,))
    first = (np.cumsum(total, axis=1) >= SMALL_CELL).argmax(axis=1)
    last = _BINS - 1 - (np.cumsum(total[:, ::-1], axis=1) >= SMALL_CELL).argmax(axis=1)
    width = 2 * _EDGE / _BINS
    low, high = first * width - _EDGE - _MARGIN, (last + 1) * width - _EDGE + _MARGIN
    return low, high, between_sum == 0


def _told(values: Array) -> tuple[float, ...]:
    return tuple(values.tolist())
