"""A thin structural check of FHIR R4 resources before they are stored.

It looks at what this program relies on: known type, id, required members, one value[x], dates,
codes, quantities, references to the patient, no null or empty member, bounded nesting.

This module does NOT validate profiles, terminology or every cardinality of R4 4.0.1.
"""

import math
import re
from collections.abc import Callable

from concura.errors import ResourceInvalid
from concura.limits import INTEGER_MAX, JSON_DEPTH_MAX
from concura.records.dates import parse_span
from concura.types import JsonObject, PatientId

__all__ = ["check_resource", "patient_of"]

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
# Required members, and the status codes of R4's required bindings.
_TYPES: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "Patient": ((), frozenset()),
    "Encounter": (
        ("status", "class", "subject"),
        frozenset(
            {
                "planned",
                "arrived",
                "triaged",
                "in-progress",
                "onleave",
                "finished",
                "cancelled",
                "entered-in-error",
                "unknown",
            }
        ),
    ),
    "Condition": (("subject",), frozenset()),
    "Observation": (
        ("status", "code", "subject"),
        frozenset(
            {
                "registered",
                "preliminary",
                "final",
                "amended",
                "corrected",
                "cancelled",
                "entered-in-error",
                "unknown",
            }
        ),
    ),
    "RiskAssessment": (
        ("status", "subject"),
        frozenset(
            {
                "registered",
                "preliminary",
                "final",
                "amended",
                "corrected",
                "cancelled",
                "entered-in-error",
                "unknown",
            }
        ),
    ),
}
_GENDERS = frozenset({"male", "female", "other", "unknown"})


def check_resource(resource: object) -> JsonObject:
    """Check a resource.

    Args:
        resource: a parsed JSON value.

    Returns:
        The same object, now known to have the shape that this program relies on.

    Raises:
        ResourceInvalid: `path` names the member that is wrong, never its value.

    Example:
        >>> check_resource({"resourceType": "Patient", "id": "p1"})["id"]
        'p1'
    """
    if not isinstance(resource, dict):
        raise ResourceInvalid("object", path="$")
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ResourceInvalid("type", known=", ".join(sorted(_TYPES)))
    if not isinstance(resource.get("id"), str) or not _ID.fullmatch(resource["id"]):
        raise ResourceInvalid("id", path=f"{kind}.id")
    required, statuses = _TYPES[kind]
    for member in required:
        if member not in resource:
            raise ResourceInvalid("required", path=f"{kind}.{member}")
    if statuses and not _is_one_of(resource["status"], statuses):
        raise ResourceInvalid("code", path=f"{kind}.status")
    if kind == "Patient" and not _is_one_of(resource.get("gender", "unknown"), _GENDERS):
        raise ResourceInvalid("code", path="Patient.gender")
    if kind != "Patient":
        patient_of(resource)
    if sum(member.startswith("value") for member in resource) > 1:
        raise ResourceInvalid("one_value", path=f"{kind}.value[x]")
    _walk(resource, kind, 0)
    _check_members(resource, kind)
    return resource


def patient_of(resource: JsonObject) -> PatientId:
    """Return the id of the patient that a checked resource is about.

    Raises:
        ResourceInvalid: its subject is no `Patient/id` in this store.
    """
    if resource["resourceType"] == "Patient":
        return PatientId(resource["id"])
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    kind, _, identifier = reference.partition("/") if isinstance(reference, str) else ("", "", "")
    if kind != "Patient" or not _ID.fullmatch(identifier):
        raise ResourceInvalid("reference", path=f"{resource['resourceType']}.subject.reference")
    return PatientId(identifier)


def _is_one_of(value: object, codes: frozenset[str]) -> bool:
    return isinstance(value, str) and value in codes


def _walk(value: object, path: str, depth: int) -> None:
    """Refuse empty members, deep nesting and what JSON cannot hold, anywhere (R4 §2.6.2)."""
    if depth > JSON_DEPTH_MAX:
        raise ResourceInvalid("depth", path=path[:80])
    if isinstance(value, dict) and value and all(isinstance(k, str) and k for k in value):
        for key, item in value.items():
            _walk(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            _walk(item, f"{path}[{number}]", depth + 1)
    elif value is None or value == "" or isinstance(value, dict | list):
        raise ResourceInvalid("empty", path=path)
    else:
        _leaf(value, path)


def _leaf(value: object, path: str) -> None:
    if isinstance(value, str):
        # Half of a surrogate pair has no UTF-8 form, so it could not be stored.
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise ResourceInvalid("json", path=path)
    elif not isinstance(value, int | float):
        raise ResourceInvalid("json", path=path)
    elif not math.isfinite(value) or (isinstance(value, int) and abs(value) > INTEGER_MAX):
        raise ResourceInvalid("number", path=path)


def _check_members(part: JsonObject, path: str) -> None:
    for member, value in part.items():
        check = _MEMBERS.get(member)
        if check is not None:
            check(value, f"{path}.{member}")


def _date(value: object, path: str) -> None:
    parse_span(value, path=path)


def _period(value: object, path: str) -> None:
    for end, moment in _as_object(value, path).items():
        if end in ("start", "end"):
            parse_span(moment, path=f"{path}.{end}")


def _concept(value: object, path: str) -> None:
    for number, coding in enumerate(_as_objects(_as_object(value, path).get("coding", []), path)):
        for member in ("system", "code", "display"):
            if not isinstance(coding.get(member, ""), str):
                raise ResourceInvalid("text", path=f"{path}.coding[{number}].{member}")


def _quantity(value: object, path: str) -> None:
    quantity = _as_object(value, path)
    number = quantity.get("value", 0)
    # A bool is an int to Python, and a number in quotes is a text: neither is a measurement.
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ResourceInvalid("number", path=f"{path}.value")
    if "code" in quantity and not isinstance(quantity.get("system"), str):
        raise ResourceInvalid("required", path=f"{path}.system")  # R4 invariant qty-3


def _boolean(value: object, path: str) -> None:
    if not isinstance(value, bool):
        raise ResourceInvalid("boolean", path=path)


def _components(value: object, path: str) -> None:
    for number, part in enumerate(_as_objects(value, path)):
        if "code" not in part:
            raise ResourceInvalid("required", path=f"{path}[{number}].code")
        _check_members(part, f"{path}[{number}]")


def _identifiers(value: object, path: str) -> None:
    for number, identifier in enumerate(_as_objects(value, path)):
        for member in ("system", "value"):
            if not isinstance(identifier.get(member, ""), str):
                raise ResourceInvalid("text", path=f"{path}[{number}].{member}")
        _concept(identifier.get("type", {}), f"{path}[{number}].type")


def _names(value: object, path: str) -> None:
    for number, name in enumerate(_as_objects(value, path)):
        given = name.get("given", [])
        if not isinstance(given, list) or not isinstance(name.get("family", ""), str):
            raise ResourceInvalid("text", path=f"{path}[{number}]")
        if not all(isinstance(part, str) for part in given):
            raise ResourceInvalid("text", path=f"{path}[{number}].given")


def _as_object(value: object, path: str) -> JsonObject:
    if not isinstance(value, dict):
        raise ResourceInvalid("object", path=path)
    return value


def _as_objects(value: object, path: str) -> list[JsonObject]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ResourceInvalid("objects", path=path)
    return value


_MEMBERS: dict[str, Callable[[object, str], None]] = {
    "birthDate": _date,
    "code": _concept,
    "component": _components,
    "deceasedDateTime": _date,
    "effectiveDateTime": _date,
    "effectiveInstant": _date,
    "effectivePeriod": _period,
    "identifier": _identifiers,
    "issued": _date,
    "name": _names,
    "occurrenceDateTime": _date,
    "onsetDateTime": _date,
    "period": _period,
    "recordedDate": _date,
    "valueBoolean": _boolean,
    "valueCodeableConcept": _concept,
    "valueQuantity": _quantity,
    "verificationStatus": _concept,
}
