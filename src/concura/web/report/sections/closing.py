"""The foot of the page: how long it took, how to get the same again, what this is not.

This module does NOT measure time.
"""

from concura.web.report.markup import Html, tag
from concura.web.report.story import Story
from concura.web.report.wording import Reader

__all__ = ["closing"]


def closing(story: Story, reader: Reader) -> Html:
    """Write the foot."""
    total = reader.seconds(story["seconds"].get("total"))
    made = reader.say(
        "closing.made",
        version=story["version"],
        created=reader.moment(story["created"]),
        seed=story["seed"],
    )
    return tag(
        "footer",
        tag("p", reader.say("notice"), class_="notice"),
        tag("p", made),
        tag("p", reader.say("closing.took", seconds=total)) if total else None,
        tag("p", reader.say("closing.limits")),
    )
