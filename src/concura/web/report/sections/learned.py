"""How one model came out of hospitals that showed each other no record.

This module does NOT judge convergence; the story does.
"""

from concura.web.report.charts import loss
from concura.web.report.markup import Html
from concura.web.report.sections.frame import facts, pair, section
from concura.web.report.story import Learning, Story
from concura.web.report.wording import Reader

__all__ = ["learned"]


def learned(story: Story, reader: Reader) -> Html:
    """Write the loss by round and the settings."""
    learning = story["learning"]
    return section("learned", reader, pair(loss(learning, reader), facts(_facts(learning, reader))))


def _facts(learning: Learning, reader: Reader) -> list[tuple[str, object]]:
    preset, rates = learning["preset"], learning["rates"]
    key = f"learned.preset.{preset}"
    converged = "learned.converged" if learning["converged"] else "learned.unsettled"
    return [
        (reader.say("learned.result"), reader.say(converged)),
        (reader.say("learned.preset"), reader.say(key) if reader.has(key) else preset),
        (reader.say("learned.rounds"), learning["rounds"]),
        (
            reader.say("learned.rates"),
            reader.say(
                "learned.rates.value", client=f"{rates['client']:g}", server=f"{rates['server']:g}"
            ),
        ),
        (
            reader.say("learned.mean"),
            reader.say("learned.weighted" if learning["weighted"] else "learned.unweighted"),
        ),
        (reader.say("learned.training"), reader.count(learning["training"])),
        (
            reader.say("learned.participants"),
            reader.listing([reader.hospital(member) for member in learning["participants"]]),
        ),
    ]
