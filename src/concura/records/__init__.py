"""What a hospital holds: tables read by a mapping, FHIR R4 resources, and the features phi(x).

rows = parse_table(text, mapping, file="whas500.csv")
resources = resources_of(rows[0], mapping, hospital=mapping.hospitals[0])
index_time, values, label = extract(resources, mapping.features)
"""

from concura.records.extract import Extract, extract, patient_name, record_number
from concura.records.features import Feature, FeatureSet, Outcome, parse_features
from concura.records.mapping import (
    Category,
    Code,
    Column,
    Hospital,
    Mapping,
    choose_mapping,
    parse_mapping,
)
from concura.records.resources import UCUM, record_system, resources_of, stable_id
from concura.records.table import Row, count_missing, parse_table
from concura.records.validate import check_resource, patient_of

__all__ = [
    "UCUM",
    "Category",
    "Code",
    "Column",
    "Extract",
    "Feature",
    "FeatureSet",
    "Hospital",
    "Mapping",
    "Outcome",
    "Row",
    "check_resource",
    "choose_mapping",
    "count_missing",
    "extract",
    "parse_features",
    "parse_mapping",
    "parse_table",
    "patient_name",
    "patient_of",
    "record_number",
    "record_system",
    "resources_of",
    "stable_id",
]
