"""Who took part, with how many patients, and what was missing in the data.

This module does NOT show patients; counts that are too small arrive as None.
"""

from concura.web.report.markup import Html, tag
from concura.web.report.sections.frame import facts, section, table
from concura.web.report.story import Story
from concura.web.report.wording import Reader

__all__ = ["collected"]


def collected(story: Story, reader: Reader) -> Html:
    """Write the table of hospitals and what was filled in."""
    rows: list[list[object]] = [
        [
            reader.hospital(member),
            reader.count(patients),
            reader.count(story["outcomes"].get(member)),
        ]
        for member, patients in story["patients"].items()
    ]
    rows.append(
        [reader.say("all"), reader.count(sum(story["patients"].values())), _events(story, reader)]
    )
    head = [reader.say(f"collected.{name}") for name in ("hospital", "patients", "outcomes")]
    return section(
        "collected",
        reader,
        tag("p", reader.text(story["source"]), class_="source"),
        table(reader.say("collected.caption"), head, rows),
        facts(_gaps(story, reader)),
    )


def _events(story: Story, reader: Reader) -> str:
    counts = list(story["outcomes"].values())
    shown = [count for count in counts if count is not None]
    # One hidden count could be read off the sum.
    return reader.count(sum(shown) if shown and len(shown) == len(counts) else None)


def _gaps(story: Story, reader: Reader) -> list[tuple[str, object]]:
    filled = [
        f"{reader.feature(name)} {count:,}" for name, count in story["imputed"].items() if count
    ]
    return [
        (reader.say("collected.imputed"), reader.listing(filled) or reader.say("none")),
        (reader.say("collected.ignored"), reader.listing(story["ignored"]) or reader.say("none")),
    ]
