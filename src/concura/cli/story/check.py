"""Checking: models side by side, the ledger verified from its first byte, and one byte changed.

The comparison reads all tables in this process, which no hospital and no hub could: it is for
comparison only, and said so. This module does NOT change the model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np

from concura.adapters.table_files import TableFolder
from concura.cli.story.learn import Learned
from concura.cli.story.tell import Teller, both
from concura.cli.story.town import Town
from concura.errors import ChainInvalid, say
from concura.learning import SMALL_CELL, Cohort, Comparison, Judged, compare
from concura.ledger import Chain, decode_block, decode_entry, verify_blocks
from concura.records import extract, record_number
from concura.types import MemberId

__all__ = ["Checked", "cohorts_of", "play_check"]

_WAIT = "?wait=30"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was checked: the ledger's blocks and the comparison."""

    blocks: int
    comparison: Comparison


def cohorts_of(folder: TableFolder) -> dict[MemberId, Cohort]:
    """Compute phi(x) of all patients, through FHIR as the nodes do; for comparison only."""
    cohorts: dict[MemberId, Cohort] = {}
    for hospital in folder.rows:
        rows, labels, numbers = [], [], []
        for resources in folder.resources(hospital):
            found = extract(resources, folder.features)
            if found.label is not None:
                rows.append(found.values)
                labels.append(found.label)
                numbers.append(record_number(resources))
        x = np.array(rows, dtype=np.float64).reshape(len(rows), len(folder.features.names))
        cohorts[hospital] = Cohort(x, np.array(labels, dtype=np.bool_), tuple(numbers))
    return cohorts


def play_check(
    town: Town,
    cohorts: dict[MemberId, Cohort],
    learned: Learned,
    teller: Teller,
) -> Checked:
    """Play stage 7 and fill `metrics`, `ledger` and `tamper` of the story."""
    comparison = compare(learned.model.study, cohorts, learned.model)
    teller.story["metrics"] = _metrics(learned, comparison)
    _tell_metrics(teller, town, learned, comparison)
    chain, blocks = _verify(town)
    finals = town.each(lambda m: town.ask(m, "POST", f"/final{_WAIT}"))
    final = min(int(answer["final"]) for answer in finals.values())
    teller.story["ledger"] = _ledger(town, chain, blocks, final)
    key = "story.check.ledger" if teller.story["ledger"]["verified"] else "story.check.unverified"
    teller.line(key, blocks=chain.height + 1, entries=chain.entries, final=final)
    teller.story["tamper"] = _tamper(town)
    found = teller.story["tamper"]
    key = "story.check.tampered" if found["detected"] else "story.check.unnoticed"
    teller.line(key, where=found["where"] or "", style="" if found["detected"] else "bad")
    teller.stop("record", "story.road.record", blocks=chain.height + 1, entries=chain.entries)
    return Checked(chain.height + 1, comparison)


# --- the models side by side ---------------------------------------------------------------------


def _metrics(learned: Learned, comparison: Comparison) -> dict[str, Any]:
    model, federated, pooled = learned.model, comparison.federated, comparison.pooled
    return {
        "held_out": model.patients["held_out"],
        "events": model.patients["held_out_events"],
        "auc": {
            **_per_model(comparison, "auc"),
            "within": {
                "federated": federated.within,
                "pooled": pooled.within if pooled else None,
            },
        },
        "brier": _per_model(comparison, "brier"),
        "calibration": {
            "slope": _per_model(comparison, "slope"),
            "points": {
                "federated": _points(federated),
                **({"pooled": _points(pooled)} if pooled else {}),
            },
        },
        "roc": {
            "federated": [list(point) for point in federated.roc],
            "pooled": [list(point) for point in pooled.roc] if pooled else [],
            "local": {
                str(h): [list(point) for point in judged.roc] if judged else []
                for h, judged in comparison.local.items()
            },
        },
        "operating": {
            "threshold": model.threshold,
            **{name: _interval(learned, name) for name in ("sensitivity", "specificity", "ppv")},
        },
    }


def _per_model(comparison: Comparison, name: str) -> dict[str, Any]:
    return {
        "federated": getattr(comparison.federated, name),
        "pooled": getattr(comparison.pooled, name) if comparison.pooled else None,
        "local": {
            str(h): getattr(judged, name) if judged else None
            for h, judged in comparison.local.items()
        },
    }


def _points(judged: Judged) -> list[dict[str, float]]:
    return [{"p": p, "observed": observed, "n": n} for p, observed, n in judged.calibration]


def _interval(learned: Learned, name: str) -> dict[str, float | None] | None:
    metric = learned.model.metrics[name]
    if metric.value is None:
        return None
    return {"value": metric.value, "low": metric.low, "high": metric.high}


def _tell_metrics(teller: Teller, town: Town, learned: Learned, comparison: Comparison) -> None:
    lang = teller.output.lang
    metrics = learned.model.metrics
    for name in ("sensitivity", "specificity", "ppv"):
        metric = metrics[name]
        if metric.value is not None and metric.low is not None and metric.high is not None:
            teller.line(
                "story.check.share",
                name=both(f"story.metric.{name}"),
                value=f"{100 * metric.value:.0f}",
                low=f"{100 * metric.low:.0f}",
                high=f"{100 * metric.high:.0f}",
            )
        else:
            teller.line("story.check.small", name=both(f"story.metric.{name}"), least=SMALL_CELL)
    rows = [
        (say("story.model.federated", lang), comparison.federated),
        (say("story.model.pooled", lang), comparison.pooled),
        *(
            (say("story.model.own", lang, name=town.names[h]), j)
            for h, j in comparison.local.items()
        ),
    ]
    for name, judged in rows:
        values = {
            column: "–" if judged is None or value is None else f"{value:.3f}"
            for column in ("auc", "within", "brier", "slope")
            for value in [getattr(judged, column, None)]
        }
        teller.line("story.check.model", name=name, **values)


# --- the ledger ----------------------------------------------------------------------------------


def _verify(town: Town) -> tuple[Chain, list[bytes]]:
    """Verify every block of the hub's store from genesis on, here and on its own."""
    blocks = _stored(town)
    genesis = town.invitation.genesis
    verify_blocks(genesis.chain, blocks)
    chain = Chain(genesis)
    for data in blocks:
        chain.append(decode_block(data), now_ms=None)
    return chain, blocks


def _stored(town: Town) -> list[bytes]:
    with _database(town) as db:
        return [bytes(row[0]) for row in db.execute("SELECT data FROM blocks ORDER BY height")]


@contextmanager
def _database(town: Town) -> Iterator[apsw.Connection]:
    db = apsw.Connection(str(town.hub / "data" / "hub.db"))
    db.set_busy_timeout(5_000)
    try:
        yield db
    finally:
        db.close()


def _ledger(town: Town, chain: Chain, blocks: list[bytes], final: int) -> dict[str, Any]:
    genesis = town.invitation.genesis
    told = []
    for data in blocks:
        block = decode_block(data)
        types: dict[str, int] = {}
        for entry in block.entries:
            kind = "genesis" if block.header.height == 0 else decode_entry(entry).entry.type
            types[kind] = types.get(kind, 0) + 1
        told.append(
            {
                "height": block.header.height,
                "time_ms": block.header.timestamp_ms,
                "entries": len(block.entries),
                "types": types,
            }
        )
    statuses = town.each(lambda m: town.ask(m, "GET", "/status"))
    same = all(s["height"] >= chain.height and not s["distrust"] for s in statuses.values())
    return {
        "chain": chain.id,
        "words": town.invitation.words,
        "height": chain.height,
        "entries": chain.entries,
        "final": final,
        "verified": same,
        "quorum": genesis.quorum,
        "members": len(genesis.founders),
        "difficulty": genesis.difficulty_bits,
        "blocks": told,
        "head": chain.head_hash,
        "checkpoint": str(town.ask(town.hospitals[0], "GET", "/checkpoint")["note"]),
    }


def _tamper(town: Town) -> dict[str, Any]:
    """Change one byte of a stored block, see that verification names it, and put it back."""
    blocks = _stored(town)
    height = len(blocks) // 2
    place = len(blocks[height]) // 2
    changed = bytearray(blocks[height])
    changed[place] ^= 1
    where = None
    with _database(town) as db:
        db.execute("UPDATE blocks SET data = ? WHERE height = ?", (bytes(changed), height))
        try:
            verify_blocks(town.invitation.genesis.chain, _stored(town))
        except ChainInvalid as error:
            where = str(error.values["where"])
        finally:
            db.execute("UPDATE blocks SET data = ? WHERE height = ?", (blocks[height], height))
    verify_blocks(town.invitation.genesis.chain, _stored(town))
    named = where is not None and where.split(",")[0] == f"block {height}"
    place_named = both("story.where.block", height=height) if named else None
    return {"detected": named, "where": place_named, "restored": True}
