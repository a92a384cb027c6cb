"""Resources are checked before they are stored; the error names the path, never the value."""

import copy
import json

import pytest

from concura.adapters.table_files import shipped_folder
from concura.errors import ResourceInvalid
from concura.records import check_resource, patient_of

PATIENT = {"resourceType": "Patient", "id": "p", "name": [{"family": "A", "given": ["B"]}]}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
    "subject": {"reference": "Patient/p"},
    "effectiveDateTime": "2020-02-29T10:00:00+08:00",
    "valueQuantity": {"value": 7.5, "system": "http://unitsofmeasure.org", "code": "/min"},
}


def test_what_the_tables_become_passes():
    folder = shipped_folder()
    for found in list(folder.resources("hospital-d"))[:20]:
        for resource in found:
            assert check_resource(resource) is resource
            assert patient_of(resource) == found[0]["id"]


@pytest.mark.parametrize(
    ("member", "value", "why"),
    [
        ("id", "a b", "id"),
        ("id", None, "id"),
        ("resourceType", "Banana", "type"),
        ("resourceType", 3, "type"),
        ("status", "banana", "code"),
        ("subject", {"reference": "Group/1"}, "reference"),
        ("subject", {"reference": "Patient/"}, "reference"),
        ("subject", "Patient/p", "reference"),
        ("code", "8867-4", "object"),
        ("code", {"coding": ["8867-4"]}, "objects"),
        ("code", {"coding": [{"system": 1}]}, "text"),
        ("code", {}, "empty"),
        ("valueString", "x", "one_value"),
        ("effectiveDateTime", "2020-13-01", "date"),
        ("effectiveDateTime", "2021-02-29", "date"),
        ("effectiveDateTime", "2020-02-29T10:00:00", "date"),
        ("effectiveDateTime", "2020-02-29T24:00:00Z", "date"),
        ("effectiveDateTime", 2020, "date"),
        ("effectivePeriod", {"end": "soon"}, "date"),
        ("valueQuantity", {"value": "7"}, "number"),
        ("valueQuantity", {"value": True}, "number"),
        ("valueQuantity", {"value": float("nan")}, "number"),
        ("valueQuantity", {"value": 7, "code": "/min"}, "required"),
        ("valueQuantity", 7, "object"),
        ("component", [{"valueQuantity": {"value": 1}}], "required"),
        ("component", {"code": {}}, "empty"),
        ("note", "", "empty"),
        ("note", [], "empty"),
        ("note", None, "empty"),
        ("note", object(), "json"),
    ],
)
def test_a_broken_member_is_refused_by_its_path(member, value, why):
    broken = copy.deepcopy(OBSERVATION) | {member: value}
    with pytest.raises(ResourceInvalid) as caught:
        check_resource(broken)
    assert caught.value.why == why
    for lang in ("en", "zh"):
        assert caught.value.message(lang)


@pytest.mark.parametrize("member", ["status", "code", "subject"])
def test_a_missing_required_member_is_refused(member):
    broken = {k: v for k, v in OBSERVATION.items() if k != member}
    with pytest.raises(ResourceInvalid) as caught:
        check_resource(broken)
    assert caught.value.values["path"] == f"Observation.{member}"


@pytest.mark.parametrize(
    "change",
    [
        {"gender": "banana"},
        {"birthDate": "yesterday"},
        {"identifier": [{"value": 5}]},
        {"identifier": "x"},
        {"name": [{"given": "B"}]},
        {"name": [{"family": 1}]},
        {"name": [{"given": [1]}]},
    ],
)
def test_a_broken_patient_is_refused(change):
    with pytest.raises(ResourceInvalid):
        check_resource(PATIENT | change)


@pytest.mark.parametrize("value", [None, 1, "x", [], [PATIENT]])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(ResourceInvalid):
        check_resource(value)


def test_deep_nesting_is_refused():
    nested = json.loads('{"x":' * 100 + "1" + "}" * 100)
    with pytest.raises(ResourceInvalid) as caught:
        check_resource(PATIENT | {"extension": nested})
    assert caught.value.why == "depth"


@pytest.mark.data
def test_synthetic_patients_of_another_maker_pass(data_folder):
    bundle = next((data_folder / "fhir" / "synthea-bundles").glob("Jacob*.json"))
    kept = ("Patient", "Encounter", "Observation", "Condition")
    seen = 0
    for entry in json.loads(bundle.read_text("utf-8"))["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] in kept:
            text = json.dumps(resource).replace("urn:uuid:", "Patient/")
            check_resource(json.loads(text))
            seen += 1
    assert seen > 20
