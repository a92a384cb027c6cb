"""phi(x): a patient's resources as the numbers that a model reads, and the outcome.

Everything is read back from FHIR. Nothing dated after the index time enters, and what may lie after
it (a bare date of the same day) does not either; age is age at the index time; a measurement in
another unit is refused, never converted.

This module does NOT impute: what is not there is NaN. Definitions: docs/spec/features.md.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from concura.errors import ResourceInvalid, UnitInvalid
from concura.records.dates import DAY_MS, age_at, parse_span
from concura.records.features import Feature, FeatureSet, Outcome
from concura.records.resources import UCUM
from concura.types import JsonObject, TimeMs

__all__ = ["Extract", "extract", "patient_name", "record_number"]

_OBSERVED = frozenset({"amended", "corrected", "final"})
_KNOWN_AS = {"confirmed": True, "refuted": False, "": True}
_By = Mapping[tuple[str, str], list[tuple[TimeMs, JsonObject]]]


class Extract(NamedTuple):
    """What phi makes of one patient.

    `index_time` in ms; `values` float64[d] in the order of `FeatureSet.names`, NaN for missing;
    `label` None when the outcome is not known.
    """

    index_time: TimeMs
    values: NDArray[np.float64]
    label: bool | None


def extract(resources: Sequence[JsonObject], features: FeatureSet) -> Extract:
    """Compute phi(x) and the label of one patient.

    Args:
        resources: all resources of one patient, in any order.
        features: the definitions.

    Returns:
        The index time, the values and the label.

    Raises:
        ResourceInvalid: no Patient, two of them, no Encounter with a start, or a broken date.
        UnitInvalid: a measurement stands in another unit than its definition takes.

    Example:
        >>> extract(resources, mapping.features).label  # doctest: +SKIP
        False
    """
    patient = _patient(resources)
    index = _index_time(resources)
    known = _by_code(resources, until=index)
    values: list[float] = []
    for feature in features.features:
        values += _columns(feature, patient, known, index)
    return Extract(
        index,
        np.array(values, dtype=np.float64),
        _label(features.outcome, patient, resources, index),
    )


def record_number(resources: Sequence[JsonObject]) -> str:
    """Return the hospital's own record number: the first identifier of type MR, else the first.

    Raises:
        ResourceInvalid: no Patient, or one without an identifier.
    """
    identifiers = _patient(resources).get("identifier", [])
    of_type = [i for i in identifiers if ("MR" in _codes_of(i.get("type", {})))]
    for identifier in of_type or identifiers:
        if isinstance(identifier.get("value"), str):
            return str(identifier["value"])
    raise ResourceInvalid("member", path="Patient.identifier")


def patient_name(patient: JsonObject) -> str:
    """Return a patient's name for a person who may see it; empty when there is none."""
    names = patient.get("name") or [{}]
    parts = [*names[0].get("given", []), names[0].get("family", "")]
    return " ".join(part for part in parts if part)


def _patient(resources: Sequence[JsonObject]) -> JsonObject:
    patients = [r for r in resources if r.get("resourceType") == "Patient"]
    if len(patients) != 1:
        raise ResourceInvalid("one_patient", found=len(patients))
    return patients[0]


def _index_time(resources: Sequence[JsonObject]) -> TimeMs:
    """Return the start of the latest Encounter; of a bare date, its first moment."""
    starts = [
        parse_span(r["period"]["start"], path="Encounter.period.start")[0]
        for r in resources
        if r.get("resourceType") == "Encounter"
        and r.get("status") not in ("cancelled", "entered-in-error", "planned")
        and isinstance(r.get("period"), dict)
        and "start" in r["period"]
    ]
    if not starts:
        raise ResourceInvalid("no_index")
    return max(starts)


def _by_code(resources: Sequence[JsonObject], *, until: TimeMs) -> _By:
    """Sort what was known at the index time by its codes, oldest first."""
    found: dict[tuple[str, str], list[tuple[TimeMs, JsonObject]]] = {}
    for resource in resources:
        moment = _known_since(resource)
        if moment is None or moment > until:
            continue
        for part in (resource, *resource.get("component", [])):
            for coding in part.get("code", {}).get("coding", []):
                key = (coding.get("system", ""), coding.get("code", ""))
                found.setdefault(key, []).append((moment, part))
    for entries in found.values():
        entries.sort(key=lambda entry: entry[0])
    return found


def _known_since(resource: JsonObject) -> TimeMs | None:
    """Return when a finding was surely known: the end of the latest date that it carries."""
    kind = resource.get("resourceType")
    members: tuple[str, ...] = ()
    period = None
    if kind == "Observation" and resource.get("status") in _OBSERVED:
        # A result that was measured before but issued after the index was not known at the index.
        members = ("effectiveDateTime", "effectiveInstant", "issued")
        period = resource.get("effectivePeriod", {}).get("end")
    elif kind == "Condition":
        # When it was written down counts, not when it began; only without that, its beginning.
        members = ("recordedDate",) if "recordedDate" in resource else ("onsetDateTime",)
    dates = [(m, resource[m]) for m in members if m in resource]
    if period is not None:
        dates.append(("effectivePeriod.end", period))
    ends = [parse_span(text, path=f"{kind}.{member}")[1] for member, text in dates]
    return max(ends) if ends else None


def _columns(feature: Feature, patient: JsonObject, known: _By, index: TimeMs) -> Sequence[float]:
    if feature.kind == "age":
        return [_plausible(age_at(patient.get("birthDate"), index), feature)]
    if feature.kind == "sex":
        return [{"female": 1.0, "male": 0.0}.get(str(patient.get("gender")), math.nan)]
    entries = known.get((feature.system, feature.code), [])
    if feature.window_days:
        entries = [e for e in entries if e[0] >= index - feature.window_days * DAY_MS]
    if feature.kind == "category":
        return _one_hot(feature, entries)
    if feature.kind == "condition":
        values = list(_conditions(entries))
        missing = 0.0 if feature.absent == "no" else math.nan
    else:
        read = _quantities if feature.kind == "quantity" else _flags
        values, missing = list(read(feature, entries)), math.nan
    return [_plausible(_reduce(values, feature.pick), feature) if values else missing]


def _reduce(values: Sequence[float], pick: str) -> float:
    if pick == "any":
        return max(values)
    return sum(values) / len(values) if pick == "mean" else values[-1]


def _plausible(value: float | None, feature: Feature) -> float:
    if value is None:
        return math.nan
    if feature.plausible is not None and not feature.plausible[0] <= value <= feature.plausible[1]:
        return math.nan
    return value


def _quantities(feature: Feature, entries: Sequence[tuple[TimeMs, JsonObject]]) -> Iterator[float]:
    for _, part in entries:
        quantity = part.get("valueQuantity")
        # "< 5" is no measurement; what was not measured says why and has no value.
        if not isinstance(quantity, dict) or "comparator" in quantity or "value" not in quantity:
            continue
        if quantity.get("system") != UCUM or quantity.get("code") != feature.unit:
            found = str(quantity.get("code") or quantity.get("unit") or "-")[:20]
            raise UnitInvalid(what=feature.label["en"], found=found, expected=feature.unit)
        yield float(quantity["value"])


def _flags(feature: Feature, entries: Sequence[tuple[TimeMs, JsonObject]]) -> Iterator[float]:
    del feature  # the same call as for quantities, which have a unit to check
    for _, part in entries:
        if isinstance(part.get("valueBoolean"), bool):
            yield float(part["valueBoolean"])


def _conditions(entries: Sequence[tuple[TimeMs, JsonObject]]) -> Iterator[float]:
    for _, part in entries:
        known = _is_present(part)
        if known is not None:
            yield float(known)


def _is_present(condition: JsonObject) -> bool | None:
    """Say whether a condition is there; None for provisional ones and those entered in error."""
    status = _codes_of(condition.get("verificationStatus", {}))
    return _KNOWN_AS.get(status[0] if status else "")


def _one_hot(feature: Feature, entries: Sequence[tuple[TimeMs, JsonObject]]) -> Sequence[float]:
    columns = [(system, code) for _, system, code in feature.categories]
    for _, part in reversed(entries):
        for coding in part.get("valueCodeableConcept", {}).get("coding", []):
            key = (coding.get("system"), coding.get("code"))
            if key in columns or key in feature.references:
                return [float(key == column) for column in columns]
    return [math.nan] * len(columns)


def _codes_of(concept: JsonObject) -> list[str]:
    return [str(coding.get("code", "")) for coding in concept.get("coding", [])]


def _label(
    outcome: Outcome, patient: JsonObject, resources: Sequence[JsonObject], index: TimeMs
) -> bool | None:
    if outcome.kind == "death":
        return _died(outcome, patient, resources, index)
    # Only what was found after the index time is an outcome; before, it was history.
    found = [_is_present(part) for _, part in _later(outcome, resources, index, "Condition")]
    sure = [known for known in found if known is not None]
    return any(sure) if sure else None


def _died(
    outcome: Outcome, patient: JsonObject, resources: Sequence[JsonObject], index: TimeMs
) -> bool | None:
    if "deceasedDateTime" in patient:
        span = parse_span(patient["deceasedDateTime"], path="Patient.deceasedDateTime")
        answers = {(moment - index) // DAY_MS <= outcome.within_days for moment in span}
        return answers.pop() if len(answers) == 1 else None
    seen = [m for m, _ in _later(outcome, resources, index, "Observation")]
    return False if any((m - index) // DAY_MS >= outcome.within_days for m in seen) else None


def _later(
    outcome: Outcome, resources: Sequence[JsonObject], index: TimeMs, kind: str
) -> Iterator[tuple[TimeMs, JsonObject]]:
    for resource in resources:
        codings = resource.get("code", {}).get("coding", [])
        if resource.get("resourceType") != kind or not any(
            (c.get("system"), c.get("code")) == (outcome.system, outcome.code) for c in codings
        ):
            continue
        moment = _known_since(resource)
        if moment is not None and moment > index:
            yield moment, resource
