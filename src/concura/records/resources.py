"""A table's row as FHIR R4 resources: Patient, Encounter, Conditions and Observations.

Measurements are the table's; names and dates are invented, the same ones every time. What became of
the patient is dated after the index time, so that it can never enter phi(x).

This module does NOT read tables and does NOT draw anything at random: ids come from hashing.
Standards: FHIR R4 4.0.1; UCUM; see docs/spec/features.md.
"""

import hashlib

from concura.data.tables.people import FAMILY, GIVEN
from concura.errors import MappingInvalid
from concura.records.dates import DAY_MS, birth_date, format_instant, parse_span
from concura.records.mapping import Code, Column, Hospital, Mapping
from concura.records.table import Row
from concura.types import JsonObject, TimeMs

__all__ = ["UCUM", "record_system", "resources_of", "stable_id"]

UCUM = "http://unitsofmeasure.org"
_V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def record_system(hospital: str) -> str:
    """Return the identifier system of a hospital's own record numbers."""
    return f"https://concura.example/{hospital}/record-number"


def stable_id(*fields: str) -> str:
    """Return a resource id that is the same for the same fields: a version 8 UUID (RFC 9562 §5.8).

    Example:
        >>> stable_id("a", "b")[14]
        '8'
    """
    text = "".join(f"{len(field)}:{field}" for field in ("concura id", *fields))
    digits = hashlib.sha256(text.encode("utf-8")).hexdigest()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def resources_of(row: Row, mapping: Mapping, *, hospital: Hospital) -> list[JsonObject]:
    """Make the resources of one row.

    Args:
        row: one patient's row.
        mapping: the mapping that the row was read with.
        hospital: the hospital that the row belongs to.

    Returns:
        The Patient first, then the index Encounter, then what was found, then what became of them.

    Raises:
        MappingInvalid: the outcome names a column that the row does not have, or the mapping's
            first date and step lead out of the calendar.

    Example:
        >>> resources_of(row, mapping, hospital=h)[0]["resourceType"]  # doctest: +SKIP
        'Patient'
    """
    try:
        return _make(_Maker(row, mapping, hospital))
    except (OverflowError, ValueError) as error:
        raise MappingInvalid("dates") from error


def _make(maker: "_Maker") -> list[JsonObject]:
    row, mapping = maker.row, maker.mapping
    found = [maker.patient(), maker.encounter()]
    found += [
        maker.condition(f"always-{c.code}", c, c.display, is_present=True) for c in mapping.always
    ]
    for column in mapping.columns:
        if column.role == "feature" and row.values.get(column.name) is not None:
            found.append(maker.finding(column))
    return found + maker.outcome(found[0])


class _Maker:
    """What all resources of one row share."""

    __slots__ = ("_hospital", "_id", "_index", "mapping", "row")

    def __init__(self, row: Row, mapping: Mapping, hospital: Hospital) -> None:
        self.row, self.mapping, self._hospital = row, mapping, hospital
        first, _ = parse_span(mapping.index_first, path="mapping.index.first")
        self._index = TimeMs(first + row.number * mapping.index_step_minutes * 60_000)
        self._id = self._new_id("Patient")

    def patient(self) -> JsonObject:
        age = next(c for c in self.mapping.columns if c.role == "age")
        sex = next(c for c in self.mapping.columns if c.role == "sex")
        seed = hashlib.sha256(self._id.encode("ascii")).digest()
        patient: JsonObject = {
            "resourceType": "Patient",
            "id": self._id,
            "identifier": [
                {
                    "use": "usual",
                    "type": {"coding": [{"system": _V2_0203, "code": "MR"}]},
                    "system": record_system(self._hospital.id),
                    "value": f"{self._hospital.prefix}-{self.row.number:04d}",
                }
            ],
            "name": [
                {
                    "use": "official",
                    "family": FAMILY[seed[0] % len(FAMILY)],
                    "given": [GIVEN[seed[1] % len(GIVEN)]],
                }
            ],
            "gender": self.row.values.get(sex.name) or "unknown",
        }
        years = self.row.values.get(age.name)
        if isinstance(years, float):
            days = int.from_bytes(seed[2:4]) % 365
            patient["birthDate"] = birth_date(int(years), self._index, days=days)
        return patient

    def encounter(self) -> JsonObject:
        return {
            "resourceType": "Encounter",
            "id": self._new_id("Encounter"),
            "status": "finished",
            "class": {"system": _ACT_CODE, "code": self.mapping.index_class},
            "subject": self._subject(),
            "period": {"start": format_instant(self._index)},
        }

    def finding(self, column: Column) -> JsonObject:
        value, code = self.row.values[column.name], column.code
        assert code is not None  # the parser gives every feature column its code
        if column.kind == "condition":
            return self.condition(column.name, code, column.label["en"], is_present=value == 1.0)
        observation = self._observation(column.name, code, column.label["en"], self._index)
        if column.kind == "flag":
            observation["valueBoolean"] = value == 1.0
        elif column.kind == "category":
            category = next(c for c in column.categories if c.value == value)
            observation["valueCodeableConcept"] = {"coding": [category.code.coding()]}
        else:
            observation["valueQuantity"] = {
                "value": value,
                "unit": column.unit_label,
                "system": UCUM,
                "code": column.unit,
            }
        return observation

    def condition(
        self, name: str, code: Code, text: str, *, is_present: bool, after_ms: int = 0
    ) -> JsonObject:
        status = "confirmed" if is_present else "refuted"
        condition: JsonObject = {
            "resourceType": "Condition",
            "id": self._new_id("Condition", name),
            "verificationStatus": {"coding": [{"system": _VERIFICATION, "code": status}]},
            "code": {"coding": [code.coding()], "text": text},
            "subject": self._subject(),
            "encounter": self._encounter(),
            "recordedDate": format_instant(TimeMs(self._index + after_ms)),
        }
        if is_present:
            condition["clinicalStatus"] = {"coding": [{"system": _CLINICAL, "code": "active"}]}
        return condition

    def outcome(self, patient: JsonObject) -> list[JsonObject]:
        """Add what became of the patient; always later than the index time."""
        event, days_column = self.mapping.outcome_columns
        if event not in self.row.values or (days_column and days_column not in self.row.values):
            raise MappingInvalid("outcome_column")
        happened, days = self.row.values[event], self.row.values.get(days_column)
        code = self.mapping.outcome_code
        if self.mapping.features.outcome.kind == "condition":
            if not isinstance(happened, float):
                return []
            present = happened > self.mapping.outcome_above
            label = self.mapping.features.outcome.meaning["en"]
            return [self.condition("outcome", code, label, is_present=present, after_ms=DAY_MS)]
        if not isinstance(happened, float) or not isinstance(days, float):
            return []
        # An hour more, so that also a death on the first day lies after the index time.
        end = TimeMs(self._index + int(days) * DAY_MS + 3_600_000)
        if happened > self.mapping.outcome_above:
            patient["deceasedDateTime"] = format_instant(end)
            return []
        alive = self._observation("outcome", code, code.display, end)
        alive["valueBoolean"] = True
        return [alive]

    def _observation(self, name: str, code: Code, text: str, moment: TimeMs) -> JsonObject:
        return {
            "resourceType": "Observation",
            "id": self._new_id("Observation", name),
            "status": "final",
            "code": {"coding": [code.coding()], "text": text},
            "subject": self._subject(),
            "encounter": self._encounter(),
            "effectiveDateTime": format_instant(moment),
        }

    def _subject(self) -> JsonObject:
        return {"reference": f"Patient/{self._id}"}

    def _encounter(self) -> JsonObject:
        return {"reference": f"Encounter/{self._new_id('Encounter')}"}

    def _new_id(self, *kind: str) -> str:
        return stable_id(self.mapping.name, self._hospital.id, str(self.row.number), *kind)
