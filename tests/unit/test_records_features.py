"""phi(x) is read back from FHIR, equals the table, and knows nothing of what came later."""

import copy
import csv
import hashlib
import json
import math
from importlib import resources as package_files

import numpy as np
import pytest

from concura.adapters.table_files import read_folder, shipped_folder, shipped_mappings
from concura.errors import MappingInvalid, ResourceInvalid, UnitInvalid
from concura.records import (
    check_resource,
    count_missing,
    extract,
    parse_features,
    parse_mapping,
    parse_table,
    patient_name,
    record_number,
    resources_of,
)

WHAS, HEART = shipped_mappings()
DATA = package_files.files("concura.data")


@pytest.fixture(scope="module")
def whas():
    return shipped_folder()


def one(mapping=WHAS, hospital=0, **changes):
    line = "7,hospital-a,83,1,89,152,78,25.54051,1,1,0,0,0,1,0,5,2178,0"
    head = ",".join(c.name for c in mapping.columns)
    (row,) = parse_table(f"{head}\n{line}\n", mapping, file="x.csv")
    changed = dict(row.values) | changes
    row = type(row)(row.number, row.hospital, changed)
    return resources_of(row, mapping, hospital=mapping.hospitals[hospital])


def value(resources, name, features=WHAS.features):
    return dict(zip(features.names, extract(resources, features).values, strict=True))[name]


def observation(resources, code):
    return next(
        r
        for r in resources
        if r["resourceType"] == "Observation" and r["code"]["coding"][0]["code"] == code
    )


def condition(resources, code):
    return next(
        r
        for r in resources
        if r["resourceType"] == "Condition" and r["code"]["coding"][0]["code"] == code
    )


# The shipped table ----------------------------------------------------------------------------


def raw_rows():
    text = (DATA / "tables" / "whas500.csv").read_text("utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def test_the_shipped_table_has_500_patients_138_dead_within_a_year_and_none_censored_before():
    rows = raw_rows()
    assert len(rows) == 500
    assert sum(r["fstat"] == "1" and int(r["lenfol"]) <= 365 for r in rows) == 138
    assert sum(r["fstat"] == "0" and int(r["lenfol"]) <= 365 for r in rows) == 0


def test_the_deal_to_hospitals_is_the_documented_one():
    def score(row):
        d = hashlib.sha256(f"whas500 deal {row['record']}".encode()).digest()
        keyed = sum(d[:12]) / 255 - 6
        return (
            (float(row["age"]) - 70) / 15
            + 1.5 * float(row["sho"])
            - 0.5 * float(row["mitype"])
            + 3.6 * keyed
        )

    rows = raw_rows()
    order = sorted(rows, key=lambda r: (-score(r), int(r["record"])))
    dealt = ["hospital-b"] * 140 + ["hospital-a"] * 180 + ["hospital-c"] * 110 + ["hospital-d"] * 70
    assert [r["hospital"] for r in order] == dealt


def test_phi_read_back_from_fhir_equals_the_shipped_table(whas):
    names = dict(zip(whas.features.names, ["age", "gender", *whas.features.names[2:]], strict=True))
    table = {(r["hospital"], int(r["record"])): r for r in raw_rows()}
    for hospital, rows in whas.rows.items():
        for row, found in zip(rows, whas.resources(hospital), strict=True):
            raw = table[hospital, row.number]
            _, values, label = extract([check_resource(r) for r in reversed(found)], whas.features)
            assert values.tolist() == [float(raw[names[n]]) for n in whas.features.names]
            assert label == (raw["fstat"] == "1" and int(raw["lenfol"]) <= 365)


def test_hospitals_differ_in_size_and_case_mix(whas):
    assert whas.patients() == {
        "hospital-a": 180,
        "hospital-b": 140,
        "hospital-c": 110,
        "hospital-d": 70,
    }
    ages = {h: np.mean([r.values["age"] for r in rows]) for h, rows in whas.rows.items()}
    assert max(ages.values()) - min(ages.values()) > 10


@pytest.mark.data
def test_phi_read_back_from_fhir_equals_the_heart_disease_files(data_folder):
    folder = read_folder(data_folder / "heart_disease")
    assert folder.patients() == {"cleveland": 303, "hungarian": 294, "switzerland": 123, "va": 200}
    assert set(folder.ignored) == {"SOURCE.txt", "heart-disease.names"}
    assert count_missing(folder.rows["switzerland"])["chol"] == 123
    assert count_missing(folder.rows["va"])["trestbps"] == 57
    number = {"age": 0, "trestbps": 3, "chol": 4, "fbs": 5, "thalach": 7, "exang": 8, "oldpeak": 9}
    for hospital, file in folder.files.items():
        lines = (data_folder / "heart_disease" / file).read_text().split()
        for line, found in zip(lines, folder.resources(hospital), strict=True):
            cells = line.split(",")
            _, values, label = extract(found, folder.features)
            phi = dict(zip(folder.features.names, values, strict=True))
            assert label == (float(cells[13]) > 0)
            assert phi["female"] == 1 - float(cells[1])
            for name, place in number.items():
                zero = name in ("trestbps", "chol") and cells[place] in ("0", "0.0")
                cell = math.nan if zero or cells[place] == "?" else float(cells[place])
                assert phi[name] == cell or (math.isnan(phi[name]) and math.isnan(cell))
            for kind in ("1", "2", "4"):
                assert phi[f"cp={kind}"] == (float(cells[2]) == float(kind))
            for kind in ("1", "2"):
                expected = math.nan if cells[6] == "?" else float(float(cells[6]) == float(kind))
                assert np.array_equal(phi[f"restecg={kind}"], expected, equal_nan=True)


# Nothing from later ---------------------------------------------------------------------------


def test_nothing_dated_after_the_index_time_enters():
    resources = one()
    index = extract(resources, WHAS.features).index_time
    later = copy.deepcopy(observation(resources, "8867-4"))
    later |= {"id": "later", "effectiveDateTime": "2030-01-01T00:00:00Z"}
    later["valueQuantity"] = later["valueQuantity"] | {"value": 250}
    resources.append(later)
    assert value(resources, "hr") == 89
    assert extract(resources, WHAS.features).index_time == index


def test_a_bare_date_on_the_index_day_may_be_later_and_stays_out():
    resources = one()
    reading = observation(resources, "8867-4")
    reading["effectiveDateTime"] = reading["effectiveDateTime"][:10]
    assert math.isnan(value(resources, "hr"))


def test_a_result_that_was_issued_after_the_index_stays_out():
    resources = one()
    observation(resources, "8867-4")["issued"] = "2030-01-01T00:00:00Z"
    assert math.isnan(value(resources, "hr"))


def test_a_condition_written_down_later_stays_out_even_if_it_began_before():
    resources = one()
    found = condition(resources, "49436004")
    found |= {"onsetDateTime": "1990-01-01", "recordedDate": "2030-01-01"}
    assert math.isnan(value(resources, "afb"))


@pytest.mark.parametrize("days", [0.0, 1.0, 365.0, 366.0])
@pytest.mark.parametrize("dead", [0.0, 1.0])
def test_the_outcome_lies_after_the_index_and_never_changes_phi(days, dead):
    resources = one(lenfol=days, fstat=dead)
    _, values, label = extract(resources, WHAS.features)
    assert np.array_equal(values, extract(one(), WHAS.features).values)
    died = resources[0].get("deceasedDateTime")
    assert (died is not None) == bool(dead)
    expected = days <= 365 if dead else (False if days >= 365 else None)
    assert label is expected
    without = list(resources)
    without[0] = {k: v for k, v in without[0].items() if k != "deceasedDateTime"}
    assert np.array_equal(values, extract(without, WHAS.features).values)


def test_length_of_stay_is_nowhere_in_the_resources():
    assert one(los=5.0) == one(los=99.0)


def test_measurements_older_than_the_window_stay_out():
    resources = one()
    observation(resources, "8867-4")["effectiveDateTime"] = "1997-01-01T00:00:00Z"
    assert math.isnan(value(resources, "hr"))


# Reductions -----------------------------------------------------------------------------------


def with_pick(pick):
    raw = copy.deepcopy(WHAS.features.raw)
    next(f for f in raw["features"] if f["name"] == "hr")["pick"] = pick
    return parse_features(raw)


@pytest.mark.parametrize(("pick", "expected"), [("last", 89), ("mean", 79), ("any", 89)])
def test_several_measurements_become_the_last_the_mean_or_any(pick, expected):
    resources = one()
    index = observation(resources, "8867-4")["effectiveDateTime"]
    earlier = copy.deepcopy(observation(resources, "8867-4")) | {"id": "earlier"}
    earlier["effectiveDateTime"] = f"{index[:11]}00:00:01Z"
    earlier["valueQuantity"] |= {"value": 69}
    resources.insert(0, earlier)
    assert value(resources, "hr", with_pick(pick)) == expected


def test_a_measurement_in_another_unit_is_refused_and_not_converted():
    resources = one()
    observation(resources, "8480-6")["valueQuantity"] |= {"code": "kPa", "value": 20.1}
    with pytest.raises(UnitInvalid) as caught:
        extract(resources, WHAS.features)
    assert caught.value.values["found"] == "kPa"
    assert "20.1" not in caught.value.message()


def test_a_measurement_without_a_ucum_unit_is_refused():
    resources = one()
    del observation(resources, "8480-6")["valueQuantity"]["system"]
    with pytest.raises(UnitInvalid):
        extract(resources, WHAS.features)


def test_comparators_implausible_values_and_absent_ones_are_missing():
    for change in ({"comparator": "<"}, {"value": 4000}):
        resources = one()
        observation(resources, "8867-4")["valueQuantity"] |= change
        assert math.isnan(value(resources, "hr"))
    resources = one()
    del observation(resources, "8867-4")["valueQuantity"]
    assert math.isnan(value(resources, "hr"))


@pytest.mark.parametrize("status", ["entered-in-error", "preliminary", "cancelled"])
def test_observations_that_are_not_final_stay_out(status):
    resources = one()
    observation(resources, "8867-4")["status"] = status
    assert math.isnan(value(resources, "hr"))


def test_refuted_is_no_confirmed_is_yes_and_unspoken_is_missing():
    resources = one()
    assert value(resources, "afb") == 1
    assert value(resources, "sho") == 0
    provisional = condition(resources, "49436004")["verificationStatus"]["coding"][0]
    provisional["code"] = "provisional"
    assert math.isnan(value(resources, "afb"))
    assert math.isnan(value(one(afb=None), "afb"))


def test_what_no_record_speaks_of_counts_as_no_where_the_definition_says_so():
    raw = copy.deepcopy(WHAS.features.raw)
    next(f for f in raw["features"] if f["name"] == "afb")["absent"] = "no"
    assert value(one(afb=None), "afb", parse_features(raw)) == 0


def test_a_blood_pressure_panel_gives_its_components():
    resources = one(sysbp=None)
    panel = copy.deepcopy(observation(resources, "8462-4"))
    panel["code"] = {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]}
    part = {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}
    panel["component"] = [{"code": part, "valueQuantity": panel.pop("valueQuantity")}]
    resources.append(check_resource(panel | {"id": "panel"}))
    assert value(resources, "sysbp") == 78


def test_age_is_age_at_the_index_time_and_partial_birth_dates_are_missing():
    resources = one()
    assert value(resources, "age") == 83
    resources[0]["birthDate"] = resources[0]["birthDate"][:4]
    assert math.isnan(value(resources, "age"))
    del resources[0]["birthDate"]
    assert math.isnan(value(resources, "age"))


def test_the_latest_encounter_sets_the_index_time():
    resources = one()
    first = extract(resources, WHAS.features).index_time
    resources.append(copy.deepcopy(resources[1]) | {"id": "e2", "period": {"start": "2020-01-01"}})
    assert extract(resources, WHAS.features).index_time > first
    resources[-1]["status"] = "planned"
    assert extract(resources, WHAS.features).index_time == first


def test_a_patient_without_an_encounter_or_two_patients_are_refused():
    resources = one()
    with pytest.raises(ResourceInvalid):
        extract([r for r in resources if r["resourceType"] != "Encounter"], WHAS.features)
    with pytest.raises(ResourceInvalid):
        extract([*resources, resources[0]], WHAS.features)


# Definitions ----------------------------------------------------------------------------------


def test_the_digest_changes_with_the_definition_and_with_nothing_else():
    again = parse_features(json.loads(json.dumps(WHAS.features.raw)))
    assert again.digest == WHAS.features.digest
    raw = copy.deepcopy(WHAS.features.raw)
    raw["features"][2]["unit"] = "/s"
    assert parse_features(raw).digest != WHAS.features.digest


@pytest.mark.parametrize("mapping", [WHAS, HEART], ids=["whas500", "heart-disease"])
def test_every_column_of_phi_has_labels_and_every_number_a_unit(mapping):
    features = mapping.features
    for lang in ("en", "zh"):
        labels = features.labels(lang)
        assert set(labels) == {*features.names, *(f.name for f in features.features)}
        assert len(set(labels.values())) == len(labels)
    assert {n for n in features.names if not features.units()[n]} == set(features.binary())
    assert set(features.outcome.meaning) == {"en", "zh"}


def test_the_project_s_own_codes_stand_in_its_published_code_system():
    system = json.loads((DATA / "codes" / "concura.json").read_text("utf-8"))
    published = {c["code"]: c["display"] for c in system["concept"]}
    assert system["count"] == len(published)

    def codes(value):
        if isinstance(value, dict):
            if value.get("system") == system["url"]:
                yield value["code"], value.get("display")
            for item in value.values():
                yield from codes(item)
        elif isinstance(value, list):
            for item in value:
                yield from codes(item)

    used = [c for m in (WHAS, HEART) for c in codes(m.raw)]
    assert {code for code, _ in used} == set(published)
    assert all(display in (None, published[code]) for code, display in used)


@pytest.mark.parametrize("mapping", [WHAS, HEART], ids=["whas500", "heart-disease"])
def test_every_code_of_a_column_says_where_it_was_checked(mapping):
    codes = [c.code for c in mapping.columns if c.code] + list(mapping.always)
    assert all(code.checked and code.display for code in codes)
    systems = {"http://loinc.org", "http://snomed.info/sct"}
    own = "https://concura.example/fhir/CodeSystem/concura"
    assert {code.system for code in codes} <= systems | {own}


def test_phi_asks_for_the_code_and_unit_that_the_column_is_written_with():
    for mapping in (WHAS, HEART):
        columns = {c.name: c for c in mapping.columns}
        for feature in mapping.features.features:
            if feature.code:
                column = columns[feature.name]
                assert (feature.system, feature.code) == (column.code.system, column.code.code)
                assert (feature.unit, feature.plausible) == (column.unit, column.plausible)


def test_names_record_numbers_and_ids_are_the_same_every_time_and_unlike_between_patients(whas):
    first = list(whas.resources("hospital-a"))
    assert first == list(whas.resources("hospital-a"))
    ids = [r["id"] for h in whas.rows for found in whas.resources(h) for r in found]
    assert len(ids) == len(set(ids))
    numbers = {record_number(found) for h in whas.rows for found in whas.resources(h)}
    assert len(numbers) == 500
    assert patient_name(first[0][0]).count(" ") == 1


def test_a_mapping_whose_dates_leave_the_calendar_is_refused():
    raw = copy.deepcopy(WHAS.raw)
    raw["index"]["step_minutes"] = 10**12
    with pytest.raises(MappingInvalid):
        one(parse_mapping(raw))
