"""The feature definitions phi, as data: what a model reads, from where, in which unit.

A `FeatureSet` is parsed from a mapping; its digest is over its canonical JSON and stands on the
ledger, so that every hospital is known to compute the same numbers (docs/spec/features.md).

This module does NOT read records: see `extract`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from concura import canonical
from concura.data.words import WORDS
from concura.errors import MappingInvalid, say
from concura.records._fields import Fields
from concura.types import Digest, JsonObject

__all__ = ["Feature", "FeatureSet", "Outcome", "parse_features"]

KINDS = ("age", "category", "condition", "flag", "quantity", "sex")
PICKS = ("any", "last", "mean")
NO_WINDOW = 0


@dataclass(frozen=True, slots=True)
class Feature:
    """One definition; a category spreads over one column per name in `categories`.

    `window_days` 0 means any time before the index time. `absent` says what a condition that no
    record speaks of counts as: `missing` or `no`.
    """

    name: str
    kind: str
    label: Mapping[str, str]
    system: str = ""
    code: str = ""
    unit: str = ""
    unit_label: str = ""
    pick: str = "last"
    window_days: int = NO_WINDOW
    absent: str = "missing"
    plausible: tuple[float, float] | None = None
    categories: tuple[tuple[str, str, str], ...] = ()  # (column name, system, code)
    category_labels: tuple[Mapping[str, str], ...] = ()
    references: tuple[tuple[str, str], ...] = ()  # (system, code) of what has no column


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is foretold. Death within `within_days` days, or a condition found after the index.

    `meaning` completes "The risk of …": dying within one year of this heart attack.
    """

    kind: str
    horizon: str
    within_days: int
    system: str
    code: str
    meaning: Mapping[str, str]
    horizon_label: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """phi and the outcome. Two sets with one digest compute the same numbers."""

    name: str
    features: tuple[Feature, ...]
    outcome: Outcome
    raw: JsonObject

    @property
    def digest(self) -> Digest:
        """Return SHA-256 over the canonical JSON of the definitions, hex."""
        data = b"concura features\n" + canonical.encode(self.raw, floats=True)
        return Digest(hashlib.sha256(data).hexdigest())

    @property
    def names(self) -> tuple[str, ...]:
        """Return the column names of phi(x), d of them, in order."""
        return tuple(name for f in self.features for name in _columns(f))

    def labels(self, lang: str = "en") -> dict[str, str]:
        """Return what people read for each column name, and for a category as a whole."""
        words = "zh" if lang.lower().startswith("zh") else "en"
        found: dict[str, str] = {}
        for feature in self.features:
            found[feature.name] = feature.label[words]
            if feature.kind != "category":
                continue
            for (name, _, _), label in zip(
                feature.categories, feature.category_labels, strict=True
            ):
                found[name] = (
                    f"{feature.label[words]}{'：' if words == 'zh' else ': '}{label[words]}"
                )
        return found

    def units(self, lang: str = "en") -> dict[str, str]:
        """Return the unit that people read for each column name; empty for yes-or-no columns."""
        return {name: _unit(f, lang) for f in self.features for name in _columns(f)}

    def ucum(self) -> dict[str, str]:
        """Return the UCUM code of each column's unit; empty for yes-or-no columns."""
        return {name: f.unit for f in self.features for name in _columns(f)}

    def binary(self) -> frozenset[str]:
        """Return the names of the columns whose value is 0 (no) or 1 (yes)."""
        return frozenset(
            name
            for f in self.features
            if f.kind in ("category", "condition", "flag", "sex")
            for name in _columns(f)
        )


def parse_features(raw: JsonObject) -> FeatureSet:
    """Read feature definitions.

    Args:
        raw: {name, outcome, features}, as a mapping holds them and a study's task carries them.

    Returns:
        The feature set.

    Raises:
        MappingInvalid: a member is missing or of the wrong kind, or a name stands twice.

    Example:
        >>> parse_features(raw).names[:2]  # doctest: +SKIP
        ('age', 'female')
    """
    top = Fields(raw, "features")
    features = tuple(_feature(f) for f in top.list_of("features"))
    names = [name for f in features for name in _columns(f)]
    if not names:
        raise MappingInvalid("no_features")
    if len(set(names)) != len(names):
        raise MappingInvalid("twice", what=next(n for n in names if names.count(n) > 1))
    found = FeatureSet(top.text("name"), features, _outcome(top.inner("outcome")), raw)
    try:
        _ = found.digest
    except ValueError as error:
        raise MappingInvalid("not_json") from error
    return found


def _unit(feature: Feature, lang: str) -> str:
    key = f"unit.{feature.unit}"
    return say(key, lang) if key in WORDS else feature.unit_label


def _columns(feature: Feature) -> tuple[str, ...]:
    if feature.kind == "category":
        return tuple(name for name, _, _ in feature.categories)
    return (feature.name,)


def _feature(fields: Fields) -> Feature:
    kind = fields.choice("kind", KINDS)
    name, label = fields.text("name"), fields.words("label")
    plausible = fields.span("plausible") if "plausible" in fields.raw else None
    unit = fields.text("unit") if kind in ("age", "quantity") else ""
    unit_label = fields.text("unit_label") if kind in ("age", "quantity") else ""
    if kind in ("age", "sex"):
        return Feature(name, kind, label, unit=unit, unit_label=unit_label, plausible=plausible)
    code = fields.inner("code")
    every = fields.list_of("categories") if kind == "category" else []
    categories = [c for c in every if "reference" not in c.raw]
    references = [c.inner("code") for c in every if "reference" in c.raw]
    return Feature(
        name=name,
        kind=kind,
        label=label,
        system=code.text("system"),
        code=code.text("code"),
        unit=unit,
        unit_label=unit_label,
        pick=fields.choice("pick", PICKS),
        window_days=fields.whole("window_days") if "window_days" in fields.raw else NO_WINDOW,
        absent=fields.choice("absent", ("missing", "no")) if kind == "condition" else "missing",
        plausible=plausible,
        categories=tuple(_category(c) for c in categories),
        category_labels=tuple(c.words("label") for c in categories),
        references=tuple((c.text("system"), c.text("code")) for c in references),
    )


def _category(fields: Fields) -> tuple[str, str, str]:
    code = fields.inner("code")
    return fields.text("name"), code.text("system"), code.text("code")


def _outcome(fields: Fields) -> Outcome:
    kind = fields.choice("kind", ("condition", "death"))
    code = fields.inner("code")
    return Outcome(
        kind=kind,
        horizon=fields.text("horizon"),
        within_days=fields.whole("within_days") if kind == "death" else 0,
        system=code.text("system"),
        code=code.text("code"),
        meaning=fields.words("meaning"),
        horizon_label=fields.words("horizon_label"),
    )
