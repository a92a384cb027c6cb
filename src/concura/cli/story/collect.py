"""Collecting: each node takes in its own hospital's table as FHIR resources, and its consents.

This module does NOT hand patients to the nodes: it tells each where its table lies.
"""

from pathlib import Path

import numpy as np

from concura.adapters.table_files import TableFolder
from concura.cli.story.tell import Teller
from concura.cli.story.town import Town
from concura.learning import SMALL_CELL, Cohort
from concura.types import MemberId

__all__ = ["play_collection"]


def play_collection(
    town: Town,
    folder: TableFolder,
    cohorts: dict[MemberId, Cohort],
    teller: Teller,
    *,
    data: Path | None,
    mapping: Path | None,
) -> None:
    """Play stage 1 and fill what the story says about the data.

    Args:
        town: the processes.
        folder: the tables, as this process reads them for the story.
        cohorts: their inputs, for counting.
        teller: tells it.
        data: where the tables lie; None for the shipped ones.
        mapping: the mapping's file; None where one was chosen by the files' names.
    """
    lang = teller.output.lang
    source = dict(folder.mapping.source)
    teller.output.line(f"   {source[lang]}")
    where: dict[str, object] = {}
    if data is not None:
        where = {"folder": str(data)}
        if mapping is not None:
            where["mapping"] = str(mapping)
    stored = town.each(lambda m: town.ask(m, "POST", "/collect", {"hospital": m, **where}))
    granted = town.each(lambda m: town.ask(m, "POST", "/consents/research"))
    for member in town.hospitals:
        teller.line(
            "story.collect.hospital",
            name=town.names[member],
            patients=stored[member]["patients"],
            resources=stored[member]["resources"],
        )
    imputed = _missing(folder, cohorts)
    labels = {one: folder.features.labels(one) for one in ("en", "zh")}
    if folder.ignored:
        teller.line("story.collect.ignored", files=", ".join(folder.ignored))
    if imputed:
        listing = ", ".join(f"{labels[lang].get(name, name)} {n}" for name, n in imputed.items())
        teller.line("story.collect.imputed", count=sum(imputed.values()), listing=listing)
    else:
        teller.line("story.collect.complete")
    consents = sum(answer["consents"] for answer in granted.values())
    teller.line("story.collect.consents", count=consents)
    total = sum(answer["patients"] for answer in stored.values())
    resources = sum(answer["resources"] for answer in stored.values())
    teller.stop("collect", "story.road.collect", patients=total, resources=resources)
    words = {one: folder.names(one) for one in ("en", "zh")}
    teller.story |= {
        "source": source,
        "names": {m: {one: words[one][m] for one in words} for m in town.hospitals},
        "patients": {m: stored[m]["patients"] for m in town.hospitals},
        "outcomes": {m: _events(cohorts[m]) for m in town.hospitals},
        "labels": {name: {one: labels[one][name] for one in labels} for name in labels["en"]},
        "imputed": imputed,
        "ignored": list(folder.ignored),
    }


def _missing(folder: TableFolder, cohorts: dict[MemberId, Cohort]) -> dict[str, int]:
    """Count the missing inputs by feature; a category counts once, not once per level."""
    counts: dict[str, int] = {}
    for position, name in enumerate(folder.features.names):
        count = sum(int(np.isnan(cohort.x[:, position]).sum()) for cohort in cohorts.values())
        if count:
            counts.setdefault(name.partition("=")[0], count)
    return counts


def _events(cohort: Cohort) -> int | None:
    events = int(cohort.y.sum())
    return events if min(events, len(cohort.y) - events) >= SMALL_CELL else None
