"""The study: everything that fixes a model before any patient is looked at.

Two hospitals that hold the same `Study` take the same steps; its digest stands on the ledger. The
split into training and held-out patients is keyed by the seed and the hospital's own record number
(PROTOCOLS §8), so that a patient never changes side when another one leaves.

This module does NOT train, and does NOT know any data.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from concura import canonical
from concura.errors import DataFileInvalid, StudyRefused
from concura.types import Digest, JsonObject, StudyId

__all__ = ["PRESETS", "SMALL_CELL", "SPLIT_SHARE", "Study", "make_study", "sides"]

SMALL_CELL = 10  # events and non-events below which no metric is stated (PROTOCOLS §8)
SPLIT_SHARE = 0.2  # share of patients held out (PROTOCOLS §8)
_HOSPITALS_MIN = 3  # with two, each hospital could subtract itself from the sum (PROTOCOLS §8)
_ROUNDS_MAX = 10_000
_FEATURES_MAX = 4_096

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The grid is wide on purpose: out-of-fold loss on training patients chooses within it.
    "default": {
        "rounds": 20,
        "local_steps": 5,
        "weighted": True,
        "l2": 0.02,
        "client_rates": (0.01, 0.03, 0.1),
        "server_rates": (0.03, 0.1, 0.3),
    },
    # The rates and the plain mean of the article that this program answers to.
    "mission": {
        "rounds": 20,
        "local_steps": 10,
        "weighted": False,
        "l2": 0.0,
        "client_rates": (0.01,),
        "server_rates": (0.001,),
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What all participants of a study agree on, byte for byte.

    Args:
        study_id: name of this run; takes no part in any number.
        seed: keys the split into training, folds and held-out; 0 <= seed < 2^53.
        preset: name of the preset that the settings came from.
        features: names of the columns of phi(x), in order.
        features_digest: digest of the definition of phi(x).
        outcome: key of what is predicted, in words elsewhere.
        horizon_days: how far ahead the outcome lies, in days; None: a state at the index time.
        consent_height: ledger height at which the consents were read.
        rounds: server updates.
        local_steps: full-batch steps of a hospital in each round.
        client_rates: learning rates tried at hospitals.
        server_rates: learning rates tried at the server update.
        weighted: weigh hospitals by patients, else alike.
        l2: ridge penalty per patient, on standardised features.
        folds: folds of the training patients for choosing rates and threshold.
        minimum_hospitals: fewer contributing hospitals end the study; at least 3.
        sensitivity: share of events that the threshold must catch out of fold.

    Raises:
        StudyRefused: a setting is out of range.

    Example:
        >>> make_study("default", study_id="00", seed=1, features=("age",), features_digest="",
        ...            outcome="death", horizon_days=365).rounds
        20
    """

    study_id: StudyId
    seed: int
    preset: str
    features: tuple[str, ...]
    features_digest: Digest
    outcome: str
    horizon_days: int | None
    rounds: int
    local_steps: int
    client_rates: tuple[float, ...]
    server_rates: tuple[float, ...]
    weighted: bool
    l2: float
    consent_height: int = 0
    folds: int = 5
    minimum_hospitals: int = _HOSPITALS_MIN
    sensitivity: float = 0.90

    def __post_init__(self) -> None:
        _require("seed", 0 <= self.seed < 2**53)
        _require("features", 0 < len(self.features) <= _FEATURES_MAX)
        _require("features", len(set(self.features)) == len(self.features))
        _require("rounds", 1 <= self.rounds <= _ROUNDS_MAX)
        _require("local_steps", 1 <= self.local_steps <= 1_000)
        for name, rates in (
            ("client_rates", self.client_rates),
            ("server_rates", self.server_rates),
        ):
            _require(name, 0 < len(rates) <= 8 and all(0 < rate <= 10 for rate in rates))
        _require("l2", 0 <= self.l2 <= 100)
        _require("folds", 2 <= self.folds <= 20)
        _require("minimum_hospitals", self.minimum_hospitals >= _HOSPITALS_MIN)
        _require("sensitivity", 0 < self.sensitivity < 1)
        _require("horizon_days", self.horizon_days is None or self.horizon_days > 0)

    @property
    def pairs(self) -> tuple[tuple[float, float], ...]:
        """All (client rate, server rate) that are tried."""
        return tuple((c, s) for c in self.client_rates for s in self.server_rates)

    @property
    def digest(self) -> Digest:
        """SHA-256 of the canonical JSON, hex: what the ledger calls the task."""
        return Digest(hashlib.sha256(self.encode()).hexdigest())

    def to_json(self) -> JsonObject:
        """Return the study as a JSON object."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    def encode(self) -> bytes:
        """Write the study as canonical JSON."""
        return canonical.encode(self.to_json(), floats=True)

    @classmethod
    def from_json(cls, value: Any) -> "Study":
        """Read a study from a parsed JSON object, strictly.

        Raises:
            StudyRefused: members are missing, unknown, of the wrong type or out of range.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(value, dict) or set(value) != names:
            raise StudyRefused("form")
        hints = get_type_hints(cls)
        return cls(**{name: _typed(name, value[name], hints[name]) for name in names})

    @classmethod
    def decode(cls, data: bytes) -> "Study":
        """Read a study from its canonical JSON.

        Raises:
            StudyRefused: not canonical, or not a study.
        """
        try:
            value = canonical.decode(data, floats=True)
        except DataFileInvalid as error:
            raise StudyRefused("form") from error
        return cls.from_json(value)


def make_study(preset: str, /, **settings: Any) -> Study:
    """Make a study from a preset and the settings that differ from it.

    Args:
        preset: `default` or `mission`.
        **settings: fields of `Study`; a value of None takes the preset's.

    Returns:
        The study.

    Raises:
        StudyRefused: no such preset, or a setting is out of range.
    """
    if preset not in PRESETS:
        raise StudyRefused("preset", name=preset, known=", ".join(PRESETS))
    given = {k: v for k, v in settings.items() if v is not None or k == "horizon_days"}
    return Study(**{"preset": preset, **PRESETS[preset], **given})


def sides(study: Study, records: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Say for each record whether it is held out, and which fold it belongs to.

    Held out iff HMAC-SHA256(task key, record number) < 20 % (PROTOCOLS §8). The task key comes from
    the seed; record numbers never leave the hospital, and neither does this.

    Args:
        study: gives the seed and the number of folds.
        records: the hospital's own record numbers.

    Returns:
        held: bool[n]; fold: int64[n], from 0.
    """
    seed = study.seed.to_bytes(8, "big")
    split_key = hmac.digest(seed, b"concura study split v1", "sha256")
    fold_key = hmac.digest(seed, b"concura study folds v1", "sha256")
    held = [_draw(split_key, r) < SPLIT_SHARE * 2**64 for r in records]
    fold = [_draw(fold_key, r) % study.folds for r in records]
    return np.array(held, dtype=np.bool_), np.array(fold, dtype=np.int64)


def _draw(key: bytes, record: str) -> int:
    return int.from_bytes(hmac.digest(key, record.encode(), "sha256")[:8], "big")


def _require(name: str, is_good: bool) -> None:  # noqa: FBT001 - private assertion
    if not is_good:
        raise StudyRefused("range", name=name)


def _typed(name: str, value: Any, hint: Any) -> Any:
    """Turn a JSON value into the field's type: lists into tuples, whole numbers into floats."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and number:
        return float(value)
    if hint == tuple[float, ...] and isinstance(value, list):
        return tuple(_typed(name, item, float) for item in value)
    if hint == tuple[str, ...] and isinstance(value, list):
        return tuple(_typed(name, item, str) for item in value)
    if hint == int | None and value is None:
        return None
    # What is none of these is text: str, or a NewType over it.
    plain = {int | None: int, bool: bool, int: int, float: float}.get(hint, str)
    if type(value) is not plain:
        raise StudyRefused("range", name=name)
    return value
