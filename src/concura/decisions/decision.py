"""From a model and one patient's values to a decision with its reasons.

High or low by the model's threshold; or *cannot say*, where too many inputs are missing or one lies
outside the range that the model was trained on. A reason is never an imputed value.

This module does NOT speak to people (`explain`), and does NOT know where the values come from.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from concura.errors import ModelUnusable
from concura.learning import Model, predict
from concura.types import ModelId

__all__ = ["IMPUTED_SHARE_MAX", "REASONS_MAX", "Decision", "Reason", "Verdict", "can_say", "decide"]

Array = NDArray[np.float64]

IMPUTED_SHARE_MAX = 1 / 3  # beyond it the training means would decide, not the patient
REASONS_MAX = 3  # what a person reads and checks at the bedside


class Verdict(StrEnum):
    """What is decided; the value is also the catalogue key behind `decision.`."""

    HIGH = "high"
    LOW = "low"
    CANNOT_SAY = "cannot-say"


@dataclass(frozen=True, slots=True)
class Reason:
    """One input that moved the risk.

    Args:
        feature: name of the column.
        value: the measured value, in the feature's unit.
        direction: whether it raises or lowers the risk against the average patient.
        contribution: theta_j z_j, in log-odds; for a category the sum over its columns.
    """

    feature: str
    value: float
    direction: Literal["raises", "lowers"]
    contribution: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the model says of one patient.

    Args:
        verdict: high, low or cannot say.
        probability: of the outcome within the horizon; None where the verdict is cannot say.
        threshold: probability from which on the verdict is high.
        reasons: the strongest reasons for the verdict, strongest first; at most three.
        imputed: names of the inputs that had no value.
        out_of_range: names of the inputs beyond the range of training.
        inputs: number of inputs in use; a category counts once.
        outcome: key of what is predicted.
        horizon_days: how far ahead, in days; None: a state found at the index time.
        model: id of the model.
    """

    verdict: Verdict
    probability: float | None
    threshold: float
    reasons: tuple[Reason, ...]
    imputed: tuple[str, ...]
    out_of_range: tuple[str, ...]
    inputs: int
    outcome: str
    horizon_days: int | None
    model: ModelId


def decide(model: Model, values: Mapping[str, float | None]) -> Decision:
    """Decide for one patient.

    Args:
        model: the model.
        values: value of each feature by name, in the feature's unit; None or NaN: not known.

    Returns:
        The decision.

    Raises:
        ModelUnusable: a feature is not given, not the model's, or infinite.

    Example:
        >>> decide(model, {"age": 81.0, "hr": None}).verdict
        <Verdict.HIGH: 'high'>
    """
    names = model.study.features
    x = _row(model, values)
    groups = _groups(model)
    imputed = tuple(g for g, js in groups.items() if np.isnan(x[js]).any())
    outside = tuple(names[j] for js in groups.values() for j in js if _is_outside(model, x)[j])
    probability = float(predict(model, x[None, :])[0])
    verdict = Verdict.HIGH if probability >= model.threshold else Verdict.LOW
    if not can_say(model, x[None, :])[0]:
        verdict = Verdict.CANNOT_SAY
    is_silent = verdict is Verdict.CANNOT_SAY
    return Decision(
        verdict=verdict,
        probability=None if is_silent else probability,
        threshold=model.threshold,
        reasons=() if is_silent else _reasons(model, x, groups, verdict=verdict),
        imputed=imputed,
        out_of_range=outside,
        inputs=len(groups),
        outcome=model.study.outcome,
        horizon_days=model.study.horizon_days,
        model=model.id,
    )


def can_say(model: Model, x: Array) -> NDArray[np.bool_]:
    """Say for which patients the model may give a verdict.

    Args:
        model: the model.
        x: float64[n, d], raw, NaN where missing.

    Returns:
        bool[n]; False where too many inputs are missing or one is out of range.
    """
    groups = list(_groups(model).values())
    missing = np.stack([np.isnan(x[:, js]).any(axis=1) for js in groups], axis=1).sum(axis=1)
    used = [j for js in groups for j in js]
    is_outside = _is_outside(model, x)[:, used].any(axis=1)
    result: NDArray[np.bool_] = (missing <= IMPUTED_SHARE_MAX * len(groups)) & ~is_outside
    return result


def _is_outside(model: Model, x: Array) -> NDArray[np.bool_]:
    """Compare with the training range; a missing value (NaN) is not outside."""
    low, high = np.array(model.standard.lows), np.array(model.standard.highs)
    result: NDArray[np.bool_] = (x < low) | (x > high)
    return result


def _row(model: Model, values: Mapping[str, float | None]) -> Array:
    if set(values) != set(model.study.features):
        raise ModelUnusable("features")
    row = [math.nan if (v := values[name]) is None else float(v) for name in model.study.features]
    if any(math.isinf(value) for value in row):
        raise ModelUnusable("features")
    return np.array(row, dtype=np.float64)


def _groups(model: Model) -> dict[str, list[int]]:
    """Gather columns in use into inputs: `cp=1`, `cp=2` are the one input `cp`."""
    groups: dict[str, list[int]] = {}
    for j, name in enumerate(model.study.features):
        if not model.standard.dropped[j]:
            groups.setdefault(name.partition("=")[0], []).append(j)
    return groups


def _reasons(
    model: Model,
    x: Array,
    groups: Mapping[str, list[int]],
    *,
    verdict: Verdict,
) -> tuple[Reason, ...]:
    """Return the strongest contributions towards the verdict."""
    pull = model.standard.apply(x[None, :])[0] * np.array(model.theta[1:])
    sign = 1.0 if verdict is Verdict.HIGH else -1.0
    found: list[Reason] = []
    for group, columns in groups.items():
        # Of a category only the level that holds can be named; the reference level has no column.
        told = [j for j in columns if model.study.features[j] == group or x[j] == 1]
        weight = float(pull[columns].sum())
        if told and not np.isnan(x[columns]).any() and sign * weight > 0:
            name = model.study.features[told[0]]
            direction: Literal["raises", "lowers"] = "raises" if weight > 0 else "lowers"
            found.append(Reason(name, float(x[told[0]]), direction, weight))
    found.sort(key=lambda reason: -abs(reason.contribution))
    return tuple(found[:REASONS_MAX])
