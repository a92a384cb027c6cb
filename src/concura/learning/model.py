"""The model: what a study gives back, complete enough to be checked and used without anything else.

Canonical JSON (RFC 8785, with floats); its SHA-256 is the model's id on the ledger. It holds sums
over at least three hospitals and nothing about a single patient or hospital.

This module does NOT decide: see `concura.decisions`.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from concura import canonical
from concura.errors import DataFileInvalid, ModelUnusable, StudyRefused
from concura.learning.cohort import Array
from concura.learning.logistic import design, sigmoid
from concura.learning.metrics import Metric
from concura.learning.moments import Standard
from concura.learning.study import Study
from concura.types import Digest, JsonObject, ModelId

__all__ = ["Model", "logits", "predict"]

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A logistic model and all that is known of it.

    Args:
        study: the study that it came from: seed, features, settings, outcome, consent height.
        standard: means, standard deviations, ranges, missing shares and dropped features.
        theta: d + 1 coefficients on standardised features; the intercept first.
        threshold: probability from which on a patient is called high-risk.
        client_rate: the rate chosen for hospitals.
        server_rate: the rate chosen for the server.
        loss_curve: mean training log loss before round 1, before round 2, ..., after the last.
        converged: whether the last rounds brought next to nothing.
        still_moving: share of all progress that the last three rounds brought, 0 to 1.
        rounds_digest: digest of the global parameters after the last round, as on the ledger.
        hospitals: hospitals that contributed training patients.
        patients: counts over all hospitals: train, train_events, held_out, held_out_events; None
            where fewer than ten.
        metrics: on held-out patients, by name.
    """

    study: Study
    standard: Standard
    theta: tuple[float, ...]
    threshold: float
    client_rate: float
    server_rate: float
    loss_curve: tuple[float, ...]
    converged: bool
    still_moving: float
    rounds_digest: Digest
    hospitals: int
    patients: Mapping[str, int | None]
    metrics: Mapping[str, Metric]

    @property
    def id(self) -> ModelId:
        """SHA-256 of the canonical JSON, hex."""
        return ModelId(hashlib.sha256(self.encode()).hexdigest())

    @property
    def version(self) -> str:
        """The first twelve digits of the id: what people compare."""
        return self.id[:12]

    def to_json(self) -> JsonObject:
        """Return the model as a JSON object."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        standard = {f.name: list(getattr(self.standard, f.name)) for f in fields(Standard)}
        return {
            **plain,
            "format": _FORMAT,
            "study": self.study.to_json(),
            "standard": standard,
            "theta": list(self.theta),
            "loss_curve": list(self.loss_curve),
            "patients": dict(self.patients),
            "metrics": {name: asdict(metric) for name, metric in self.metrics.items()},
        }

    def encode(self) -> bytes:
        """Write the model as canonical JSON."""
        return canonical.encode(self.to_json(), floats=True)

    @classmethod
    def decode(cls, data: bytes) -> "Model":
        """Read a model from its canonical JSON, strictly.

        Raises:
            ModelUnusable: not canonical, not this format, or parts do not fit each other.
        """
        try:
            value = canonical.decode(data, floats=True)
            return _read(value)
        except (
            DataFileInvalid,
            StudyRefused,
            KeyError,
            TypeError,
            ValueError,
            OverflowError,
        ) as error:
            raise ModelUnusable("form") from error


def logits(model: Model, x: Array) -> Array:
    """Score patients: raw float64[n, d] with NaN where missing -> float64[n]."""
    result: Array = design(model.standard.apply(x)) @ np.array(model.theta)
    return result


def predict(model: Model, x: Array) -> Array:
    """Return probabilities: raw float64[n, d] with NaN where missing -> float64[n].

    Raises:
        ModelUnusable: another number of features than the model has.

    Example:
        >>> predict(model, cohort.x)[:2]
        array([0.12, 0.57])
    """
    if x.ndim != 2 or x.shape[1] != len(model.study.features):
        raise ModelUnusable("features")
    return sigmoid(logits(model, x))


def _read(value: Any) -> Model:
    if set(value) != {"format", *(f.name for f in fields(Model))}:
        raise ValueError("members")
    if _whole(value["format"]) != _FORMAT:
        raise ValueError("format")
    study = Study.from_json(value["study"])
    d = len(study.features)
    standard = _read_standard(value["standard"], d)
    if not isinstance(value["converged"], bool):
        raise TypeError("converged")
    return Model(
        study=study,
        standard=standard,
        theta=tuple(_numbers(value["theta"], d + 1)),
        threshold=_number(value["threshold"]),
        client_rate=_number(value["client_rate"]),
        server_rate=_number(value["server_rate"]),
        loss_curve=tuple(_numbers(value["loss_curve"], study.rounds + 1)),
        converged=value["converged"],
        still_moving=_number(value["still_moving"]),
        rounds_digest=Digest(_text(value["rounds_digest"])),
        hospitals=_whole(value["hospitals"]),
        patients={k: None if v is None else _whole(v) for k, v in _members(value["patients"])},
        metrics={k: _read_metric(v) for k, v in _members(value["metrics"])},
    )


def _read_standard(value: Any, d: int) -> Standard:
    if set(value) != {f.name for f in fields(Standard)} or len(value["dropped"]) != d:
        raise ValueError("standard")
    numbers = {f: tuple(_numbers(value[f], d)) for f in value if f != "dropped"}
    if min(numbers["sds"]) <= 0:
        raise ValueError("sds")
    return Standard(dropped=tuple(_text(why) for why in value["dropped"]), **numbers)


def _read_metric(value: Any) -> Metric:
    if set(value) != {f.name for f in fields(Metric)}:
        raise ValueError("metric")
    numbers = {k: None if value[k] is None else _number(value[k]) for k in ("value", "low", "high")}
    return Metric(reason=_text(value["reason"]), **numbers)


def _members(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise TypeError("object")
    return list(value.items())


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("whole")
    return value


def _numbers(value: Any, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise ValueError("count")
    return [_number(item) for item in value]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("number")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text")
    return value
