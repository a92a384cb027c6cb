"""The mapping: what the columns of a hospital's table mean, as data (docs/spec/features.md).

A mapping names the files of each hospital, and for every column its role, code, unit, missing
markers and plausible range; it also holds the feature definitions phi(x) and the outcome.

This module does NOT read files and does NOT read tables: see `table` and `adapters.table_files`.
"""

import fnmatch
import hashlib
import json
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass

from concura import canonical
from concura.errors import MappingInvalid, ResourceInvalid
from concura.records._fields import Fields
from concura.records.dates import parse_span
from concura.records.features import FeatureSet, parse_features
from concura.types import Digest, JsonObject, MemberId

__all__ = ["Category", "Code", "Column", "Hospital", "Mapping", "choose_mapping", "parse_mapping"]

ROLES = ("age", "feature", "hospital", "ignore", "outcome", "record", "sex")
_YEAR_1900_MS = -2_208_988_800_000
KINDS = ("category", "condition", "flag", "quantity")


@dataclass(frozen=True, slots=True)
class Code:
    """A code of a published system; `checked` names where it was looked up."""

    system: str
    code: str
    display: str
    checked: str

    def coding(self) -> JsonObject:
        """Return it as a FHIR Coding."""
        return {"system": self.system, "code": self.code, "display": self.display}


@dataclass(frozen=True, slots=True)
class Category:
    """One value of a categorical column and the code that it becomes."""

    value: str
    code: Code
    label: MappingOf[str, str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its role, and for features what it becomes in FHIR.

    `plausible` is the closed range outside which a number cannot be a measurement of this kind.
    """

    name: str
    role: str
    label: MappingOf[str, str]
    kind: str = ""
    code: Code | None = None
    unit: str = ""
    unit_label: str = ""
    missing: tuple[str, ...] = ()
    plausible: tuple[float, float] | None = None
    categories: tuple[Category, ...] = ()
    values: MappingOf[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Hospital:
    """A hospital, the pattern of its file's name, and the prefix of its record numbers."""

    id: MemberId
    files: str
    prefix: str
    name: MappingOf[str, str]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A parsed mapping. `digest` is over its canonical JSON; `raw` is that JSON's object."""

    name: str
    source: MappingOf[str, str]
    header: bool
    delimiter: str
    comment: str
    implausible: str
    hospitals: tuple[Hospital, ...]
    columns: tuple[Column, ...]
    always: tuple[Code, ...]
    index_first: str
    index_step_minutes: int
    index_meaning: MappingOf[str, str]
    index_class: str
    features: FeatureSet
    outcome_columns: tuple[str, str]
    outcome_code: Code
    outcome_above: float
    digest: Digest
    raw: JsonObject

    def hospital_of(self, file: str) -> tuple[Hospital, ...]:
        """Return the hospitals whose file pattern a file's name fits."""
        return tuple(h for h in self.hospitals if fnmatch.fnmatchcase(file, h.files))

    def column(self, role: str) -> Column | None:
        """Return the column of a role that occurs at most once, or None."""
        return next((c for c in self.columns if c.role == role), None)


def parse_mapping(data: bytes | JsonObject) -> Mapping:
    """Read a mapping.

    Args:
        data: JSON bytes (UTF-8), or the object already parsed.

    Returns:
        The mapping.

    Raises:
        MappingInvalid: not JSON, a member is missing or unknown, or parts do not fit each other.

    Example:
        >>> parse_mapping(data).name  # doctest: +SKIP
        'whas500'
    """
    raw = _load(data) if isinstance(data, bytes) else data
    top = Fields(raw, "mapping")
    table, index, outcome = top.inner("table"), top.inner("index"), top.inner("outcome")
    features = parse_features(
        {
            "name": raw.get("mapping"),
            "outcome": _outcome_definition(outcome),
            "features": raw.get("features"),
        }
    )
    death = outcome.text("kind") == "death"
    mapping = Mapping(
        name=top.text("mapping"),
        source=top.words("source"),
        header=table.flag("header"),
        delimiter=table.text("delimiter"),
        comment=table.text("comment", empty=True),
        implausible=table.choice("implausible", ("error", "missing")),
        hospitals=tuple(_hospital(h) for h in top.list_of("hospitals")),
        columns=tuple(_column(c) for c in top.list_of("columns")),
        always=tuple(_code(a.inner("code")) for a in top.list_of("always")),
        index_first=index.text("first"),
        index_step_minutes=index.whole("step_minutes"),
        index_meaning=index.words("meaning"),
        index_class=index.choice("class", ("AMB", "EMER", "IMP")),
        features=features,
        outcome_columns=_outcome_columns(outcome, death=death),
        outcome_code=_code(outcome.inner("alive" if death else "code")),
        outcome_above=0.0 if death else outcome.number("above"),
        digest=Digest(hashlib.sha256(_canonical(raw)).hexdigest()),
        raw=raw,
    )
    _check(mapping)
    return mapping


def choose_mapping(file_names: Sequence[str], mappings: Sequence[Mapping]) -> Mapping:
    """Choose the mapping that gives the most hospitals a file.

    Args:
        file_names: names of the files in a folder, without their folder.
        mappings: the mappings to choose from; the first wins a tie.

    Raises:
        MappingInvalid: no file fits any of them.
    """

    def fitting(mapping: Mapping) -> int:
        return len({h.id for name in file_names for h in mapping.hospital_of(name)})

    best = max(mappings, key=fitting, default=None)
    if best is None or not fitting(best):
        known = ", ".join(sorted({h.files for m in mappings for h in m.hospitals}))
        raise MappingInvalid("none_fits", patterns=known)
    return best


def _load(data: bytes) -> JsonObject:
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MappingInvalid("not_json") from error
    if not isinstance(value, dict):
        raise MappingInvalid("not_json")
    return value


def _canonical(raw: JsonObject) -> bytes:
    try:
        return canonical.encode(raw, floats=True)
    except ValueError as error:
        raise MappingInvalid("not_json") from error


def _hospital(fields: Fields) -> Hospital:
    return Hospital(
        id=MemberId(fields.text("hospital")),
        files=fields.text("files"),
        prefix=fields.text("prefix"),
        name=fields.words("name"),
    )


def _column(fields: Fields) -> Column:
    role = fields.choice("role", ROLES)
    kind = fields.choice("kind", KINDS) if role == "feature" else ""
    span = fields.span("plausible") if "plausible" in fields.raw else None
    return Column(
        name=fields.text("column"),
        role=role,
        label=fields.words("label"),
        kind=kind,
        code=_code(fields.inner("code")) if role == "feature" else None,
        unit=fields.text("unit") if kind == "quantity" or role == "age" else "",
        unit_label=fields.text("unit_label") if kind == "quantity" or role == "age" else "",
        missing=fields.texts("missing") if "missing" in fields.raw else (),
        plausible=span,
        categories=tuple(_category(c) for c in fields.list_of("categories"))
        if kind == "category"
        else (),
        values=fields.words("values", languages=False) if role == "sex" else None,
    )


def _category(fields: Fields) -> Category:
    return Category(
        value=fields.text("value"), code=_code(fields.inner("code")), label=fields.words("label")
    )


def _code(fields: Fields) -> Code:
    return Code(
        system=fields.text("system"),
        code=fields.text("code"),
        display=fields.text("display"),
        checked=fields.text("checked") if "checked" in fields.raw else "",
    )


def _outcome_definition(outcome: Fields) -> JsonObject:
    """Keep of the outcome what reading it back from FHIR needs; columns are the table's matter."""
    keys = ("kind", "within_days", "horizon", "meaning", "horizon_label")
    definition = {key: outcome.raw[key] for key in keys if key in outcome.raw}
    code = _code(outcome.inner("alive" if outcome.text("kind") == "death" else "code"))
    definition["code"] = {"system": code.system, "code": code.code}
    return definition


def _outcome_columns(outcome: Fields, *, death: bool) -> tuple[str, str]:
    if death:
        return outcome.text("event"), outcome.text("days")
    return outcome.text("column"), ""


def _check(mapping: Mapping) -> None:
    """Refuse parts that do not fit each other."""
    names = [c.name for c in mapping.columns]
    if len(set(names)) != len(names):
        raise MappingInvalid("twice", what=next(n for n in names if names.count(n) > 1))
    ids = [h.id for h in mapping.hospitals]
    if len(set(ids)) != len(ids) or not ids:
        raise MappingInvalid("hospitals")
    outcomes = {c.name for c in mapping.columns if c.role == "outcome"}
    if {n for n in mapping.outcome_columns if n} - outcomes:
        raise MappingInvalid("outcome_column")
    for role in ("age", "sex"):
        if sum(c.role == role for c in mapping.columns) != 1:
            raise MappingInvalid("one_column", role=role)
    if len(mapping.delimiter) != 1:
        raise MappingInvalid("member_character", path="mapping.table.delimiter")
    try:
        first, _ = parse_span(mapping.index_first, path="mapping.index.first")
    except ResourceInvalid as error:
        raise MappingInvalid("member_time", path="mapping.index.first") from error
    if first < _YEAR_1900_MS:
        raise MappingInvalid("dates")
