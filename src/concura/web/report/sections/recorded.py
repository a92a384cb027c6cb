"""The ledger: its blocks in time, its co-signed head, and the byte that was changed.

This module does NOT verify the ledger; `concura` does, and the story says with what result.
"""

from concura.web.report.charts import timeline
from concura.web.report.markup import Html, tag
from concura.web.report.sections.frame import checks, facts, pair, section
from concura.web.report.story import Ledger, Story
from concura.web.report.wording import Reader

__all__ = ["recorded"]


def recorded(story: Story, reader: Reader) -> Html:
    """Write the timeline, the checks, and the head as it was co-signed."""
    ledger = story["ledger"]
    return section(
        "recorded",
        reader,
        pair(timeline(ledger, reader), checks(_checks(story, reader), reader)),
        facts(_facts(ledger, reader)),
        tag(
            "details",
            tag("summary", reader.say("recorded.checkpoint")),
            tag("pre", ledger["checkpoint"]),
        ),
    )


def _checks(story: Story, reader: Reader) -> list[tuple[str, bool]]:
    ledger, tamper = story["ledger"], story["tamper"]
    found = (
        reader.say("recorded.tamper", where=reader.text(tamper["where"]))
        if tamper["detected"] and tamper["where"]
        else reader.say("recorded.tamper.plain")
    )
    verified = reader.say(
        "recorded.verified",
        blocks=reader.count(len(ledger["blocks"])),
        entries=reader.count(ledger["entries"]),
    )
    return [
        (verified, ledger["verified"]),
        (found, tamper["detected"]),
        (reader.say("recorded.restored"), tamper["restored"]),
    ]


def _facts(ledger: Ledger, reader: Reader) -> list[tuple[str, object]]:
    blocks = ledger["blocks"]
    items: list[tuple[str, object]] = [
        (
            reader.say("recorded.quorum"),
            reader.say("recorded.quorum.value", quorum=ledger["quorum"], members=ledger["members"]),
        ),
        (
            reader.say("recorded.final"),
            reader.say("recorded.final.value", final=ledger["final"], height=ledger["height"]),
        ),
        (reader.say("recorded.work"), reader.say("recorded.work.value", bits=ledger["difficulty"])),
        (reader.say("recorded.head"), tag("code", ledger["head"])),
        (reader.say("recorded.chain"), tag("code", ledger["chain"])),
    ]
    if ledger["words"]:
        items.append((reader.say("recorded.words"), tag("code", ledger["words"])))
    if blocks:
        span = reader.span(blocks[0]["time_ms"], blocks[-1]["time_ms"])
        items.insert(2, (reader.say("recorded.span"), span))
    return items
